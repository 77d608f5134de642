"""The recipes of classification, tagging and pairs run for two batches, on embedded data and on data as handed out."""

import csv
import gzip
import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from lhy_lightning.cli.__main__ import main
from tests.bert.texts import write_texts
from tests.command_runs import undrawn
from tests.data.labelled_texts.test_tagging_data import CONLLU

SHORT = [
    "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "2",
    "--trainer.limit_test_batches", "2", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu",
    "--model.layers", "1", "--model.width", "32", "--model.heads", "2", "--model.feedforward", "64",
]  # fmt: skip


def results(name: str, root: Path, *more: str, drawn: bool = False) -> dict[str, float]:
    with nullcontext() if drawn else undrawn():
        assert main(["fit", "--config", name, *SHORT, "--trainer.default_root_dir", str(root), *more]) == 0
    found: dict[str, float] = json.loads((root / name / "results.json").read_text())["results"]
    return found


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("bert/sentiment", {"accuracy", "loss"}),
        ("bert/pos", {"accuracy", "precision", "recall", "f1", "loss"}),
        ("bert/nli", {"accuracy", "f1", "loss"}),
    ],
)
def test_recipe_runs_two_batches_on_embedded_data(name: str, figures: set[str], tmp_path: Path) -> None:
    found = results(name, tmp_path, drawn=True)
    assert set(found) == {f"{split}/{figure}" for split in ("val", "test") for figure in figures}
    for file in ("curves.png", "samples/attention.png", "checkpoints/best.ckpt"):
        assert (tmp_path / name / file).is_file()


def test_sentiment_takes_a_folder_of_tab_separated_files_and_predicts_a_test_without_labels(tmp_path: Path) -> None:
    folder = write_texts(tmp_path / "sst2")
    found = results("bert/sentiment", tmp_path, "--data.source", str(folder))
    assert {"val/accuracy", "test/accuracy"} <= set(found)
    (folder / "test.tsv").write_text("qid\ttext_a\n0\t好评\n1\t\n", "utf8")  # ChnSentiCorp hides its test labels
    found = results("bert/sentiment", tmp_path, "--data.source", str(folder), "--overwrite", "true")
    assert not [name for name in found if name.startswith("test/")]
    with (tmp_path / "bert/sentiment/predictions.csv").open(newline="", encoding="utf8") as file:
        assert [row["text"] for row in csv.DictReader(file)] == ["好评", ""]


def test_pos_takes_universal_dependencies_with_a_gzipped_train_file(tmp_path: Path) -> None:
    (tmp_path / "ud").mkdir()
    with gzip.open(tmp_path / "ud/en_ewt-ud-train.rebuilt.conllu.gz", "wt", encoding="utf8") as file:
        file.write(CONLLU * 20)
    for split in ("dev", "test"):
        (tmp_path / f"ud/en_ewt-ud-{split}.conllu").write_text(CONLLU, "utf8")
    found = results("bert/pos", tmp_path, "--data.source", str(tmp_path / "ud"))
    assert set(found) == {f"{split}/{figure}" for split in ("val", "test") for figure in ("accuracy", "loss")}


def test_nli_takes_questions_and_pairs_in_a_table(tmp_path: Path) -> None:
    def question(number: int) -> dict[str, object]:
        context = f"第{number}号楼有{number}层。它建于{1900 + number}年。附近有公园。"
        answers = [{"text": str(1900 + number), "answer_start": context.index(str(1900 + number))}]
        return {"paragraphs": [{"context": context, "qas": [{"id": number, "question": "何时？", "answers": answers}]}]}

    (tmp_path / "cmrc").mkdir()
    for split, numbers in (("train", range(1, 60)), ("dev", range(60, 80))):
        content = {"version": "v1.0", "data": [question(number) for number in numbers]}
        (tmp_path / f"cmrc/{split}.json").write_text(json.dumps(content, ensure_ascii=False), "utf8")
    found = results("bert/nli", tmp_path, "--data.source", str(tmp_path / "cmrc"))
    assert {"val/accuracy", "val/f1"} <= set(found)

    pairs = write_texts(tmp_path / "pairs", pairs=True)
    rows = ["--data.source", str(pairs), "--data.task", "rows", "--name", "rows"]
    assert main(["fit", "--config", "bert/nli", *SHORT, *rows, "--trainer.default_root_dir", str(tmp_path)]) == 0
    assert "val/f1" in json.loads((tmp_path / "rows/results.json").read_text())["results"]


@pytest.mark.parametrize("classes", [2, 3])
def test_nli_takes_ocnlis_files_as_its_header_says(
    classes: int, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    names = ["entailment", "neutral", "contradiction"][:classes]

    def lines(rows: int, tail: str = "") -> str:
        table = [
            {
                "level": "easy",
                "sentence1": f"前提{n}",
                "sentence2": f"假设{n % 7}",
                "label": names[n % classes],
                "label0": "x",
            }
            for n in range(rows)
        ]
        odd = [{**table[0], "sentence1": f"没有{tail}{n}", "label": "-"} for n in range(3)]
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [*table, *odd])

    (tmp_path / "ocnli").mkdir()
    for size in (3, 10, 50):
        (tmp_path / f"ocnli/train.{size}k.json").write_text(lines(size + 40), "utf8")
    (tmp_path / "ocnli/dev.json").write_text(lines(20, "x"), "utf8")
    files = {"--data.source": "train.50k.json", "--data.val_source": "dev.json"}
    flags = [word for flag, name in files.items() for word in (flag, str(tmp_path / "ocnli" / name))]
    found = results("bert/nli", tmp_path, "--data.task", "rows", *flags, "--data.vocab_size", "100")
    assert {"val/accuracy", "val/f1" if classes == 2 else "val/macro_f1"} <= set(found)
    told = [str(warning.message) for warning in recwarn]
    assert any("train.50k.json: 3 of 93 rows have no label (3 '-'): they are left out" in message for message in told)
    assert any("macro_f1 is reported in its place" in message for message in told) == (classes == 3)
