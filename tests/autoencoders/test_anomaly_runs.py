"""An anomaly detector's run that is killed and resumed equals an unbroken one; two processes score like one."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from lhy_lightning.cli.__main__ import main
from lhy_lightning.training.checkpoints import read_checkpoint
from tests import command_runs
from tests.processes import run_forked, torchrun_environments

KILLED_AT = 23
SETTINGS: dict[str, Any] = {
    "--trainer.max_epochs": 3, "--last.every_n_steps": 4, "--model": "AnomalyDetector", "--model.score": "classifier",
    "--model.synthetic_anomalies": "noise", "--model.width": 8, "--model.downsamplings": 1,
    "--model.plot_every_n_validations": 0, "--data": "AnomalyDataModule", "--data.batch_size": 8,
}  # fmt: skip


def test_a_killed_run_goes_on_to_equal_losses_and_the_same_threshold(tmp_path: Path) -> None:
    def run(name: str, *more: str, die_at: int | None = None) -> list[int]:
        return run_forked(lambda: command_runs.fit(tmp_path, name, SETTINGS, *more, die_at=die_at))

    assert run("whole") == [0]
    assert run("killed", die_at=KILLED_AT) == [-signal.SIGKILL]
    assert read_checkpoint(tmp_path / "killed/checkpoints/last.ckpt")["global_step"] < KILLED_AT
    assert run("killed", "--ckpt_path", "last") == [0]
    whole = (tmp_path / "whole/metrics.csv").read_bytes()
    assert whole.count(b"\n") > 40
    assert (tmp_path / "killed/metrics.csv").read_bytes() == whole
    first, second = (
        read_checkpoint(tmp_path / name / "checkpoints/last.ckpt")["state_dict"] for name in ("whole", "killed")
    )
    assert "threshold" in first
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


def test_two_processes_report_the_figures_of_one(tmp_path: Path) -> None:
    def run(name: str, batch_size: int) -> None:
        flags = {
            **SETTINGS, "--trainer.default_root_dir": tmp_path, "--name": name, "--trainer.max_epochs": 1,
            "--trainer.accelerator": "cpu", "--trainer.enable_progress_bar": "false", "--model.score": "patch",
            "--model.patch": 3, "--model.synthetic_anomalies": "none", "--data.batch_size": batch_size,
            "--trainer.limit_train_batches": 4, "--data.eval_batch_size": 7,
        }  # fmt: skip
        main(["fit", *(str(part) for pair in flags.items() for part in pair)])

    assert run_forked(run, "one", 8) == [0]
    assert run_forked(run, "two", 4, environments=torchrun_environments(2)) == [0, 0]
    one, two = (json.loads((tmp_path / name / "results.json").read_text())["results"] for name in ("one", "two"))
    assert {"test/auroc", "test/f1", "test/pixel_auroc", "val/loss"} <= set(one)
    assert two == pytest.approx(one, abs=1e-4)
