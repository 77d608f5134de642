"""SIGTERM and Ctrl-C, sent for real: a checkpoint, a line, the exit code, and the run goes on as if unbroken."""

import os
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lhy_lightning.cli.stopped import going_on
from lhy_lightning.training.checkpoints import read_checkpoint
from tests import command_runs
from tests.processes import run_forked, torchrun_environments

SETTINGS: dict[str, Any] = {
    "--trainer.max_epochs": 2, "--last.every_n_steps": "null", "--model": "ImageClassifier", "--model.network": "vgg",
    "--model.depth": 3, "--model.width": 4, "--model.dropout": 0.3, "--data": "ImageDataModule", "--data.crop": 1,
}  # fmt: skip


def fit(root: Path, name: str, *more: str, world: int = 1, **moment: Any) -> None:
    moment["by"] = moment.get("by", ()) if os.environ.get("RANK", "1") == "1" else ()
    shared = {"--data.batch_size": 64 // world, "--data.num_workers": 1 if world == 1 else 0}
    sys.exit(command_runs.fit(root, name, {**SETTINGS, **shared}, *more, **moment))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    assert run_forked(fit, root, "whole") == [0]
    return root


def equal(root: Path, name: str, whole: str = "whole") -> bool:
    """Whether metrics and weights of two runs are the same to the bit."""
    runs = [root / run for run in (name, whole)]
    metrics = [(run / "metrics.csv").read_bytes() for run in runs]
    weights = [read_checkpoint(run / "checkpoints/last.ckpt")["state_dict"] for run in runs]
    return metrics[0] == metrics[1] and all(torch.equal(weights[0][key], weights[1][key]) for key in weights[1])


def stop(root: Path, name: str, code: int, capfd: pytest.CaptureFixture[str], *more: str, **moment: Any) -> str:
    """A run that signals end. Returns the line that it says."""
    assert run_forked(lambda: fit(root, name, *more, **moment)) == [code]
    said = [line for line in capfd.readouterr().err.splitlines() if "stopped" in line or "Traceback" in line]
    assert len(said) == 1, said
    assert not (root / name / "results.json").exists()
    return said[0]


def test_a_run_that_is_told_to_stop_writes_a_checkpoint_and_goes_on_to_the_bit(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    last, resume = root / "stopped/checkpoints/last.ckpt", ("--ckpt_path", "last")
    said = stop(root, "stopped", 143, capfd, die_at=30, by=(signal.SIGTERM,))
    assert re.fullmatch(r"stopped at step 31; go on with: lhy fit .* --name stopped --ckpt_path last", said)
    assert read_checkpoint(last)["global_step"] == 31
    in_validation = {"die_at": 44, "by": (signal.SIGINT,), "hook": "on_validation_batch_start"}
    assert "stopped at step 44; go on" in stop(root, "stopped", 130, capfd, *resume, **in_validation)
    in_test = {"by": (signal.SIGTERM,), "hook": "on_test_batch_start", "die_at": 44}
    said = stop(root, "stopped", 143, capfd, *resume, "--evaluate", "true", **in_test)
    assert re.search(r"stopped; .*last.ckpt is kept; go on with: lhy fit ", said)
    assert run_forked(fit, root, "stopped", *resume) == [0]
    assert equal(root, "stopped")
    assert (root / "stopped/results.json").exists()
    assert not list(root.rglob("*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signals", "step", "hook", "code", "saved"),
    [
        ((signal.SIGINT,), 30, "on_train_batch_start", 130, 31),
        ((signal.SIGTERM, signal.SIGTERM), 22, "on_validation_batch_start", 143, 22),
        ((signal.SIGTERM,), 21, "on_train_batch_start", 143, 22),
        ((signal.SIGINT,), 44, "on_train_end", 130, 44),
    ],
)
def test_a_run_stops_in_other_moments_as_well(
    signals: tuple[int, ...], step: int, hook: str, code: int, saved: int, root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = f"{hook}-{step}-{code}"
    assert f"stopped at step {saved}; go on" in stop(root, name, code, capfd, die_at=step, by=signals, hook=hook)
    assert run_forked(fit, root, name, "--ckpt_path", "last") == [0]
    assert equal(root, name)


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_at_once(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    twice = {"die_at": 1, "by": (signal.SIGINT, signal.SIGINT)}
    assert run_forked(lambda: fit(root, "twice", **twice)) == [-signal.SIGINT]
    assert "another Ctrl-C leaves at once" in capfd.readouterr().err
    assert not (root / "twice/checkpoints").exists()


def test_a_signal_before_training_leaves_nothing_behind(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = stop(root, "early", 143, capfd, die_at=0, by=(signal.SIGTERM,), hook="setup")
    assert said == "stopped before the first checkpoint: nothing is kept"
    assert not list(root.glob("early/**/*.*"))


@pytest.mark.slow
def test_two_processes_stop_behind_the_same_step_when_one_of_them_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, *more: str, **moment: Any) -> list[int]:
        return run_forked(lambda: fit(tmp_path, name, *more, world=2, **moment), environments=torchrun_environments(2))

    assert run("whole") == [0, 0]
    capfd.readouterr()
    assert run("stopped", die_at=30, by=(signal.SIGTERM,)) == [143, 143]
    assert capfd.readouterr().err.count("stopped at step 31; go on with") == 1
    assert run("stopped", "--ckpt_path", "last") == [0, 0]
    assert equal(tmp_path, "stopped")


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_validation_batch_start"])
def test_the_end_of_a_process_whose_other_was_killed_is_one_line(
    hook: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    killed = {"die_at": 44 if "validation" in hook else 30, "by": (signal.SIGKILL,), "hook": hook}
    codes = run_forked(lambda: fit(tmp_path, "lost", world=2, **killed), environments=torchrun_environments(2))
    assert codes == [1, -signal.SIGKILL]
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert re.search(r"lhy: error: another process of this run was killed or failed, .*last.ckpt is kept; go on", said)


@pytest.mark.parametrize(
    ("argv", "folder", "expected"),
    [
        ("fit --config quickstart --overwrite true", "runs/quickstart", "fit --config quickstart --ckpt_path last"),
        ("fit --config hw03/strong --overwrite", "runs/hw03/strong", "fit --config hw03/strong --ckpt_path last"),
        (
            "fit --overwrite --config quickstart",
            "runs/quickstart-2",
            "fit --config quickstart --name quickstart-2 --ckpt_path last",
        ),
        (
            "fit --config quickstart --name a --ckpt_path last --trainer.max_epochs 9",
            "runs/a",
            "fit --config quickstart --trainer.max_epochs 9 --name a --ckpt_path last",
        ),
    ],
)
def test_the_command_that_goes_on_names_the_run_and_starts_no_new_one(argv: str, folder: str, expected: str) -> None:
    assert shlex.join(going_on(shlex.split(argv), Path(folder), Path("runs"))) == expected
