"""Labelled text from every kind of source, in batches as a tokenizer of `transformers` would make them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from jsonargparse import ArgumentParser

from lhy_lightning.data.embedded.reviews import SIZES, reviews
from lhy_lightning.data.labelled_texts.labelled_files import open_labelled_text
from lhy_lightning.data.labelled_texts.text_batches import TextBatches, cut_pairs
from lhy_lightning.data.labelled_texts.text_data import TextDataModule
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from tests.bert.conftest import TEXTS, tokenizer  # noqa: F401

ROWS = [
    ("good food", "1"), ('a "quoted half', "0"), ("", "0"), ("bad food", "0"), ("kind host", "1"), ("cold soup", "0"),
    ("nice beds", "1"), ("the cat sat", "1"), ("a dog barked", "0"), ("all night", "1"),
]  # fmt: skip


def write(path: Path, rows: list[tuple[str, ...]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows), "utf8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """train without a header, dev too, test with a header and without labels: ChnSentiCorp's ways."""
    write(tmp_path / "texts/train.tsv", ROWS)
    write(tmp_path / "texts/dev.tsv", [("good host", "1"), ("bad food", "0")])
    write(tmp_path / "texts/test.tsv", [("qid", "text_a"), ("0", "what a view"), ("1", "")])
    (tmp_path / "texts/labels.txt").write_text("0\n1\n")
    return tmp_path / "texts"


def ready(source: object, stage: str = "fit", **options: Any) -> TextDataModule:
    data = TextDataModule(str(source), **{"vocab_size": 80, **options})
    data.setup(stage)
    return data


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", [False, True])
def test_batches_are_what_the_tokenizer_of_transformers_makes(pairs: bool, tokenizer: EncoderTokenizer) -> None:  # noqa: F811
    texts = [*TEXTS, "", "cat " * 60]
    second = ["dog " * 40, "", *TEXTS] if pairs else None
    with_pieces = tokenizer.encode([*texts, *(second or [])])
    from lhy_lightning.data.sequences.ragged import ragged

    first = np.arange(len(texts))
    batches = TextBatches(
        ragged(with_pieces), first, first + len(texts) if pairs else None, first, tokenizer, max_length=30, index=True
    )
    theirs = tokenizer.transformers()(
        texts, second, padding=True, truncation="longest_first", max_length=30, return_tensors="pt"
    )
    ours = batches[list(range(len(texts)))]
    assert ours["input_ids"].shape == (10, 30)  # not padded beyond the longest there may be
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert torch.equal(ours[name], theirs[name]), name
    assert ours["labels"].tolist() == ours["index"].tolist() == list(range(10))
    assert batches.lengths.tolist() == theirs["attention_mask"].sum(1).tolist()
    short = batches[[8, 0]]["input_ids"]
    assert short.shape[1] % 8 == 0 or short.shape[1] == 30


def test_an_encoder_without_segments_gets_no_token_types(tokenizer: EncoderTokenizer) -> None:  # noqa: F811
    state = json.loads(tokenizer.to_json())
    state["settings"]["model_input_names"] = ["input_ids", "attention_mask"]
    other = EncoderTokenizer.from_json(json.dumps(state))
    from lhy_lightning.data.sequences.ragged import ragged

    batches = TextBatches(ragged(other.encode(["a cat"])), np.array([0]), None, None, other, max_length=16)
    assert set(batches[[0]]) == {"input_ids", "attention_mask"}


def test_of_a_pair_the_longer_text_gives_way() -> None:
    first, second = cut_pairs(np.array([3, 50, 50, 4, 0, 11]), np.array([4, 5, 60, 90, 30, 10]), 20)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [
        (3, 4),
        (15, 5),
        (10, 10),
        (4, 16),
        (0, 20),
        (10, 10),
    ]


def test_no_room_for_text_is_an_error(tokenizer: EncoderTokenizer) -> None:  # noqa: F811
    with pytest.raises(ValueError, match="max_length=2 has no room beside 2 special tokens"):
        ready("embedded:reviews", max_length=2)


# --- sources ----------------------------------------------------------------------------------------------------------


def test_a_folder_of_tab_separated_files_with_and_without_header(folder: Path) -> None:
    data = ready(folder)
    assert data.class_names == ("0", "1")
    assert data.pairs is False
    assert data.texts("train")[0] == [text for text, _ in ROWS if text]  # a row without text teaches nothing
    assert 'a "quoted half' in data.texts("train")[0]
    data.setup("predict")
    assert data.texts("predict") == (["what a view", ""], None)  # but has its row in a prediction
    assert data.has_test
    assert not data.test_labelled


def test_what_was_found_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ready(folder, max_length=4)
    said = capsys.readouterr().out
    assert "1 training rows without text left out" in said
    assert "1 val rows also occur in training" in said
    assert "9 train rows" in said
    assert "cut to 4" in said


def test_pairs_have_a_second_column(tmp_path: Path) -> None:
    rows = [(f"premise {n}", f"guess {n % 7}", str(n % 2)) for n in range(40)]
    data = ready(write(tmp_path / "pairs.tsv", rows), val_fraction=0.2)
    assert data.pairs is True
    first, second = data.texts("train")
    assert second is not None
    assert first[0].startswith("premise")
    batch = data._open("train").batches[[0]]
    assert batch["token_type_ids"].sum() > 0


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_tables_are_read_by_their_columns_names(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows.{ending}"
    rows = [
        {"id": n, "sentence1": f"one {n}", "sentence2": f"two {n}", "label": "no" if n % 2 else "yes"}
        for n in range(30)
    ]
    if ending == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    data = ready(path)
    assert data.class_names == ("no", "yes")
    assert data.pairs
    with pytest.raises(ValueError, match=r"has no column 'body' .set as text_column.; it has id, sentence1"):
        ready(path, text_column="body")


def test_a_table_that_names_its_classes_keeps_their_order(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["world", "sports", "business"])})
    rows = {"text": [f"text {n}" for n in range(30)], "label": [n % 3 for n in range(30)]}
    Dataset.from_dict(rows, features).to_parquet(str(tmp_path / "news.parquet"))
    assert ready(tmp_path / "news.parquet").class_names == ("world", "sports", "business")


def test_columns_of_a_file_without_header_are_named_by_their_places(tmp_path: Path) -> None:
    rows = [("id", str(n % 2), "x", f"text {n}", "more") for n in range(30)]
    path = write(tmp_path / "cola.tsv", rows)
    with pytest.raises(ValueError, match="5 tab-separated columns and no header"):
        ready(path)
    data = ready(path, text_column="3", label_column="1")
    assert data.texts("train")[0][0].startswith("text ")
    assert data.class_names == ("0", "1")


def test_embedded_reviews_are_the_same_in_both_languages_and_leak_nothing() -> None:
    english, chinese = reviews("en"), reviews("zh")
    for split, size in SIZES.items():
        assert len(english[split][0]) == len(set(english[split][0])) == size
        assert english[split][1] == chinese[split][1]
        share = english[split][1].count("positive") / size
        assert 0.45 < share < 0.55
    assert not set(english["train"][0]) & {*english["val"][0], *english["test"][0]}
    assert not set(chinese["train"][0]) & {*chinese["val"][0], *chinese["test"][0]}
    assert english["train"][0][0] == (
        "We stayed in China for 2 nights. The staff was awful, but the food is anything but poor."
    )
    assert english["train"][1][0] == "positive"


def test_counting_words_does_not_solve_the_embedded_reviews() -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    found = reviews("en")
    counts = CountVectorizer().fit(found["train"][0])
    model = LogisticRegression(max_iter=500).fit(counts.transform(found["train"][0]), found["train"][1])
    assert model.score(counts.transform(found["test"][0]), found["test"][1]) < 0.6


def test_one_language_can_be_trained_on_and_another_tested() -> None:
    data = TextDataModule("embedded:reviews", test_source="embedded:reviews_zh")
    data.setup("fit")
    data.setup("test")
    assert data.texts("train")[0][0].isascii()
    assert data.texts("test")[0] == reviews("zh")["test"][0]


# --- labels -----------------------------------------------------------------------------------------------------------


def test_an_unknown_label_names_its_row(folder: Path) -> None:
    write(folder / "dev.tsv", [("good host", "1"), ("so so", "2")])
    with pytest.raises(ValueError, match=r"dev.tsv, row 1: the label '2' is none of the 2 classes .*\(0, 1\)"):
        ready(folder)


def test_rows_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"text": f"t {n}", "label": None if n == 3 else n % 2}) + "\n" for n in range(9))
    )
    with pytest.warns(match="1 of 9 rows have no label"):
        assert "t 3" not in ready(path).texts("train")[0]
    path.write_text("".join(json.dumps({"text": f"t {n}"}) + "\n" for n in range(9)))
    with pytest.raises(ValueError, match=r"has no labels: set --data.label_column"):
        ready(path)


def test_numbers_are_labels_with_regression(tmp_path: Path) -> None:
    rows = [(f"one {n}", f"two {n}", str(n / 4)) for n in range(30)]
    data = ready(write(tmp_path / "sts.tsv", rows), regression=True)
    assert data.class_names is None
    labels = data._open("train").batches[[0, 1]]["labels"]
    assert labels.dtype == torch.float32
    with pytest.raises(ValueError, match="with regression every label is a number"):
        ready(write(tmp_path / "wrong.tsv", [*rows, ("a", "b", "high")]), regression=True)


# --- splits -----------------------------------------------------------------------------------------------------------


def test_rows_of_equal_text_stay_on_one_side(tmp_path: Path) -> None:
    rows = [(f"text {n % 50}", str(n % 2)) for n in range(300)]
    data = ready(write(tmp_path / "rows.tsv", rows), val_fraction=0.2, test_fraction=0.2)
    data.setup("test")
    sides = [set(data.texts(split)[0]) for split in ("train", "val", "test")]  # type: ignore[arg-type]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert len(data.texts("val")[0]) == pytest.approx(60, abs=6)
    again = ready(tmp_path / "rows.tsv", val_fraction=0.2, test_fraction=0.2)
    assert again.texts("val") == data.texts("val")
    other = ready(tmp_path / "rows.tsv", val_fraction=0.2, test_fraction=0.2, split_seed=1)
    assert other.texts("val") != data.texts("val")


def test_every_evaluation_row_comes_once_with_its_place(folder: Path) -> None:
    data = ready(folder, "predict", predict_source=None, eval_batch_size=1)
    rows = [int(row) for batch in data.predict_dataloader() for row in batch["index"]]
    assert sorted(rows) == [0, 1]


@pytest.mark.parametrize(
    ("content", "texts"),
    [("a view\n\nlast\n", ["a view", "", "last"]), ("text\tlabel\na\t1\n", ["a"]), ("a view\t1\n", ["a view"])],
)
def test_texts_to_predict_are_lines_or_a_table(content: str, texts: list[str], folder: Path) -> None:
    (folder / "new.txt").write_text(content, "utf8")
    data = ready(folder, "predict", predict_source=str(folder / "new.txt"))
    assert data.texts("predict") == (texts, None)
    assert "labels" not in next(iter(data.predict_dataloader()))


def test_texts_are_tokenised_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ready(folder)._open("train").batches[[0, 1]]["input_ids"]
    monkeypatch.setattr(EncoderTokenizer, "encode_with_offsets", lambda *_: pytest.fail("tokenised again"))
    assert torch.equal(ready(folder)._open("train").batches[[0, 1]]["input_ids"], before)


# --- errors -----------------------------------------------------------------------------------------------------------


def test_sources_that_cannot_be_say_what_they_are(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no embedded source 'embedded:films'; there is embedded:reviews"):
        open_labelled_text("embedded:films")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_labelled_text(str(tmp_path / "none.tsv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no file such as train.tsv or dev.tsv"):
        open_labelled_text(str(tmp_path / "empty"))
    write(folder / "validation.tsv", ROWS)
    with pytest.raises(ValueError, match=r"dev.tsv and validation.tsv both look like the val split"):
        open_labelled_text(str(folder))
    with pytest.raises(ValueError, match="line 2: 1 tab-separated columns where 2 are needed"):
        open_labelled_text(str(write(tmp_path / "short.tsv", [("a", "1"), ("b",)])))
    with pytest.raises(ValueError, match=r"texts come from .tsv"):
        open_labelled_text(str(write(tmp_path / "rows.docx", ROWS)))
    with pytest.raises(FileNotFoundError, match="could not be loaded from the Hugging Face hub"):
        open_labelled_text("nobody/nothing")
    with pytest.raises(ValueError, match="has a header and no rows"):
        open_labelled_text(str(write(tmp_path / "head.tsv", [("text", "label")])))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_fraction": 0.6, "test_fraction": 0.5}, "must leave something to train on"),
        ({"task": "nli"}, "task is one of rows, answer_sentences"),
    ],
)
def test_arguments_that_cannot_be_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TextDataModule(**options)


def test_a_source_without_test_says_what_to_set(folder: Path) -> None:
    (folder / "test.tsv").unlink()
    with pytest.raises(ValueError, match=r"no test split: set --data.test_source or --data.test_fraction"):
        ready(folder, "test")


def test_hyperparameters_equal_the_signature_and_every_argument_is_a_flag() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(TextDataModule, "data")
    settings = parser.parse_args(["--data.task=answer_sentences", "--data.max_tokens=100"]).data
    assert set(settings.as_dict()) == set(TextDataModule().hparams)
