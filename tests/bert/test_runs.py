"""Runs through the command line: unequal parts of a batch give the gradient of the whole, a killed run resumes."""

import csv
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from lhy_lightning.training.checkpoints import read_checkpoint
from tests import command_runs
from tests.bert.texts import write_tags, write_texts
from tests.command_runs import last_validation, metrics, predict
from tests.processes import run_forked, torchrun_environments

KILLED_AT = 17


SETTINGS: dict[str, Any] = {
    "--trainer.max_epochs": 2, "--model": "BertTagger", "--data": "TaggingDataModule", "--model.layers": 1,
    "--model.width": 32, "--model.heads": 2, "--model.feedforward": 64, "--model.lr": 0.005, "--data.vocab_size": 60,
}  # fmt: skip


def fit(root: Path, name: str, *more: str, die_at: int | None = None, **changed: Any) -> None:
    settings = {**SETTINGS, "--data.source": root / "tags"}
    command_runs.fit(root, name, settings, *more, die_at=die_at, **changed)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whole epochs as one step: by one process in one batch and in parts, and by two whose batches differ in words."""
    root = tmp_path_factory.mktemp("ranks")
    write_tags(root / "tags", train=101)
    # Plain SGD: Adam would blow up the rounding errors of gradients that are zero, such as those of key biases.
    numbers = {"trainer__max_epochs": 4, "model__dropout": 0.0, "model__optimizer": "sgd", "model__lr": 0.3}
    whole = {**numbers, "data__batch_size": 200, "trainer__gradient_clip_val": 0.5}
    assert run_forked(lambda: fit(root, "one", **whole)) == [0]
    assert run_forked(predict, root, "one") == [0]
    parts = {**whole, "data__batch_size": 9, "trainer__accumulate_grad_batches": 1000}
    assert run_forked(lambda: fit(root, "accumulated", **parts)) == [0]
    where = torchrun_environments(2, nodes=2)
    assert run_forked(lambda: fit(root, "two", **whole), environments=where) == [0, 0]
    assert run_forked(predict, root, "two", environments=where) == [0, 0]
    return root


@pytest.mark.parametrize("name", ["accumulated", "two"])
def test_unequal_parts_of_a_batch_give_the_gradient_of_the_whole(ranks: Path, name: str) -> None:
    one = read_checkpoint(ranks / "one/checkpoints/last.ckpt")
    other = read_checkpoint(ranks / name / "checkpoints/last.ckpt")
    assert one["global_step"] == other["global_step"] == 4
    for key, value in one["state_dict"].items():
        torch.testing.assert_close(other["state_dict"][key], value, atol=1e-5, rtol=1e-4, msg=key)


def test_figures_over_an_odd_number_of_rows_are_equal_on_two_ranks(ranks: Path) -> None:
    one, two = (last_validation(ranks, name) for name in ("one", "two"))
    assert {"val/loss", "val/accuracy", "val/f1"} <= set(one)
    assert two == pytest.approx(one, abs=1e-4)


def test_two_ranks_write_the_tags_of_one_in_the_order_of_the_words(ranks: Path) -> None:
    one, two = ((ranks / name / "predictions.csv").read_text("utf8") for name in ("one", "two"))
    words = [line.split()[0] for line in (ranks / "tags/test.bio").read_text("utf8").splitlines() if line]
    assert [row["form"] for row in csv.DictReader(one.splitlines())] == words
    assert one == two


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier's run, unbroken, and killed in mid-epoch and resumed; dropout is on, batches go by length."""
    root = tmp_path_factory.mktemp("resumed")
    write_texts(root / "texts")
    settings = {
        "model": "BertClassifier", "data": "TextDataModule", "data__source": root / "texts", "data__batch_size": 16,
        "model__dropout": 0.2,
    }  # fmt: skip
    assert run_forked(lambda: fit(root, "whole", drawn=True, **settings)) == [0]
    assert run_forked(lambda: fit(root, "killed", die_at=KILLED_AT, **settings)) == [-signal.SIGKILL]
    assert 0 < read_checkpoint(root / "killed/checkpoints/last.ckpt")["global_step"] < KILLED_AT
    assert run_forked(lambda: fit(root, "killed", "--ckpt_path", "last", **settings)) == [0]
    return root


def test_a_run_killed_in_mid_epoch_resumes_to_equal_losses_and_weights(resumed: Path) -> None:
    assert len(metrics(resumed, "whole")) > KILLED_AT
    assert (resumed / "killed/metrics.csv").read_bytes() == (resumed / "whole/metrics.csv").read_bytes()
    whole, again = (read_checkpoint(resumed / name / "checkpoints/last.ckpt") for name in ("whole", "killed"))
    for key, value in whole["state_dict"].items():
        assert torch.equal(value, again["state_dict"][key]), key


def test_a_trained_run_leaves_a_picture_of_its_attention(resumed: Path) -> None:
    assert (resumed / "whole/samples/attention.png").stat().st_size > 2000
