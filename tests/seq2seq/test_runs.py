"""Translation runs through the command line: two processes equal one, a killed run resumes to the bit."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from lhy_lightning.cli.__main__ import main
from lhy_lightning.training.checkpoints import read_checkpoint
from tests import command_runs
from tests.command_runs import last_validation, metrics, predict
from tests.processes import run_forked, torchrun_environments
from tests.seq2seq.conftest import write_corpus

KILLED_AT = 17


SETTINGS: dict[str, Any] = {
    "--trainer.max_epochs": 2, "--model": "Translator", "--model.layers": 1, "--model.width": 16, "--model.heads": 2,
    "--model.feedforward": 32, "--model.warmup_steps": 10, "--model.dropout": 0.2, "--data": "TranslationDataModule",
    "--data.source_lang": "en", "--data.target_lang": "de", "--data.tokenizer": "word", "--data.vocab_size": 60,
    "--data.max_tokens": 256, "--data.drop_leaks": "false",
}  # fmt: skip


def fit(root: Path, name: str, *more: str, die_at: int | None = None, **changed: Any) -> None:
    settings = {**SETTINGS, "--data.source": root / "corpus"}
    command_runs.fit(root, name, settings, *more, die_at=die_at, **changed)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whole epochs as one step: by one process, and by two whose batches hold different numbers of tokens."""
    root = tmp_path_factory.mktemp("ranks")
    write_corpus(root / "corpus", train=101)
    # Plain SGD: Adam would blow up the rounding errors of gradients that are zero, such as those of key biases.
    numbers = {"trainer__max_epochs": 4, "model__dropout": 0.0, "model__optimizer": "sgd", "model__lr": 0.5}
    whole = {**numbers, "data__max_tokens": 8000}
    assert run_forked(lambda: fit(root, "one", **whole)) == [0]
    parts = {**numbers, "data__max_tokens": 576, "trainer__accumulate_grad_batches": 1000}
    assert run_forked(lambda: fit(root, "accumulated", **parts)) == [0]
    where = torchrun_environments(2, nodes=2)
    assert run_forked(lambda: fit(root, "two", **whole), environments=where) == [0, 0]
    assert run_forked(predict, root, "one") == [0]
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
    assert one
    assert two == pytest.approx(one, abs=1e-4)


def test_two_ranks_write_the_translations_of_one_in_the_order_of_the_lines(ranks: Path) -> None:
    def lines(name: str) -> list[list[str]]:
        return [line.split("\t")[:2] for line in (ranks / name / "predictions.tsv").read_text("utf8").splitlines()]

    assert [source for _, source in lines("one")] == (ranks / "corpus/test.en").read_text("utf8").splitlines()
    assert lines("two") == lines("one")


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("resumed")
    write_corpus(root / "corpus")
    assert run_forked(lambda: fit(root, "whole")) == [0]
    assert run_forked(lambda: fit(root, "killed", die_at=KILLED_AT)) == [-signal.SIGKILL]
    assert 0 < read_checkpoint(root / "killed/checkpoints/last.ckpt")["global_step"] < KILLED_AT
    assert run_forked(lambda: fit(root, "killed", "--ckpt_path", "last")) == [0]
    return root


def test_a_run_killed_in_mid_epoch_resumes_to_equal_losses_and_weights(resumed: Path) -> None:
    assert len(metrics(resumed, "whole")) > KILLED_AT
    assert (resumed / "killed/metrics.csv").read_bytes() == (resumed / "whole/metrics.csv").read_bytes()
    whole, again = (read_checkpoint(resumed / name / "checkpoints/last.ckpt") for name in ("whole", "killed"))
    for key, value in whole["state_dict"].items():
        assert torch.equal(value, again["state_dict"][key]), key


def test_a_resumed_run_and_a_prediction_take_their_vocabulary_from_the_checkpoint(resumed: Path) -> None:
    (resumed / "corpus").rename(resumed / "gone")
    try:
        (resumed / "lines.en").write_text("one cat\n\ntwo dogs\n", "utf8")
        main([
            "predict", "--trainer.default_root_dir", str(resumed), "--name", "whole", "--ckpt_path", "last",
            "--data.predict_source", str(resumed / "lines.en"),
        ])  # fmt: skip
        written = (resumed / "whole/predictions.tsv").read_text("utf8").splitlines()
        assert [line.split("\t")[1] for line in written] == ["one cat", "", "two dogs"]
    finally:
        (resumed / "gone").rename(resumed / "corpus")
