"""The recipes of question answering run for two batches; homework 7's take its folder and write its submission."""

import csv
import json
import warnings
from pathlib import Path

import pytest

from lhy_lightning.cli.__main__ import main
from lhy_lightning.data.questions.question_files import open_questions
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from tests.bert.conftest import write_encoder
from tests.bert.question_files import write_homework

pytestmark = pytest.mark.usefixtures("undrawn_figures")

SHORT = [
    "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "2",
    "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def hw7(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_homework(tmp_path_factory.mktemp("hw7"))


@pytest.fixture(scope="module")
def encoder(hw7: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands in for `bert-base-chinese`: the same format in a local folder."""
    train = open_questions(str(hw7))["train"]
    tokenizer = EncoderTokenizer.train([*train.paragraphs, *(q.text for q in train.questions)], vocabulary_size=300)
    return write_encoder(tmp_path_factory.mktemp("encoder"), tokenizer, positions=512)


def test_the_quickstart_trains_and_answers(tmp_path: Path) -> None:
    root = ["--trainer.default_root_dir", str(tmp_path)]
    settings = [*SHORT, "--trainer.limit_test_batches", "2", "--data.eval_batch_size", "8"]
    assert main(["fit", "--config", "bert/quickstart", *settings, *root]) == 0
    results = json.loads((tmp_path / "bert/quickstart/results.json").read_text())["results"]
    assert {"val/exact_match", "val/f1", "val/loss", "test/exact_match", "test/f1"} <= set(results)


def test_an_encoder_trained_in_english_is_tested_in_chinese(encoder: Path, tmp_path: Path) -> None:
    root = ["--trainer.default_root_dir", str(tmp_path), "--trainer.limit_test_batches", "1"]
    settings = [*SHORT, "--model.encoder", str(encoder), "--data.max_length", "96", "--data.max_question_length", "16"]
    settings += ["--data.window_overlap", "16", "--data.batch_size", "4"]
    assert main(["fit", "--config", "bert/cross_lingual", *settings, *root]) == 0
    results = json.loads((tmp_path / "bert/cross_lingual/results.json").read_text())["results"]
    assert {"val/exact_match", "test/exact_match", "test/f1"} <= set(results)


@pytest.mark.parametrize("name", ["hw07/simple", "hw07/medium", "hw07/strong", "hw07/boss"])
def test_homework_7_takes_its_folder_and_writes_its_submission(
    name: str, hw7: Path, encoder: Path, tmp_path: Path
) -> None:
    settings = [*SHORT, "--data.source", str(hw7), "--model.encoder", str(encoder)]
    root = ["--trainer.default_root_dir", str(tmp_path)]
    assert main(["fit", "--config", name, *settings, *root]) == 0
    with (tmp_path / name / "result.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["ID", "Answer"]
    assert [row[0] for row in rows] == [str(number) for number in range(12)]
    assert all(row[1] and "," not in row[1] for row in rows)
    results = json.loads((tmp_path / name / "results.json").read_text())["results"]
    assert "val/exact_match" in results
    assert not [figure for figure in results if figure.startswith("test/")], "its answers are not handed out"

    submission = (tmp_path / name / "result.csv").read_bytes()
    predict = ["predict", "--ckpt_path", "best", "--name", name, "--trainer.enable_progress_bar", "false", *root]
    assert main([*predict, "--data.predict_source", str(hw7 / "hw7_dev.json")]) == 0
    assert len(json.loads((tmp_path / name / "answers.json").read_text("utf8"))) == 20
    assert (tmp_path / name / "result.csv").read_bytes() == submission, "other questions are no submission"


def test_a_run_without_a_validation_says_where_its_submission_is_to_come_from(
    hw7: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--trainer.default_root_dir", str(tmp_path), "--data.source", str(hw7), "--model.encoder", str(encoder)]
    settings = ["--trainer.max_steps", "1", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*monitored key.*")
        assert main(["fit", "--config", "hw07/simple", *settings, *root]) == 0
    last = tmp_path / "hw07/simple/checkpoints/last.ckpt"
    assert f"no best epoch to evaluate or to predict with: `lhy predict --ckpt_path {last}`" in capsys.readouterr().out
    assert last.is_file()


def test_several_members_hand_in_one_submission(hw7: Path, encoder: Path, tmp_path: Path) -> None:
    root = ["--trainer.default_root_dir", str(tmp_path), "--trainer.enable_progress_bar", "false"]
    for seed in ("0", "1"):
        settings = [*SHORT, "--data.source", str(hw7), "--model.encoder", str(encoder), "--evaluate", "false"]
        assert main(["fit", "--config", "hw07/boss", *settings, "--seed_everything", seed, "--name", seed, *root]) == 0
    paths = ",".join(str(tmp_path / seed) for seed in ("0", "1"))
    assert main(["predict", "--ckpt_path", paths, "--name", "all", *root]) == 0
    assert len((tmp_path / "all/result.csv").read_text("utf8").splitlines()) == 1 + 12
