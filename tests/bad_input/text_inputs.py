"""Texts, tagged sentences, pairs and questions as people have them: every form of source times every kind of fault."""

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
from datasets import Dataset

from lhy_lightning.data.labelled_texts.labelled_files import open_labelled_text
from lhy_lightning.data.labelled_texts.text_data import TextDataModule
from tests.bad_input.case import BadInput, text

Rows = Sequence[tuple[Any, ...]]
Make = Callable[[Path], object]
FORMS = ("tsv", "csv", "jsonl", "parquet", "hub")
"""Each meets every kind of fault."""
SHORT = ("json", "csv.gz", "tsv.gz", "folder")
"""Read by the same code as one of those: they meet the first kinds."""
TYPED = ("jsonl", "parquet", "hub")

GOOD: list[tuple[Any, ...]] = [(f"row {n}", "pos" if n % 2 else "neg") for n in range(20)]


def table(form: str, rows: Rows, names: Sequence[str] = ("text", "label")) -> Make:
    """Writes rows as `rows.<form>`, or as `rows.folder/train.tsv`; None is an empty cell or a null."""

    def make(folder: Path) -> None:
        path, kind = folder / f"rows.{form}", form.removesuffix(".gz")
        if form == "folder":
            path.mkdir()
            path, kind = path / "train.tsv", "tsv"
        told = [dict(zip(names, row, strict=False)) for row in rows]
        if kind == "tsv":
            cells = [names, *rows]
            content = "".join("\t".join("" if cell is None else str(cell) for cell in row) + "\n" for row in cells)
        elif kind == "csv":
            content = pd.DataFrame(told, dtype=object).to_csv(index=False)
        elif kind in ("parquet", "hub"):
            pd.DataFrame(told, columns=None if told else names).to_parquet(path)
            return
        else:
            content = json.dumps(told) if kind == "json" else "".join(json.dumps(row) + "\n" for row in told)
        path.write_bytes(gzip.compress(content.encode()) if form.endswith(".gz") else content.encode())

    return make


def files(**contents: str) -> Make:
    """Writes several files; `_` in a name stands for the dot before the ending."""

    def make(folder: Path) -> None:
        for name, content in contents.items():
            (folder / name.replace("_", ".")).write_text(content, "utf8")

    return make


@contextmanager
def source_of(form: str, folder: Path) -> Iterator[str]:
    """What a user gives as source; a hub id finds the table beside, as there is no hub here."""
    if form != "hub":
        yield str(folder / f"rows.{form}") if form else str(folder)
        return

    def load(name: str) -> Dataset:
        assert name == "someone/rows"
        return Dataset.from_pandas(pd.read_parquet(folder / "rows.hub"))

    with patch("datasets.load_dataset", load):
        yield "someone/rows"


def set_up(form: str, folder: Path, **arguments: Any) -> TextDataModule:
    """Sets up for training as the Trainer does, on few pieces."""
    with source_of(form, folder) as source:
        data = TextDataModule(source, vocab_size=60, **arguments)
        data.setup("fit")
    return data


def fit(form: str = "", **arguments: Any) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        set_up(form, folder, **arguments)

    return read


def finds(expected: tuple[str, ...], form: str = "", **arguments: Any) -> Callable[[Path], None]:
    """Asserts what is read as classes of the training rows."""

    def read(folder: Path) -> None:
        assert set_up(form, folder, **arguments).class_names == expected

    return read


def texts_are(expected: Sequence[str], form: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        with source_of(form, folder) as source:
            assert open_labelled_text(source)["train"].first == list(expected)

    return read


# --- labels and texts, in every form ----------------------------------------------------------------------------------

WORDS = ["NA", "null", "nan", "None", "01", "TRUE", "1.0", "#N/A", "-"]


def labelled(form: str) -> list[BadInput]:
    """The same faults in each form of source; the first three are those of all forms."""
    here, kind = f" ({form})", "texts"
    other = [(f"more {n}", "pos" if n % 2 else "neg") for n in range(8)]
    cases = [
        BadInput(
            "one class only" + here,
            table(form, [(f"row {n}", 1) for n in range(20)]),
            fit(form),
            r"all \d+ training rows are of class '1'.*--data\.label_column",
            kind=kind,
        ),
        BadInput(
            "words that look like missing values" + here,
            table(form, [(word, n % 2) for n, word in enumerate(WORDS)]),
            texts_are(WORDS, form),
            ends="right",
            kind=kind,
        ),
        BadInput(
            "rows without a gold label, '-' and empty" + here,
            table(form, [*GOOD, ("odd 1", "-"), ("odd 2", "-"), ("odd 3", "")]),
            finds(("neg", "pos"), form),
            r"3 of 23 rows have no label \(2 '-', 1 empty\): they are left out",
            ends="counted",
            kind=kind,
        ),
        BadInput(
            "labels '+' and '-'" + here,
            table(form, [(f"row {n}", "+-"[n % 2]) for n in range(20)]),
            finds(("+", "-"), form),
            ends="right",
            kind=kind,
        ),
        BadInput(
            "labels 1 and -1" + here,
            table(form, [(f"row {n}", (1, -1)[n % 2]) for n in range(20)]),
            finds(("-1", "1"), form),
            ends="right",
            kind=kind,
        ),
        BadInput(
            "labels -1, 0 and 1" + here,
            table(form, [(f"row {n}", n % 3 - 1) for n in range(30)]),
            finds(("-1", "0", "1"), form),
            ends="right",
            kind=kind,
        ),
        BadInput(
            "every label is -1" + here,
            table(form, [(f"row {n}", -1) for n in range(20)]),
            fit(form),
            "has no labels: set --data.label_column",
            kind=kind,
        ),
        BadInput(
            "labels with blanks behind" + here,
            table(form, [*GOOD, ("row a", "pos "), ("row b", " neg")]),
            finds(("neg", "pos"), form),
            ends="right",
            kind=kind,
        ),
        BadInput(
            "class names with zeros" + here,
            table(form, [(f"row {n}", ("01", "1", "Pos", "pos")[n % 4]) for n in range(40)]),
            finds(("01", "1", "Pos", "pos"), form),
            "4 classes in 36 training rows: 01 ",
            ends="right",
            kind=kind,
        ),
        BadInput(
            "a sentence as a label" + here,
            table(form, [*GOOD, ("row a", "this was not meant to be a label at all, but a text")]),
            fit(form, val_fraction=0.05),
            "are as long as a sentence: is a text read as a label",
            ends="counted",
            kind=kind,
        ),
        BadInput(
            "no rows" + here,
            text(f"rows.{form}", "") if form == "jsonl" else table(form, []),
            fit(form),
            "has no rows|has a header and no rows|could not be read as|is empty",
            kind=kind,
        ),
        BadInput(
            "regression: the label nan" + here,
            table(form, [*[(f"row {n}", str(n / 4)) for n in range(20)], ("row a", "nan")]),
            fit(form, regression=True),
            r"row 20: the label 'nan' is no finite number",
            kind=kind,
        ),
        BadInput(
            "regression: the label inf" + here,
            table(form, [*[(f"row {n}", str(n / 4)) for n in range(20)], ("row a", "inf")]),
            fit(form, regression=True),
            r"row 20: the label 'inf' is no finite number",
            kind=kind,
        ),
        BadInput(
            "regression: a word" + here,
            table(form, [*[(f"row {n}", str(n / 4)) for n in range(20)], ("row a", "high")]),
            fit(form, regression=True),
            r"row 20: the label 'high' is no finite number",
            kind=kind,
        ),
        BadInput(
            "regression: a label is missing" + here,
            table(form, [*[(f"row {n}", str(n / 4)) for n in range(20)], ("row a", "")]),
            fit(form, regression=True),
            r"1 of 21 rows have no label \(1 empty\)",
            ends="counted",
            kind=kind,
        ),
        BadInput(
            "a class of the test rows that training lacks" + here,
            lambda folder: (table(form, GOOD)(folder), text("test.tsv", "text\tlabel\na\tpos\nb\tso so\n")(folder)),
            fit(form, test_source="test.tsv"),
            r"test\.tsv, row 1: the label 'so so' is none of the 2 classes of the training rows \(neg, pos\)",
            kind=kind,
        ),
        BadInput(
            "test rows some of which have no gold label" + here,
            lambda folder: (table(form, GOOD)(folder), text("test.tsv", "text\tlabel\na\tpos\nb\t-\n")(folder)),
            finds(("neg", "pos"), form, test_source="test.tsv"),
            r"test\.tsv: 1 of 2 rows have no label \(1 '-'\): they are predicted and not scored",
            ends="counted",
            kind=kind,
        ),
        BadInput(
            "single texts beside training pairs" + here,
            lambda folder: (
                (
                    table(form, [(f"a {n}", f"b {n}", n % 2) for n in range(20)], ("text", "text_pair", "label"))(
                        folder
                    ),
                    table("csv", other)(folder / "val"),
                )
                if (folder / "val").mkdir() is None
                else None
            ),
            fit(form, val_source="val/rows.csv"),
            r"rows\.csv holds single texts, the training rows are pairs of texts",
            kind=kind,
        ),
    ]
    if form in TYPED:
        cases.append(
            BadInput(
                "several labels in a row" + here,
                table(form, [(f"row {n}", ["x", "y"][: 1 + n % 2]) for n in range(20)]),
                fit(form),
                r"row 0: the label is \['x'\], not one class or number",
                kind=kind,
            )
        )
    return cases


# --- rows of another length, encodings --------------------------------------------------------------------------------

TABBED = "".join(f"row {n}\t{'pos' if n % 2 else 'neg'}\n" for n in range(20))
PAIRS = "".join(f"left {n}\tright {n}\t{n % 2}\n" for n in range(20))

FILES = [
    BadInput(
        "a tab in a text, with a header",
        text("rows.tsv", "text\tlabel\n" + TABBED + "a\tb\tpos\n"),
        fit("tsv"),
        r"line 22: 3 tab-separated columns where 2 are needed, as the header \(line 1\) has",
        kind="texts",
    ),
    BadInput(
        "a tab in every tenth text, without a header",
        text("rows.tsv", "one\ttwo\tpos\n" + TABBED + "one\ttwo\tneg\n"),
        fit("tsv"),
        r"line 1: 3 tab-separated columns where 2 are needed, as most lines have; 1 more lines differ",
        kind="texts",
    ),
    BadInput(
        "a row with a column too few",
        text("rows.tsv", TABBED + "alone\n"),
        fit("tsv"),
        r"line 21: 1 tab-separated columns where 2 are needed",
        kind="texts",
    ),
    BadInput(
        "blank cells behind the last column",
        text("rows.tsv", "text\tlabel\t\n" + TABBED.replace("pos\n", "pos\t\t\n")),
        finds(("neg", "pos"), "tsv"),
        ends="right",
        kind="texts",
    ),
    BadInput(
        "a csv row with a comma too many",
        text("rows.csv", "text,label\na,pos\nb,c,neg\n"),
        fit("csv"),
        r"line 3: 3 columns where the header \(line 1\) has 2",
        kind="texts",
    ),
    BadInput(
        "a csv in gb18030",
        text("rows.csv", "text,label\n很好,正\n不好,负\n".encode("gb18030")),
        fit("csv"),
        r"rows\.csv is not UTF-8 \(line 2, byte 1.*It might be gb18030; `iconv",
        kind="texts",
    ),
    BadInput(
        "a tsv in big5",
        text("rows.tsv", "這是我們的國家\t正\n不好\t負\n".encode("big5")),
        fit("tsv"),
        r"is not UTF-8.*It might be big5; `iconv",
        kind="texts",
    ),
    BadInput(
        "a csv in UTF-16", text("rows.csv", "text,label\na,0\n".encode("utf-16")), fit("csv"), "UTF-16", kind="texts"
    ),
    BadInput(
        "a parquet file that is cut off",
        lambda folder: (
            table("parquet", GOOD)(folder),
            (folder / "rows.parquet").write_bytes((folder / "rows.parquet").read_bytes()[:-9]),
        ),
        fit("parquet"),
        r"rows\.parquet could not be read as parquet",
        kind="texts",
    ),
    BadInput(
        "AFQMC: a test file without the column of labels",
        files(
            train_txt=PAIRS,
            dev_txt=PAIRS.replace("left", "l"),
            test_txt=PAIRS.replace("\t0\n", "\n").replace("\t1\n", "\n"),
        ),
        lambda folder: finds_afqmc(folder),
        ends="right",
        kind="texts",
    ),
    BadInput(
        "a validation file without the column of labels",
        files(train_txt=PAIRS, dev_txt=PAIRS.replace("\t0\n", "\n").replace("\t1\n", "\n")),
        lambda folder: TextDataModule(str(folder), vocab_size=60).setup("fit"),
        r"dev\.txt has a column less than the training rows, so none for labels",
        kind="texts",
    ),
    BadInput(
        "a file to predict that is not there",
        text("rows.tsv", TABBED),
        fit("tsv", predict_source="new.txt"),
        r"predict_source 'new\.txt' does not exist",
        kind="texts",
    ),
]


def finds_afqmc(folder: Path) -> None:
    data = TextDataModule(str(folder), vocab_size=60)
    data.setup("fit")
    assert data.pairs
    assert data.has_test
    assert not data.test_labelled
    data.setup("predict")
    assert data.texts("predict") == ([f"left {n}" for n in range(20)], [f"right {n}" for n in range(20)])


INPUTS = [
    *(case for form in FORMS for case in labelled(form)),
    *(case for form in SHORT for case in labelled(form)[:3]),
    *FILES,
]
