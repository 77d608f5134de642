"""A run killed with -9 in mid-epoch and resumed equals an unbroken one: rows, draws, losses, weights."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from lhy_lightning.training.checkpoints import read_checkpoint
from tests import command_runs
from tests.processes import run_forked, torchrun_environments

KILLED_AT = 37  # of 22 steps an epoch: in the middle of the second


SETTINGS: dict[str, Any] = {
    "--trainer.max_epochs": 3, "--last.every_n_steps": 6, "--model": "ImageClassifier", "--model.network": "vgg",
    "--model.depth": 3, "--model.width": 8, "--model.dropout": 0.3, "--model.ema_decay": 0.9,
    "--data": "ImageDataModule", "--data.crop": 1, "--data.rotation": 20, "--data.mixup": 0.4,
}  # fmt: skip


def fit(root: Path, name: str, *more: str, world: int = 1, die_at: int | None = None) -> None:
    shared = {"--data.batch_size": 64 // world, "--data.num_workers": 2 if world == 1 else 0}
    drawn = name == "killed"
    command_runs.fit(root, name, {**SETTINGS, **shared}, *more, die_at=die_at, drawn=drawn)


@pytest.fixture(scope="module", params=[1, 2], ids=["one process, two workers", "two processes"])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, world = tmp_path_factory.mktemp("runs"), request.param

    def run(name: str, *more: str, die_at: int | None = None) -> list[int]:
        where = torchrun_environments(world) if world > 1 else ({},)
        return run_forked(lambda: fit(root, name, *more, world=world, die_at=die_at), environments=where)

    assert run("whole") == [0] * world
    assert run("killed", die_at=KILLED_AT) == [-signal.SIGKILL] * world
    assert read_checkpoint(root / "killed/checkpoints/last.ckpt")["global_step"] < KILLED_AT
    assert run("killed", "--ckpt_path", "last") == [0] * world
    return root


def test_metrics_are_equal_to_the_byte(runs: Path) -> None:
    whole = (runs / "whole/metrics.csv").read_bytes()
    assert whole.count(b"\n") == 1 + 66
    assert (runs / "killed/metrics.csv").read_bytes() == whole


def test_weights_averages_and_best_epoch_are_equal_to_the_bit(runs: Path) -> None:
    for name in ("last", "best"):
        whole = read_checkpoint(runs / f"whole/checkpoints/{name}.ckpt")
        resumed = read_checkpoint(runs / f"killed/checkpoints/{name}.ckpt")
        assert whole["global_step"] == resumed["global_step"]
        assert whole["state_dict"].keys() == resumed["state_dict"].keys()
        for key, value in whole["state_dict"].items():
            assert torch.equal(value, resumed["state_dict"][key]), key


def test_the_folder_holds_no_partial_files(runs: Path) -> None:
    left = {str(path.relative_to(runs / "killed")) for path in (runs / "killed").rglob("*") if path.is_file()}
    assert {"config.yaml", "metrics.csv", "curves.png", "checkpoints/last.ckpt", "checkpoints/best.ckpt"} <= left
    assert not [name for name in left if "partial" in name]
