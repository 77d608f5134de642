"""Cells of csv are text as it stands; what cannot be a table is one line that says where."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lhy_lightning.data.labelled_texts.labelled_files import class_names_of, open_text_file
from lhy_lightning.data.sources.folders import natural
from lhy_lightning.data.sources.tables import BLOCK_ROWS, TABLES, read_table
from lhy_lightning.data.sources.utf8_files import likely_encoding

WORDS = ["NA", "null", "nan", "None", "01", "1.0", "TRUE", "2020-01-01", "-1", " a ", 'say "hi"', "a,b", "two\nlines"]


def csv_file(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_cells_of_csv_are_text_and_only_an_empty_one_is_missing(tmp_path: Path) -> None:
    rows = [{"text": word, "label": str(place)} for place, word in enumerate([*WORDS, ""])]
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    table = read_table(tmp_path / "a.csv")
    assert list(table["text"]) == [*WORDS, None]
    assert list(table["label"]) == [str(place) for place in range(len(rows))]


@pytest.mark.parametrize("ending", TABLES)
def test_blanks_round_column_names_are_dropped_in_every_format(tmp_path: Path, ending: str) -> None:
    path, frame = tmp_path / f"a{ending}", pd.DataFrame({" text": ["a", "b"], "label ": [0, 1]})
    writers: dict[str, Callable[[], Any]] = {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".parquet": lambda: frame.to_parquet(path),
        ".json": lambda: frame.to_json(path, orient="records"),
        ".jsonl": lambda: frame.to_json(path, orient="records", lines=True),
    }
    writers[ending]()
    assert read_table(path).column_names == ["text", "label"]


def test_other_formats_keep_their_types(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.jsonl", '{"text": "NA", "label": 1}\n{"text": null, "label": 2}\n')
    assert list(read_table(tmp_path / "a.jsonl")["text"]) == ["NA", None]
    assert list(read_table(tmp_path / "a.jsonl")["label"]) == [1, 2]


@pytest.mark.parametrize("ending", [".json", ".jsonl"])
def test_texts_that_are_dates_stay_as_they_are_written(tmp_path: Path, ending: str) -> None:
    rows = [{"text": "2020-01-01", "label": "2020-01-02 03:04:05"}, {"text": "2020-01-03", "label": "x"}]
    content = json.dumps(rows) if ending == ".json" else "".join(json.dumps(row) + "\n" for row in rows)
    table = read_table(csv_file(tmp_path / f"a{ending}", content))
    assert [dict(row) for row in table] == rows


def test_a_csv_is_read_in_blocks_zipped_or_not_with_any_line_end(tmp_path: Path) -> None:
    rows = BLOCK_ROWS * 2 + 7
    content = b"\xef\xbb\xbftext,label\r\n" + b"".join(b"t%d,%d\r\n\r\n" % (n, n % 2) for n in range(rows))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content, 1))
    table = read_table(tmp_path / "a.csv.gz")
    assert table.column_names == ["text", "label"]
    assert (len(table), table[rows - 1]) == (rows, {"text": f"t{rows - 1}", "label": str((rows - 1) % 2)})


def test_a_file_that_changes_is_read_anew_and_has_another_fingerprint(tmp_path: Path) -> None:
    first = read_table(csv_file(tmp_path / "a.csv", "text\na\n"))
    second = read_table(csv_file(tmp_path / "a.csv", "text\nbb\n"))
    assert (list(first["text"]), list(second["text"])) == (["a"], ["bb"])
    assert first._fingerprint != second._fingerprint


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", r"a\.csv \(0 bytes\) has no rows"),
        ("text,label\n", r"a\.csv \(11 bytes\) has no rows"),
        ("text,label\na,0\nb,c,1\n", r"a\.csv, line 3: 3 columns where the header \(line 1\) has 2\. A comma inside"),
        ('text,label\n"two\nlines",0\nb\n', r"a\.csv, line 4: 1 column where the header \(line 1\) has 2"),
        ("text,label,\na,0\n", r"line 2: 2 columns where the header \(line 1\) has 3"),
        ('text,label\na,"0\nb,1\nc,0\n', r"a\.csv, line 2: the row that begins here has a quotation mark"),
        ('text,label\n"say "hi" to",0\n', r"a\.csv, line 2: .*inside it each is written twice"),
        ("text,text \na,0\n", r"has 2 columns called 'text': rename or remove one"),
        ("text,label\n很好,猫\n不好,狗\n".encode("gb18030"), r"is not UTF-8 \(line 2, byte 1: 0xba.*might be gb18030"),
        ("text,label\n這是我們的,貓\n".encode("big5"), r"is not UTF-8 .*It might be big5"),
        ("text,label\na,0\n".encode("utf-16"), "looks like UTF-16"),
        ("text,label\na,0\n".encode("utf-16-le"), "looks like UTF-16"),
        (b"\x1f\x8b\x08\x00broken", r"a\.csv is a broken gzip file"),
    ],
)  # fmt: skip
def test_a_csv_that_is_none_is_one_line(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        read_table(csv_file(tmp_path / "a.csv", content))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("ending", [".parquet", ".json", ".jsonl"])
@pytest.mark.parametrize("content", [b"", b"{", b'[{"text": "a"', b"PAR1 nothing", "猫".encode("gb18030"), b"[]"])
def test_other_files_that_are_none_are_one_line(
    tmp_path: Path, ending: str, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = csv_file(tmp_path / f"a{ending}", content)
    with pytest.raises(ValueError, match=rf"a\{ending} .*(has no rows|could not be read as|is not UTF-8)") as raised:
        read_table(path)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_chinese_encodings_are_told_apart_by_the_characters_that_they_give() -> None:
    assert likely_encoding("我们的国家是一个大国，他们说不要来。".encode("gb18030")) == "gb18030"
    assert likely_encoding("我們的國家是一個大國，他們說不要來。".encode("big5")) == "big5"
    assert likely_encoding(b"caf\xe9?\n") is None


# --- order of names ---------------------------------------------------------------------------------------------------


def test_names_that_differ_never_tie_and_signed_numbers_stand_in_their_order() -> None:
    expected = ["-10", "-1.5", "-1", "0", "01", "1", "2", "10", "A", "a", "a2", "a10", "a-1", "Neg", "neg", "①", "②"]
    for start in range(len(expected)):
        assert sorted([*expected[start:], *expected[:start]], key=natural) == expected
    assert len({natural(name) for name in expected}) == len(expected)
    assert natural("9" * 5000) != natural("9" * 5001)


def test_classes_have_one_order_whatever_the_hash_seed_and_process(tmp_path: Path) -> None:
    labels = ["Pos", "pos", "Neg", "neg", "1", "01", "001", "-1", "②", "２"]
    (tmp_path / "c.tsv").write_text("".join(f"row {n}\t{labels[n % 10]}\n" for n in range(40)), "utf8")
    code = (
        "import sys; from pathlib import Path; from lhy_lightning.data.labelled_texts.labelled_files import *;"
        "print(ascii(class_names_of(open_text_file(Path(sys.argv[1])))))"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "c.tsv")],
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    said = {elsewhere.stdout.strip(), ascii(class_names_of(open_text_file(tmp_path / "c.tsv")))}
    assert len(said) == 1
    assert said.pop().strip() == ascii(tuple(sorted(labels, key=natural)))
