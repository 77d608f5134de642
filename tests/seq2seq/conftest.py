"""A small corpus that needs a translator's parts: words to write, unknown words to copy, sentences of all lengths."""

import random
from pathlib import Path

import pytest

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "cat": "Katze", "dog": "Hund", "sees": "sieht", "and": "und"}


def write_corpus(folder: Path, *, train: int = 240, val: int = 21, names: bool = False) -> Path:
    """train.en, train.de, val.*, test.*: sentences of 1 to 7 known words, with `names` a name that occurs once."""
    chosen = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in (("train", train), ("val", val), ("test", val)):
        source, target = [], []
        for _ in range(rows):
            words = [chosen.choice(list(WORDS)) for _ in range(chosen.randint(1, 7))]
            written = [WORDS[word] for word in words]
            if names:
                name = "".join(chosen.choice("bdfgklmnprst") + chosen.choice("aeiou") for _ in range(4))
                place = chosen.randrange(len(words) + 1)
                words.insert(place, name)
                written.insert(place, name)
            source.append(" ".join(words))
            target.append(" ".join(written))
        for language, lines in (("en", source), ("de", target)):
            (folder / f"{split}.{language}").write_text("".join(line + "\n" for line in lines), "utf8")
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def corpus_with_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("names"), names=True)
