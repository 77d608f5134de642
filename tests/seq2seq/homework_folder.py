"""A folder as homework 5 hands it out, small: real pairs of the embedded set, a test file of placeholders."""

import gzip
from pathlib import Path

from lhy_lightning.data.translation.parallel_files import open_parallel


def write_ted2020(folder: Path, rows: int = 300, test: int = 7) -> Path:
    """raw.en, raw.zh, test.en, test.zh (a full stop a line) and the one-language ted_zh_corpus.deduped.gz."""
    text = open_parallel("embedded:cldr", source_lang="en", target_lang="zh")["train"]
    assert text.target is not None
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, lines: list[str]) -> None:
        (folder / name).write_text("".join(line + "\n" for line in lines), "utf8")

    write("raw.en", list(text.source[:rows]))
    write("raw.zh", list(text.target[:rows]))
    write("test.en", list(text.source[rows : rows + test]))
    write("test.zh", ["。"] * test)
    with gzip.open(folder / "ted_zh_corpus.deduped.gz", "wt", encoding="utf8") as file:
        file.writelines(line + "\n" for line in text.target[rows + test : rows + test + 40])
    return folder
