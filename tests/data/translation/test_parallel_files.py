import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from lhy_lightning.data.sources.utf8_files import open_lines
from lhy_lightning.data.translation.line_alignment import parting_line
from lhy_lightning.data.translation.parallel_files import open_parallel

EN = [f"sentence {row}" for row in range(5)]
ZH = [f"句子{row}" for row in range(5)]


def write(path: Path, lines: list[str], *, end: str = "\n") -> Path:
    content = "".join(line + end for line in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def open_en_zh(source: Path | str, **more: str):  # type: ignore[no-untyped-def]
    return open_parallel(str(source), source_lang="en", target_lang="zh", **more)


# --- folders and pairs of files ---------------------------------------------------------------------------------------


def test_the_homeworks_folder_as_handed_out(tmp_path: Path) -> None:
    write(tmp_path / "raw.en", EN)
    write(tmp_path / "raw.zh", ZH)
    write(tmp_path / "test.en", EN[:3])
    write(tmp_path / "test.zh", ["。"] * 3)
    write(tmp_path / "ted_zh_corpus.deduped.gz", ZH)
    found = open_en_zh(tmp_path)
    assert set(found) == {"train", "test"}
    assert (found["train"].source, found["train"].target, found["train"].placeholder) == (EN, ZH, False)
    assert found["test"].placeholder
    assert len(found["test"]) == 3
    assert str(tmp_path / "raw.en") in found["train"].origin


def test_the_homeworks_folder_under_the_names_that_its_notebook_gives(tmp_path: Path) -> None:
    for name, rows in (("train_dev.raw", 5), ("test.raw", 2)):
        write(tmp_path / f"{name}.en", EN[:rows])
        write(tmp_path / f"{name}.zh", ZH[:rows])
    assert {role: len(text) for role, text in open_en_zh(tmp_path).items()} == {"train": 5, "test": 2}


def test_multi30ks_folder_of_gzipped_files(tmp_path: Path) -> None:
    for name, rows in (("train", 5), ("val", 2), ("test_2016_flickr", 1)):
        write(tmp_path / f"{name}.en.gz", EN[:rows])
        write(tmp_path / f"{name}.de.gz", ZH[:rows])
    found = open_parallel(str(tmp_path), source_lang="de", target_lang="en")
    assert {role: len(text) for role, text in found.items()} == {"train": 5, "val": 2, "test": 1}
    assert found["val"].source == ZH[:2]


def test_two_test_sets_in_a_folder_are_not_guessed_between(tmp_path: Path) -> None:
    for name in ("train", "test_2016", "test_2017"):
        write(tmp_path / f"{name}.en", EN)
        write(tmp_path / f"{name}.zh", ZH)
    with pytest.raises(ValueError, match=r"test_2016 and test_2017 both look like the test split.*test_source"):
        open_en_zh(tmp_path)


def test_test_lines_need_no_translation_and_training_lines_do(tmp_path: Path) -> None:
    write(tmp_path / "train.en", EN)
    write(tmp_path / "train.zh", ZH)
    write(tmp_path / "test.en", EN)
    assert open_en_zh(tmp_path)["test"].target is None
    (tmp_path / "train.zh").unlink()
    with pytest.raises(FileNotFoundError, match=r"train\.en has no counterpart train\.zh"):
        open_en_zh(tmp_path)


def test_a_prefix_names_two_files_one_of_which_may_be_gzipped(tmp_path: Path) -> None:
    write(tmp_path / "ted.v1.en", EN)
    write(tmp_path / "ted.v1.zh.gz", ZH)
    found = open_en_zh(tmp_path / "ted.v1")
    assert (found["train"].source, found["train"].target) == (EN, ZH)
    (tmp_path / "ted.v1.en").unlink()
    with pytest.raises(FileNotFoundError, match=r"ted\.v1\.zh\.gz has no counterpart ted\.v1\.en"):
        open_en_zh(tmp_path / "ted.v1")


def test_one_repeated_target_is_a_placeholder_only_where_sources_differ(tmp_path: Path) -> None:
    write(tmp_path / "a.en", ["hi"] * 3)
    write(tmp_path / "a.zh", ["嗨"] * 3)
    assert not open_en_zh(tmp_path / "a")["train"].placeholder


# --- lines ------------------------------------------------------------------------------------------------------------


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    lines = ["a\u2028b", "c\x0bd\x0ce", "f\x85g\x1c", "h\ri"]
    assert open_lines(write(tmp_path / "a", lines)) == lines


def test_windows_files_are_read_as_others(tmp_path: Path) -> None:
    path = write(tmp_path / "a", EN, end="\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert open_lines(path) == EN


def test_empty_lines_are_lines_and_a_missing_last_line_feed_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("\na\n\n\nb")
    assert open_lines(tmp_path / "a") == ["", "a", "", "", "b"]
    (tmp_path / "a").write_text("a\n\n")
    assert open_lines(tmp_path / "a") == ["a", ""]


def test_gzip_is_told_by_content(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gz", EN)
    assert open_lines(path.rename(tmp_path / "b.txt")) == EN
    (tmp_path / "plain.gz").write_text("hi\n")
    assert open_lines(tmp_path / "plain.gz") == ["hi"]
    (tmp_path / "c.gz").write_bytes((tmp_path / "b.txt").read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"c\.gz is a broken gzip file"):
        open_lines(tmp_path / "c.gz")


def test_bytes_that_are_not_utf8_are_reported_by_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("one\n二\nthr".encode() + b"\xff\xfee\n")
    with pytest.raises(ValueError, match=r"a, line 3, byte 4: 0xff is not UTF-8"):
        open_lines(tmp_path / "a")
    (tmp_path / "b").write_bytes("hello 這是繁體中文\n".encode("big5") * 3)
    with pytest.raises(ValueError, match=r"b, line 1, byte 7: .* is not UTF-8 .*It might be .*iconv -f"):
        open_lines(tmp_path / "b")
    (tmp_path / "c").write_bytes("hello\n".encode("utf-16"))
    with pytest.raises(ValueError, match="looks like UTF-16"):
        open_lines(tmp_path / "c")


def test_an_empty_or_missing_file_is_an_error(tmp_path: Path) -> None:
    for content in ("", "\n", " \n\t\n"):
        (tmp_path / "raw.txt").write_text(content)
        with pytest.raises(ValueError, match=r"raw\.txt is empty"):
            open_lines(tmp_path / "raw.txt")
    with pytest.raises(FileNotFoundError, match=r"raws\.txt does not exist\. .* has raw\.txt"):
        open_lines(tmp_path / "raws.txt")


# --- files of different length ----------------------------------------------------------------------------------------


def long_pair() -> tuple[list[str], list[str]]:
    lengths = np.random.default_rng(0).integers(1, 40, size=200).tolist()
    return ["word " * length for length in lengths], ["字" * length for length in lengths]


@pytest.mark.parametrize("missing", [0, 50, 137, 198])
@pytest.mark.parametrize("surplus", [1, 4])
def test_where_two_files_part_is_told_from_the_lengths_of_their_lines(missing: int, surplus: int) -> None:
    source, target = long_pair()
    for short, long in ((source, target), (target, source)):
        cut = short[:missing] + short[missing + surplus :]
        found = parting_line(cut, long)
        assert found is not None
        assert abs(found - (missing + 1)) <= 2


def test_a_file_that_was_cut_off_fits_to_its_end() -> None:
    source, target = long_pair()
    assert parting_line(source, target[:150]) == 151


def test_where_lines_all_look_alike_nothing_is_claimed(tmp_path: Path) -> None:
    assert parting_line(["word"] * 20, ["字"] * 19) is None
    write(tmp_path / "raw.en", ["word"] * 20)
    write(tmp_path / "raw.zh", ["字"] * 19)
    with pytest.raises(ValueError, match=r"has 20 lines, .* has 19: .* cannot be told"):
        open_en_zh(tmp_path)


def test_files_of_different_length_say_how_long_they_are_and_where_they_part(tmp_path: Path) -> None:
    source, target = long_pair()
    write(tmp_path / "raw.en", source)
    write(tmp_path / "raw.zh", target[:99] + target[101:])
    with pytest.raises(
        ValueError, match=r"raw\.en has 200 lines, .*raw\.zh has 198: .*near line \d+, where raw\.en has 2"
    ):
        open_en_zh(tmp_path)
    write(tmp_path / "raw.zh", target[:-20])
    with pytest.raises(ValueError, match=r"raw\.zh has 180: .*raw\.zh seems to fit; was it cut off"):
        open_en_zh(tmp_path)


# --- tables -----------------------------------------------------------------------------------------------------------


def test_tatoebas_file_of_tab_separated_columns(tmp_path: Path) -> None:
    rows = [f"{en}\t{zh}\tCC-BY 2.0 (France) #1" for en, zh in zip(EN, ZH, strict=True)]
    found = open_en_zh(write(tmp_path / "cmn.txt", rows))["train"]
    assert (found.source, found.target) == (EN, ZH)
    swapped = open_en_zh(tmp_path / "cmn.txt", source_column="1", target_column="0")["train"]
    assert (swapped.source, swapped.target) == (ZH, EN)


def test_a_row_with_too_few_columns_is_reported_by_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.tsv, line 2: 1 tab-separated columns where 2 are needed"):
        open_en_zh(write(tmp_path / "a.tsv", ["hi\t嗨", "hello"]))
    with pytest.raises(ValueError, match="no column names"):
        open_en_zh(tmp_path / "a.tsv", source_column="en")


def test_an_empty_row_of_a_tab_separated_file_is_an_empty_pair(tmp_path: Path) -> None:
    found = open_en_zh(write(tmp_path / "a.tsv", ["hi\t嗨", "", "bye\t再見"]))["train"]
    assert (found.source, found.target) == (["hi", "", "bye"], ["嗨", "", "再見"])


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet"])
def test_tables_have_columns_named_by_language_or_as_told(tmp_path: Path, ending: str) -> None:
    import pandas as pd

    path = tmp_path / f"pairs.{ending}"
    table = pd.DataFrame({"id": range(5), "en": EN, "zh": ZH, "mandarin": ZH[::-1]})
    if ending == "csv":
        table.to_csv(path, index=False)
    elif ending == "parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=ending == "jsonl", force_ascii=False)
    found = open_en_zh(path)["train"]
    assert (found.source, found.target) == (EN, ZH)
    assert open_en_zh(path, target_column="mandarin")["train"].target == ZH[::-1]
    with pytest.raises(ValueError, match=r"has the columns id, en, zh, mandarin.*target_column"):
        open_parallel(str(path), source_lang="en", target_lang="de")
    if ending == "csv":  # its cells are text, digits too
        digits = open_parallel(str(path), source_lang="en", target_lang="zh", source_column="id")["train"]
        assert digits.source == ["0", "1", "2", "3", "4"]
        return
    with pytest.raises(ValueError, match=r"row 0: en is 0, not text"):
        open_en_zh(path, source_column="id")


def test_the_hubs_translation_column(tmp_path: Path) -> None:
    rows = [{"id": "1", "translation": {"en": en, "zh": zh}} for en, zh in zip(EN, ZH, strict=True)]
    write(tmp_path / "a.jsonl", [json.dumps(row) for row in rows])
    found = open_en_zh(tmp_path / "a.jsonl")["train"]
    assert (found.source, found.target) == (EN, ZH)
    with pytest.raises(ValueError, match="has translations of en, zh, but not de"):
        open_parallel(str(tmp_path / "a.jsonl"), source_lang="en", target_lang="de")


def test_a_folder_of_tables_hands_out_its_splits(tmp_path: Path) -> None:
    for name, rows in (("train", 5), ("dev", 2)):
        write(tmp_path / f"{name}.tsv", [f"{EN[row]}\t{ZH[row]}" for row in range(rows)])
    assert {role: len(text) for role, text in open_en_zh(tmp_path).items()} == {"train": 5, "val": 2}


def test_a_missing_cell_is_an_empty_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("en,zh\nhi,嗨\nhello,\n", "utf8")
    assert open_en_zh(tmp_path / "a.csv")["train"].target == ["嗨", ""]


def test_a_damaged_table_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(ValueError, match=r"a\.parquet could not be read as parquet"):
        open_en_zh(tmp_path / "a.parquet")


# --- names ------------------------------------------------------------------------------------------------------------


def test_the_embedded_pairs_have_splits_of_their_own() -> None:
    found = open_en_zh("embedded:cldr")
    assert set(found) == {"train", "val", "test"}
    assert not any(text.placeholder for text in found.values())
    with pytest.raises(FileNotFoundError, match="there is embedded:cldr, embedded:names, embedded:lists"):
        open_en_zh("embedded:cldf")


def test_what_does_not_exist_is_an_error_that_shows_what_does(tmp_path: Path) -> None:
    write(tmp_path / "ted2020/raw.en", EN)
    with pytest.raises(FileNotFoundError, match=r"does not exist, nor do ted202\.en .* has ted2020"):
        open_en_zh(tmp_path / "ted202")
    with pytest.raises(FileNotFoundError, match="could not be loaded from the Hugging Face hub"):
        open_en_zh("nobody/no-such-corpus")


def test_a_folder_without_the_languages_asked_for_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "train.fr", EN)
    with pytest.raises(FileNotFoundError, match=r"neither train\.en and train\.zh .* has train\.fr"):
        open_en_zh(tmp_path)


def test_a_file_of_an_unknown_kind_and_one_language_twice_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.docx: parallel text comes from"):
        open_en_zh(write(tmp_path / "a.docx", EN))
    with pytest.raises(ValueError, match="both 'en'"):
        open_parallel(str(tmp_path), source_lang="en", target_lang="en")


def test_sources_that_are_all_empty_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every source line is empty"):
        open_en_zh(write(tmp_path / "a.tsv", ["\t嗨", "\t你"]))
