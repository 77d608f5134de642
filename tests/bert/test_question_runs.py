"""Question answering through the command line: two processes equal one, a killed run resumes, files are answered."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from lhy_lightning.cli.__main__ import main
from lhy_lightning.training.checkpoints import read_checkpoint
from tests import command_runs
from tests.bert.question_files import DATA, MODEL, long_text, write_homework
from tests.command_runs import last_validation, metrics, predict
from tests.processes import run_forked, torchrun_environments


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_homework(tmp_path_factory.mktemp("hw7"))


SETTINGS: dict[str, Any] = {
    "--trainer.max_epochs": 3, "--trainer.gradient_clip_val": 1.0,
    "--model": "BertQuestionAnswering", **{f"--model.{key}": value for key, value in MODEL.items()},
    "--data": "QuestionAnsweringDataModule", **{f"--data.{key}": value for key, value in DATA.items()},
}  # fmt: skip


def fit(root: Path, folder: Path, name: str, *more: str, die_at: int | None = None, **changed: Any) -> None:
    command_runs.fit(root, name, {**SETTINGS, "--data.source": folder}, *more, die_at=die_at, **changed)


@pytest.fixture(scope="module")
def ranks(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run by one process, by one in accumulated parts, and by two."""
    root = tmp_path_factory.mktemp("ranks")
    # Plain SGD: Adam would blow up the rounding errors of gradients that are zero, such as those of key biases.
    numbers = {"model__optimizer": "sgd", "model__lr": 0.5, "trainer__max_epochs": 2}
    assert run_forked(lambda: fit(root, folder, "one", data__batch_size=60, **numbers)) == [0]
    parts = {**numbers, "data__batch_size": 7, "trainer__accumulate_grad_batches": 1000}
    assert run_forked(lambda: fit(root, folder, "accumulated", **parts)) == [0]
    where = torchrun_environments(2, nodes=2)
    assert run_forked(lambda: fit(root, folder, "two", data__batch_size=30, **numbers), environments=where) == [0, 0]
    assert run_forked(predict, root, "one") == [0]
    assert run_forked(predict, root, "two", environments=where) == [0, 0]
    return root


@pytest.mark.parametrize("name", ["accumulated", "two"])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(ranks: Path, name: str) -> None:
    one = read_checkpoint(ranks / "one/checkpoints/last.ckpt")
    other = read_checkpoint(ranks / name / "checkpoints/last.ckpt")
    assert one["global_step"] == other["global_step"] == 2
    for key, value in one["state_dict"].items():
        torch.testing.assert_close(other["state_dict"][key], value, atol=1e-5, rtol=1e-4, msg=key)


def test_figures_and_predictions_of_two_ranks_are_those_of_one(ranks: Path) -> None:
    one, two = (last_validation(ranks, name) for name in ("one", "two"))
    assert {"val/loss", "val/exact_match", "val/f1"} <= set(one)
    assert two == pytest.approx(one, abs=1e-5)
    first, second = (json.loads((ranks / name / "predictions.json").read_text("utf8")) for name in ("one", "two"))
    assert len(first) == 12
    assert [(row["id"], row["answer"]) for row in first] == [(row["id"], row["answer"]) for row in second]


def test_a_killed_run_goes_on_to_the_same_numbers(folder: Path, tmp_path: Path) -> None:
    assert run_forked(lambda: fit(tmp_path, folder, "whole", model__dropout=0.1)) == [0]
    assert run_forked(lambda: fit(tmp_path, folder, "killed", model__dropout=0.1, die_at=17)) == [-signal.SIGKILL]
    assert 0 < read_checkpoint(tmp_path / "killed/checkpoints/last.ckpt")["global_step"] < 17
    assert run_forked(lambda: fit(tmp_path, folder, "killed", "--ckpt_path", "last", model__dropout=0.1)) == [0]
    assert metrics(tmp_path, "whole") == metrics(tmp_path, "killed")
    whole, killed = (read_checkpoint(tmp_path / name / "checkpoints/last.ckpt") for name in ("whole", "killed"))
    for key, value in whole["state_dict"].items():
        assert torch.equal(value, killed["state_dict"][key]), key


def test_predict_answers_the_questions_of_a_file(ranks: Path, folder: Path, tmp_path: Path) -> None:
    rows = [
        {"id": "x", "question": "Ada去了哪裡？", "context": long_text(folder)},
        {"id": "y", "question": "Who?", "context": ""},
        {"id": "z", "question": "", "context": "Ada"},
    ]
    source = tmp_path / "ask.json"
    source.write_text(json.dumps(rows, ensure_ascii=False), "utf8")
    predict(ranks, "one", "--data.predict_source", str(source))
    found = json.loads((ranks / "one/predictions.json").read_text("utf8"))
    assert [row["id"] for row in found] == ["x", "y", "z"]
    assert found[0]["answer"] == rows[0]["context"][found[0]["start"] : found[0]["end"]] != ""
    assert len(found[0]["n_best"]) == 5
    assert (found[1]["answer"], found[1]["n_best"]) == ("", [])
    assert found[2]["answer"] == "Ada"
    by_id = json.loads((ranks / "one/answers.json").read_text("utf8"))
    assert by_id == {row["id"]: row["answer"] for row in found}


def test_predict_averages_several_checkpoints(ranks: Path) -> None:
    paths = ", ".join(str(ranks / name / "checkpoints/last.ckpt") for name in ("one", "accumulated"))
    main(["predict", "--trainer.default_root_dir", str(ranks), "--name", "both", "--ckpt_path", paths,
          "--trainer.enable_progress_bar", "false"])  # fmt: skip
    assert len(json.loads((ranks / "both/answers.json").read_text("utf8"))) == 12


def test_doc_stride_is_explained_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--config", "hw07/simple", "--data.doc_stride", "128"])
    said = capsys.readouterr().err
    assert "overlap of two windows in transformers and the step between them in homework 7" in said
    assert "--data.window_overlap" in said


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--data.metric", "homwork", "metric is 'squad', 'cmrc', 'drcd', 'homework' or null, not 'homwork'. Did you "),
        ("--model.span_search", "best", "span_search is 'joint' or 'independent', not 'best'."),
        ("--model.window_score", "max", "window_score is 'span', 'span_minus_null' or null, not 'max'."),
        ("--model.null_threshold", "x", "null_threshold is a number or null, not 'x'."),
        ("--data.batch_size", "many", "batch_size is a whole number, not 'many'."),
    ],
)
def test_a_value_that_cannot_be_is_named_with_those_that_can(
    flag: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--config", "hw07/simple", flag, value])
    assert capsys.readouterr().err.startswith(f"lhy: error: {message}")
