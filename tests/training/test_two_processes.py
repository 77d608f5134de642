"""Two processes equal one: as torchrun and SLURM start two nodes (on loopback), and by `--trainer.devices 2`."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lhy_lightning.cli.__main__ import main
from lhy_lightning.training.checkpoints import read_checkpoint
from tests.processes import run_forked, several_ranks, slurm_environments, torchrun_environments


def fit_command(root: Path, name: str, batch_size: int) -> list[str]:
    settings = {
        "--trainer.default_root_dir": root, "--name": name, "--trainer.max_epochs": 1,
        "--trainer.limit_train_batches": 4, "--trainer.log_every_n_steps": 1,
        "--trainer.enable_progress_bar": "false", "--trainer.accelerator": "cpu",
        "--model": "ImageClassifier", "--model.network": "vgg", "--model.depth": 3, "--model.width": 8,
        "--model.norm": "group", "--model.ema_decay": 0.5, "--data": "ImageDataModule", "--data.batch_size": batch_size,
        "--data.val_fraction": 0.061,
    }  # fmt: skip
    return ["fit", *(str(part) for pair in settings.items() for part in pair)]


def fit_and_predict(root: Path, name: str, batch_size: int) -> None:
    main(fit_command(root, name, batch_size))
    main(["predict", "--trainer.default_root_dir", str(root), "--name", name, "--ckpt_path", "best"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    assert run_forked(fit_and_predict, root, "one", 32) == [0]
    assert run_forked(fit_and_predict, root, "torchrun", 16, environments=torchrun_environments(2, nodes=2)) == [0, 0]
    assert run_forked(fit_and_predict, root, "slurm", 16, environments=slurm_environments(2)) == [0, 0]
    # Lightning's own launcher starts the command line anew for the second device.
    command = [sys.executable, "-m", "lhy_lightning.cli", *fit_command(root, "devices", 16), "--trainer.devices", "2"]
    with several_ranks():
        subprocess.run(command, check=True, timeout=400, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return root


@pytest.mark.parametrize("launcher", ["torchrun", "slurm", "devices"])
def test_weights_after_equal_global_batches_are_equal(runs: Path, launcher: str) -> None:
    one = read_checkpoint(runs / "one/checkpoints/last.ckpt")["state_dict"]
    two = read_checkpoint(runs / launcher / "checkpoints/last.ckpt")["state_dict"]
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("launcher", ["torchrun", "slurm", "devices"])
def test_figures_over_an_odd_number_of_rows_are_equal(runs: Path, launcher: str) -> None:
    def validation(name: str) -> dict[str, float]:
        with (runs / name / "metrics.csv").open() as file:
            *_, last = csv.DictReader(file)
        return {key: float(value) for key, value in last.items() if key.startswith("val/")}

    one, two = validation("one"), validation(launcher)
    assert one
    assert two == pytest.approx(one, abs=1e-5)


@pytest.mark.parametrize("launcher", ["torchrun", "slurm"])
def test_predictions_hold_every_row_once_and_in_order(runs: Path, launcher: str) -> None:
    def rows(name: str) -> list[tuple[str, str]]:
        with (runs / name / "predictions.csv").open() as file:
            return [(row["path"], row["class"]) for row in csv.DictReader(file)]

    assert len(rows("one")) == 1797
    assert rows(launcher) == rows("one")
