"""Files that are empty, cut off, without rows or something else: every format with every reader that opens it."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lhy_lightning import (
    AnomalyDataModule,
    DomainDataModule,
    ImageDataModule,
    QuestionAnsweringDataModule,
    TaggingDataModule,
    TextDataModule,
    TranslationDataModule,
    UnpairedImageDataModule,
)
from tests.bad_input.case import BadInput, set_up, text

Rows = list[dict[str, Any]]
IMAGES: Rows = [{"image": [[row, 9], [8, 7]], "label": row % 2} for row in range(12)]
TEXTS: Rows = [{"text": f"a text {row}", "label": f"class{row % 2}"} for row in range(12)]
WORDS: Rows = [{"tokens": ["a", f"w{row}"], "tags": ["X", "Y"]} for row in range(12)]
PAIRS: Rows = [{"en": f"a line {row}", "zh": f"一行 {row}"} for row in range(12)]
QUESTIONS: Rows = [
    {"id": str(row), "context": f"the answer is {row}", "question": f"what {row}?",
     "answers": {"text": [str(row)], "answer_start": [14]}}
    for row in range(12)
]  # fmt: skip


def parquet(rows: Rows) -> bytes:
    import pyarrow
    from pyarrow import parquet as files

    buffer = io.BytesIO()
    schema = pyarrow.Table.from_pylist(rows or IMAGES).schema
    files.write_table(pyarrow.Table.from_pylist(rows, schema), buffer)
    return buffer.getvalue()


def npy(rows: Rows) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((len(rows), 4, 4), dtype=np.uint8))
    return buffer.getvalue()


def columns(separator: str, end: str = "\n") -> Callable[[Rows], bytes]:
    """Text files: a header, and a row a line."""

    def write(rows: Rows) -> bytes:
        names = ["text", "label"]
        lines = [separator.join(names), *(separator.join(str(row.get(name, "x")) for name in names) for row in rows)]
        return end.join(lines).encode()

    return write


def conllu(rows: Rows) -> bytes:
    return "\n\n".join(
        "\n".join(f"{n}\t{row['tokens'][n]}\t_\t{tag}" for n, tag in enumerate(row["tags"]))
        for row in rows
    ).encode()  # fmt: skip


FORMATS: dict[str, Callable[[Rows], bytes]] = {
    "npy": npy,
    "parquet": parquet,
    "csv": columns(","),
    "tsv": columns("\t"),
    "conllu": conllu,
    "json": lambda rows: json.dumps(rows).encode(),
    "jsonl": lambda rows: "\n".join(map(json.dumps, rows)).encode(),
}
for name in ("csv", "tsv", "jsonl", "json"):
    FORMATS[f"{name}.gz"] = lambda rows, write=FORMATS[name]: gzip.compress(write(rows))  # type: ignore[misc]

FAULTS: dict[str, Callable[[Callable[[Rows], bytes], Rows], bytes]] = {
    "empty": lambda write, rows: b"",
    "cut off": lambda write, rows: write(rows)[: int(len(write(rows)) * 0.55)],
    "without rows": lambda write, rows: write([]),
    "of random bytes": lambda write, rows: np.random.default_rng(0).integers(128, 256, 300, dtype=np.uint8).tobytes(),
}

READERS: list[tuple[Any, Rows, tuple[str, ...]]] = [
    (ImageDataModule, IMAGES, ("npy", "parquet", "csv", "json", "jsonl")),
    (AnomalyDataModule, IMAGES, ("npy",)),
    (DomainDataModule, IMAGES, ("npy", "parquet")),
    (UnpairedImageDataModule, IMAGES, ("npy", "parquet")),
    (TextDataModule, TEXTS, ("parquet", "csv", "tsv", "json", "jsonl", "csv.gz", "tsv.gz", "jsonl.gz")),
    (TaggingDataModule, WORDS, ("conllu", "parquet", "json", "jsonl", "jsonl.gz")),
    (TranslationDataModule, PAIRS, ("parquet", "csv", "json", "jsonl", "tsv.gz")),
    (QuestionAnsweringDataModule, QUESTIONS, ("json", "jsonl", "parquet")),
]
HALF_IS_WHOLE = {("cut off", ending) for ending in ("csv", "tsv", "conllu")}
"""A text file of half as many lines is a file."""


def opened(reader: Any, name: str) -> Callable[[Path], None]:
    """The data module's set-up on that file alone."""
    if reader is UnpairedImageDataModule:
        return set_up(reader, source_a="{folder}/" + name, source_b="{folder}/" + name)
    return set_up(reader, name, **({"target": "{folder}/" + name} if reader is DomainDataModule else {}))


SAYS = {
    "empty": r"given\.{ending}.*(no rows|empty|\(0 bytes\))",
    "cut off": r"given\.{ending}.*(cut off|[Ee]ither the file is corrupted|broken gzip|ended before|"
    "could not be read as json|Is the file whole)",
    "without rows": r"given\.{ending}.*(no rows|empty|none of the known forms)|none would be left",
    "of random bytes": r"given\.{ending}.*(is another file|not UTF-8|[Nn]ot a gzip|JSON parse|not a parquet)",
}
"""What each must say: the file, and what is wrong with it."""

INPUTS = [
    BadInput(
        f"{reader.__name__.removesuffix('DataModule')}: a {ending} file {fault}",
        text(f"given.{ending}", FAULTS[fault](FORMATS[ending], rows)),
        opened(reader, f"given.{ending}"),
        SAYS[fault].format(ending=ending),
        kind="files",
    )
    for reader, rows, endings in READERS
    for ending in endings
    for fault in FAULTS
    if (fault, ending) not in HALF_IS_WHOLE
]


def tokenizer(content: bytes) -> Callable[[Path], None]:
    """Twelve good texts, and a tokenizer's folder whose file is not one."""

    def make(folder: Path) -> None:
        text("given.csv", FORMATS["csv"](TEXTS))(folder)
        text("tokenizer/tokenizer.json", content)(folder)

    return make


INPUTS += [
    BadInput(
        f"{reader.__name__.removesuffix('DataModule')}: a tokenizer.json {what}", tokenizer(content),
        set_up(reader, "given.csv", tokenizer_file="{folder}/tokenizer"),
        "tokenizer.*(cannot|could not|no tokenizer)", kind="files",
    )
    for reader in (TextDataModule,)
    for what, content in [("that is empty", b""), ("that is cut off", b'{"version": "1.0", "mod'), ("of a list", b"[]")]
]  # fmt: skip
