"""Sentence pairs and questions as people have them: tabs, headers, words that look like nothing, flags, odd rows."""

import json
from collections.abc import Callable
from pathlib import Path

from lhy_lightning.data.questions.question_data import QuestionAnsweringDataModule
from lhy_lightning.data.questions.question_files import open_questions
from lhy_lightning.data.translation.parallel_files import open_parallel
from lhy_lightning.data.translation.translation_data import TranslationDataModule
from tests.bad_input.case import BadInput, set_up, text

PAIRS = "".join(f"hello {n}\t你好{n}\n" for n in range(20))
WORDS = [("null", "空"), ("NA", "不适用"), ("nan", "无"), ("None", "没有"), ("01", "零一")]


def fit(name: str, **arguments: object) -> Callable[[Path], None]:
    return set_up(TranslationDataModule, name, vocab_size=60, val_fraction=0.2, tokenizer="character", **arguments)


def pairs_are(name: str, source: list[str], target: list[str] | None) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        found = open_parallel(str(folder / name), source_lang="en", target_lang="zh")["train"]
        assert (found.source, found.target) == (source, target)

    return read


def pair(what: str, name: str, content: str | bytes, read: Callable[[Path], None], says: str = "") -> BadInput:
    ends = "right" if read.__qualname__.startswith("pairs_are") else "line"
    return BadInput(what, text(name, content), read, says, ends=ends, kind="sentence pairs")  # type: ignore[arg-type]


def question(what: str, rows: str, says: str, *, name: str = "ask.csv") -> BadInput:
    def read(folder: Path) -> None:
        QuestionAnsweringDataModule(str(folder / name), vocab_size=60).setup("fit")

    return BadInput(what, text(name, rows), read, says, kind="questions")


def questions_are_words(folder: Path) -> None:
    first, second = open_questions(str(folder / "ask.csv"))["train"].questions
    assert (first.id, first.text, first.answers[0].text, first.answers[0].start) == ("01", "null", "NA", 3)
    assert (second.id, second.text, second.answers) == ("002", "nan", ())


def test_source_is_read(folder: Path) -> None:
    set_up(TranslationDataModule, "train.tsv", vocab_size=60, val_fraction=0.2, test_source="{folder}/test.tsv")(folder)


def both(folder: Path) -> None:
    text("train.tsv", PAIRS)(folder)
    text("test.tsv", "one\t一\ntwo\tor more\t二\n")(folder)


BY_COLUMN = '{"en": "hi", "zh": "嗨"}\n{"en": ["hello"], "zh": "你好"}\n'
HUB = [{"translation": {"en": "hi", "zh": "嗨"}}, {"translation": None}]
ASK = "id,question,context,answer,answer_start\n"

INPUTS = [
    pair(
        "a tab in a sentence",
        "p.tsv",
        PAIRS + "hel\tlo\t你好\n",
        fit("p.tsv"),
        r"p\.tsv, line 21: 3 tab-separated columns where 2 are needed, as most lines have\. Is there a tab in a text",
    ),
    pair("a row without its target", "p.tsv", PAIRS + "hello\n", fit("p.tsv"), r"line 21: 1 tab-separated columns"),
    pair("a header of languages", "p.tsv", "en\tzh\nhi\t嗨\n", pairs_are("p.tsv", ["hi"], ["嗨"])),
    pair("a header in the other order", "p.tsv", "zh\ten\n嗨\thi\n", pairs_are("p.tsv", ["hi"], ["嗨"])),
    pair("a header of source and target", "p.tsv", "source\ttarget\nhi\t嗨\n", pairs_are("p.tsv", ["hi"], ["嗨"])),
    pair("a file of sources alone", "p.tsv", "hi\nhello\n", pairs_are("p.tsv", ["hi", "hello"], None)),
    pair("training on sources alone", "p.tsv", "hi\nhello\n", fit("p.tsv"), "has no sentence pairs to train on"),
    pair(
        "words that look like missing values",
        "p.csv",
        "en,zh\n" + "".join(f"{en},{zh}\n" for en, zh in WORDS),
        pairs_are("p.csv", [en for en, _ in WORDS], [zh for _, zh in WORDS]),
    ),
    pair(
        "a csv in gb18030",
        "p.csv",
        "en,zh\nhi,我们的国家\n".encode("gb18030"),
        fit("p.csv"),
        "is not UTF-8 .*might be gb18030",
    ),
    pair("a list for a sentence", "p.jsonl", BY_COLUMN, fit("p.jsonl"), r"p\.jsonl.*(could not be read|not text)"),
    pair(
        "a row without its translations",
        "p.jsonl",
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in HUB),
        fit("p.jsonl"),
        r"p\.jsonl, row 1: the translation is missing",
    ),
    BadInput(
        "a tab in a sentence of the test file",
        both,
        test_source_is_read,
        r"test\.tsv, line 2: 3 tab-separated columns where 2 are needed",
        kind="sentence pairs",
    ),
    BadInput(
        "words that look like missing values",
        text("ask.csv", "id,question,context,answer,answer_start\n01,null,is NA,NA,3.0\n002,nan,None,,\n"),
        questions_are_words,
        ends="right",
        kind="questions",
    ),
    question("an answer_start that is none", ASK + "1,a?,b c,c,two\n", r"row 0: answer_start is 'two', not a whole"),
    question("a row with a column too many", ASK + "1,a?,b, c,c,2\n", r"line 2: 6 columns where the header"),
    question("no rows", ASK, "has no rows"),
]
