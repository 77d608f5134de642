"""Defaults that cannot work on the data they are given: told before training, with flag and value."""

from pathlib import Path

from lhy_lightning import QuestionAnsweringDataModule, TaggingDataModule, TextDataModule, TranslationDataModule
from tests.bad_input.case import BadInput, set_up, text

CHARACTERS = [chr(0x4E00 + number) for number in range(600)]
WORDS = [CHARACTERS[n] + CHARACTERS[(7 * n + 3) % 600] for n in range(600)]
TAGGED = "".join(f"{word}\t{'NOUN' if n % 2 else 'VERB'}\n" + "\n" * (n % 5 == 4) for n, word in enumerate(WORDS))
LABELLED = "".join(f"{''.join(WORDS[n : n + 9])}\t{'pos' if n % 2 else 'neg'}\n" for n in range(590))
PAIRS = "".join(f"row {n}\t{''.join(WORDS[n : n + 9])}\n" for n in range(590))


def small_tokenizer(folder: Path) -> None:
    """A tokenizer of English beside Chinese texts."""
    from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer

    text("rows.tsv", LABELLED)(folder)
    EncoderTokenizer.train(["some English text"]).transformers().save_pretrained(folder / "english")


def questions(folder: Path) -> None:
    import json

    rows = [{"question": WORDS[n], "context": "".join(WORDS[n : n + 20]), "answer": WORDS[n + 3]} for n in range(500)]
    text("rows.jsonl", "\n".join(json.dumps(row) for row in rows))(folder)


INPUTS = [
    BadInput(
        "words of more characters than the vocabulary has pieces",
        text("rows.conll", TAGGED),
        set_up(TaggingDataModule, "rows.conll", vocab_size=300, cache_dir="{folder}/cache"),
        r"% of the pieces of the training texts are unknown to a vocabulary of 300 .*: set --data.vocab_size 2000\.",
        "counted",
        kind="defaults",
    ),
    BadInput(
        "texts of more characters than the vocabulary has pieces",
        text("rows.tsv", LABELLED),
        set_up(TextDataModule, "rows.tsv", vocab_size=300, cache_dir="{folder}/cache"),
        r"unknown to a vocabulary of 300 \(the texts have 600 different characters\): set --data.vocab_size 1000\.",
        "counted",
        kind="defaults",
    ),
    BadInput(
        "questions of more characters than the vocabulary has pieces",
        questions,
        set_up(QuestionAnsweringDataModule, "rows.jsonl", vocab_size=300, cache_dir="{folder}/cache"),
        r"unknown to a vocabulary of 300 .*: set --data.vocab_size 1000\.",
        "counted",
        kind="defaults",
    ),
    BadInput(
        "texts of another language than the tokenizer's",
        small_tokenizer,
        set_up(TextDataModule, "rows.tsv", tokenizer_file="{folder}/english", cache_dir="{folder}/cache"),
        r"pieces of the train texts are unknown to the tokenizer of .*english: is it of their language\?",
        "counted",
        kind="defaults",
    ),
    BadInput(
        "translation with fewer subwords than characters",
        text("rows.tsv", PAIRS),
        set_up(TranslationDataModule, "rows.tsv", vocab_size=300),
        r"vocab_size=300 is too small: the texts have 6\d\d different characters.* set --data.vocab_size 2000\.",
        kind="defaults",
    ),
    BadInput(
        "texts that fit their vocabulary",
        text("rows.tsv", LABELLED),
        set_up(TextDataModule, "rows.tsv", vocab_size=2000, cache_dir="{folder}/cache"),
        r"0\.00% unknown",
        "right",
        kind="defaults",
    ),
]
