"""Data of the kinds of the other files, found by a second round: odd names, labels, tags, places and pairs."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from lhy_lightning import (
    ImageDataModule,
    PairedImageDataModule,
    QuestionAnsweringDataModule,
    TaggingDataModule,
    TextDataModule,
    TranslationDataModule,
)
from lhy_lightning.data.labelled_texts.tagged_files import open_tagged_text
from lhy_lightning.data.questions.question_files import open_questions
from lhy_lightning.data.translation.parallel_files import open_parallel
from tests.bad_input.case import BadInput, Ending, set_up, text

Make = Callable[[Path], object]


# --- images -----------------------------------------------------------------------------------------------------------


def images(*names: str) -> Make:
    """Ten images of noise in each of these folders, no two alike."""

    def make(folder: Path) -> None:
        generator = np.random.default_rng(0)
        for name in names:
            (folder / name).mkdir(parents=True)
            for row in range(10):
                Image.fromarray(generator.integers(0, 255, (8, 8), np.uint8)).save(folder / name / f"{row}.png")

    return make


def both(*makes: Make) -> Make:
    def make(folder: Path) -> None:
        for one in makes:
            one(folder)

    return make


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "set/cat/pipe.png")


def rename_in_latin1(folder: Path) -> None:
    os.rename(folder / "set/cat", os.path.join(os.fsencode(folder), b"set/caf\xe9"))


def copy_cat_to_dog(folder: Path) -> None:
    (folder / "set/cat/0.png").rename(folder / "set/dog/0.png")
    (folder / "set/cat/0.png").write_bytes((folder / "set/dog/0.png").read_bytes())


def list_of(name: str, rows: range) -> Make:
    side = {"in.csv": "A", "out.csv": "B"}[name]
    return text(name, "image\n" + "".join(f"{side}/{row}.png\n" for row in rows))


def saved(**columns: list[Any]) -> Make:
    """What `Dataset.save_to_disk` writes, as split "train"."""

    def make(folder: Path) -> None:
        datasets.disable_progress_bars()
        datasets.DatasetDict(train=datasets.Dataset.from_dict(columns)).save_to_disk(str(folder / "saved"))

    return make


def saved_images(folder: Path) -> None:
    rows = [np.full((4, 4), value).tolist() for value in range(0, 200, 10)]
    saved(image=rows, label=[row % 2 for row in range(20)])(folder)
    module = ImageDataModule(str(folder / "saved"), cache_dir=str(folder / "cache"))
    module.setup("fit")
    assert module.class_names == ("0", "1")


def image(what: str, make: Make, says: str, ends: Ending = "line", source: str = "set", **settings: Any) -> BadInput:
    module = PairedImageDataModule if "input_source" in settings else ImageDataModule
    read = set_up(module, "" if "input_source" in settings else source, cache_dir="{folder}/cache", **settings)
    return BadInput(what, make, read, says, ends, kind="images")


# --- texts ------------------------------------------------------------------------------------------------------------

WORDS = ["the", "film", "was", "a", "great", "and", "bad", "story", "of", "one", "man"]
TEXTS = [f"{WORDS[row % 11]} {WORDS[row * 7 % 11]} film {row}" for row in range(20)]


def labelled(label: Callable[[int], object], mark: str = "\t") -> str:
    return "".join(f"{words}{mark}{label(row)}\n" for row, words in enumerate(TEXTS))


def parquet(**columns: Any) -> Make:
    return lambda folder: pq.write_table(pa.table(columns), folder / "t.parquet")


def a_text(what: str, make: Make, says: str, ends: Ending = "line", name: str = "t.tsv", **settings: Any) -> BadInput:
    read = set_up(TextDataModule, name, vocab_size=80, val_fraction=0.2, **settings)
    return BadInput(what, make, read, says, ends, kind="texts")


def saved_texts(folder: Path) -> None:
    module = TextDataModule(str(folder / "saved"), vocab_size=80, val_fraction=0.2)
    module.setup("fit")
    assert module.class_names == ("0", "1")


def saved_tags(folder: Path) -> None:
    assert open_tagged_text(str(folder / "saved"))["train"].words == [["a", "b"]]


def saved_pairs(folder: Path) -> None:
    found = open_parallel(str(folder / "saved"), source_lang="en", target_lang="zh")["train"]
    assert (found.source, found.target) == (["hi"], ["嗨"])


def saved_questions(folder: Path) -> None:
    assert open_questions(str(folder / "saved"))["train"].questions[0].answers[0].start == 2


def cut_off(folder: Path) -> None:
    saved(text=["a"], label=[0])(folder)
    next((folder / "saved/train").glob("*.arrow")).write_bytes(b"")


# --- tags, questions, pairs -------------------------------------------------------------------------------------------


def tags(what: str, words: Any, marks: Any, says: str) -> BadInput:
    row = json.dumps({"tokens": words, "ner_tags": marks}) + "\n"
    return BadInput(
        what, text("t.jsonl", row * 4), set_up(TaggingDataModule, "t.jsonl", vocab_size=60), says, kind="tagged words"
    )


def asked(**changes: Any) -> str:
    row = {"id": "q", "question": "when?", "context": "in 1900", "answers": [{"text": "1900", "answer_start": 3}]}
    return json.dumps([row | changes])


def question(what: str, says: str, **changes: Any) -> BadInput:
    read = set_up(QuestionAnsweringDataModule, "ask.json", vocab_size=60)
    return BadInput(what, text("ask.json", asked(**changes)), read, says, kind="questions")


def impossible_with_an_empty_answer(folder: Path) -> None:
    [found] = open_questions(str(folder / "ask.json"))["train"].questions
    assert found.impossible
    assert not found.answers


def pairs(what: str, row: Callable[[int], str], says: str, ends: Ending = "line") -> BadInput:
    read = set_up(TranslationDataModule, "p.tsv", vocab_size=80, val_fraction=0.2, tokenizer="character")
    return BadInput(
        what, text("p.tsv", "".join(row(n) + "\n" for n in range(20))), read, says, ends, kind="sentence pairs"
    )


EMPTY = {"answers": [{"text": "", "answer_start": -1}], "is_impossible": True}
ZH = "你好亲爱的朋友"

INPUTS = [
    image("a pipe among the images", both(images("set/cat", "set/dog"), pipe), r"pipe\.png is a pipe or a device"),
    image("a device in a table", text("t.csv", "image,label\n/dev/zero,a\n"), "is a pipe or a device", source="t.csv"),
    image(
        "a class folder whose name is not UTF-8",
        both(images("set/cat", "set/dog"), rename_in_latin1),
        r"the name caf\\xe9 is not UTF-8: rename it",
    ),
    image("class folders that differ in a blank", images("set/cat", "set/cat "), "2 of 2 classes look like", "counted"),
    image(
        "class folders of two Unicode forms", images("set/\u00e9", "set/e\u0301"), "2 of 2 classes look like", "counted"
    ),
    image(
        "an image in two classes",
        both(images("set/cat", "set/dog"), copy_cat_to_dog),
        "2 train pictures that occur with another label too, pixel by pixel",
        "counted",
    ),
    image(
        "validation images without classes",
        images("set/train/cat", "set/train/dog", "set/val"),
        "the 10 val pictures have no labels",
        "counted",
    ),
    image(
        "two tables of one set in different orders",
        both(images("A", "B"), list_of("in.csv", range(10)), list_of("out.csv", range(9, -1, -1))),
        r"row 0 pairs .*A/0\.png with .*B/9\.png, and 0 is among the targets in row 9",
        input_source="{folder}/in.csv",
        target_source="{folder}/out.csv",
    ),
    image(
        "a csv of semicolons", text("t.csv", "image;label\na.png;1\n"), "columns parted by semicolons", source="t.csv"
    ),
    image("bytes that are no image", parquet(image=[b"junk"] * 9), "its 4 bytes are no image", source="t.parquet"),
    BadInput("a folder of save_to_disk", images("unused"), saved_images, ends="right", kind="images"),
    a_text("a csv of semicolons", text("t.csv", "text;label\n"), "columns parted by semicolons", name="t.csv"),
    a_text("a csv without a header", text("t.csv", "0,0,good\n1,0,bad\n"), "Has the file no header", name="t.csv"),
    a_text(
        "a column as an object",
        text("t.jsonl", json.dumps({"text": TEXTS, "label": 1})),
        "row 0: text is .{60,70} …, not text",
        name="t.jsonl",
    ),
    a_text("a csv of tabs", text("t.csv", "text\tlabel\n"), "columns parted by tabs", name="t.csv"),
    a_text(
        "labels 1 and 1.0",
        text("t.tsv", labelled(lambda row: ["0", "0.0", "1", "1.0"][row % 4])),
        "4 of 4 classes look like another",
        "counted",
    ),
    a_text(
        "an invisible character behind a label",
        text("t.tsv", labelled(lambda row: ["no", "no\u200b", "yes", "yes"][row % 4])),
        "2 of 3 classes look like another",
        "counted",
    ),
    a_text(
        "a text with two labels",
        text("t.tsv", labelled(lambda row: row % 2) + labelled(lambda row: 1 - row % 2)),
        r"32 of 32 training rows have a text that stands elsewhere with another label, such as row \d+: ",
        "counted",
    ),
    a_text(
        "labels of bytes",
        parquet(text=TEXTS, label=[b"a", b"b"] * 10),
        r"row 0: the label is b'a', not one class",
        name="t.parquet",
    ),
    a_text(
        "a number with an underscore",
        text("t.tsv", labelled(lambda row: "1_5" if row == 3 else row)),
        "row 3: the label '1_5' is no finite number",
        regression=True,
    ),
    a_text("cp1252", text("t.tsv", "caf\u00e9\ta\n".encode("cp1252")), "is not UTF-8 .*: save it as UTF-8"),
    BadInput("a folder of save_to_disk", saved(text=TEXTS, label=[0, 1] * 10), saved_texts, ends="right", kind="texts"),
    a_text("a folder of save_to_disk that is cut off", cut_off, "save_to_disk wrote, but not whole", name="saved"),
    BadInput(
        "a folder of save_to_disk",
        saved(tokens=[["a", "b"]], ner_tags=[["O", "B-X"]]),
        saved_tags,
        ends="right",
        kind="tagged words",
    ),
    tags("words in lists of their own", [["a"], ["b"]], ["O", "B"], r"row 0: word 0 is \"\['a'\]\", not text"),
    tags("tags that are objects", ["a", "b"], [{"t": "O"}, {"t": "B"}], r"row 0: tag 0 is .*, not text"),
    tags("tags of word pieces", ["a", "b"], [-100, 1], r"row 0: tag 0 is -100, which says in labels for word pieces"),
    question("an answer to what has none", "is_impossible is true, and there is the answer '1900'", is_impossible=True),
    question("a place that is yes", "answer_start is True, not a whole", answers=[{"text": "1", "answer_start": True}]),
    question(
        "a place with an underscore", "answer_start is '0_3', not a", answers=[{"text": "1900", "answer_start": "0_3"}]
    ),
    BadInput(
        "an empty answer to what has none",
        text("ask.json", asked(**EMPTY)),
        impossible_with_an_empty_answer,
        ends="right",
        kind="questions",
    ),
    BadInput(
        "a folder of save_to_disk",
        saved(question=["q"], context=["a b"], answers=[{"text": ["b"], "answer_start": [2]}]),
        saved_questions,
        ends="right",
        kind="questions",
    ),
    BadInput("a folder of save_to_disk", saved(en=["hi"], zh=["嗨"]), saved_pairs, ends="right", kind="sentence pairs"),
    pairs("one target for all", lambda n: f"hello {n}\t你好", "no sentence pairs to train on: all targets are '你好'"),
    pairs(
        "numbers between the sentences",
        lambda n: f"{n}\thello dear friend of mine number {n}\t{n}\t{ZH}{n}",
        "nothing is left of 20 training rows .* Are these the two languages, in this order: '0' and 'hello",
    ),
]
