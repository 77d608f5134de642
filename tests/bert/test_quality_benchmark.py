"""The benchmark of fine-tuning quality runs from end to end on a few rows; what it measures there means nothing."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from lhy_lightning.data.labelled_texts.tagged_files import open_tagged_text
from tests.bert.texts import write_texts
from tests.data.labelled_texts.test_tagging_data import CONLLU

pytestmark = pytest.mark.usefixtures("undrawn_figures")

ROOT = Path(__file__).parents[2]


def test_both_sides_train_and_are_told_beside_what_needs_no_encoder(
    tiny_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("accelerate")
    monkeypatch.syspath_prepend(ROOT)
    quality = import_module("benchmarks.bert.quality")
    texts, treebank = write_texts(tmp_path / "texts", train=40), tmp_path / "ud"
    treebank.mkdir()
    for split in ("train", "dev", "test"):
        (treebank / f"en-ud-{split}.conllu").write_text(CONLLU * 9, "utf8")
    command = [
        "--encoder",
        str(tiny_encoder),
        "--sst2",
        str(texts),
        "--ud",
        str(treebank),
        "--chnsenticorp",
        str(texts),
    ]
    command += [
        "--folder",
        str(tmp_path / "results"),
        "--seeds",
        "0",
        "1",
        "--epochs",
        "1",
        "--steps",
        "2",
        "--grouped",
    ]
    quality.main([*command, "--max_length", "64"])
    said = capsys.readouterr().out
    assert len(re.findall(r"^ours  +\S+ ± \S+", said, re.M)) == 3
    assert len(re.findall(r"^transformers Trainer(?:, group_by_length)?  +\S+ ± .* ours takes \d", said, re.M)) == 4
    assert "ours less theirs" in said
    assert re.search(r"most frequent tag of each word +1\.0000", said)  # the files are the same
    assert re.search(r"bag of words and pairs of words +[01]\.\d", said)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").glob("*.json")}
    assert len(before) == 14
    quality.main([*command, "--max_length", "64"])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results").glob("*.json")} == before


def test_the_other_side_labels_the_first_piece_of_each_word_as_ours_does(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer

    from lhy_lightning.data.labelled_texts.tagging_data import TaggingDataModule

    monkeypatch.syspath_prepend(ROOT)
    quality = import_module("benchmarks.bert.quality")
    (tmp_path / "t.conllu").write_text(CONLLU * 9, "utf8")
    data = TaggingDataModule(
        str(tmp_path / "t.conllu"), val_source=str(tmp_path / "t.conllu"), tokenizer_file=str(tiny_encoder)
    )
    data.setup("fit")
    assert data.tag_names is not None
    text, tokenizer = open_tagged_text(str(tmp_path / "t.conllu"))["train"], AutoTokenizer.from_pretrained(tiny_encoder)
    theirs = quality.encoded_tags(text, tokenizer, list(data.tag_names), 64)
    batches = data._open("train").batches
    for row in (0, 1):
        ours, length = batches[[row]], len(theirs[row]["input_ids"])
        assert ours["input_ids"][0, :length].tolist() == theirs[row]["input_ids"]
        assert ours["labels"][0, :length].tolist() == theirs[row]["labels"]
