"""Figures of a validation that a run was cut off in, or behind, are drawn when the run goes on and ends."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests import command_runs
from tests.processes import run_forked

RUNS: dict[str, dict[str, Any]] = {
    "ImageClassifier": {"--model.network": "vgg", "--model.depth": 3, "--model.width": 4},
    "AutoEncoder": {"--model.latent_dim": 2, "--model.width": 4, "--model.downsamplings": 1},
}


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "samples").glob("*.png")}


@pytest.mark.parametrize("model", [pytest.param("AutoEncoder", marks=pytest.mark.slow), "ImageClassifier"])
def test_figures_of_a_run_killed_in_its_last_evaluation_are_there_when_it_went_on(model: str, tmp_path: Path) -> None:
    settings = {
        "--trainer.max_epochs": 1, "--trainer.limit_train_batches": 2, "--model": model, **RUNS[model],
        "--data": "ImageDataModule", "--evaluate": "true",
    }  # fmt: skip

    def fit(name: str, *more: str, **moment: Any) -> None:
        command_runs.fit(tmp_path, name, settings, *more, drawn=True, **moment)

    killed = {"die_at": 2, "hook": "on_train_end"}  # before anything is drawn
    assert run_forked(lambda: fit("whole")) == [0]
    assert run_forked(lambda: fit("killed", **killed)) == [-signal.SIGKILL]
    assert run_forked(lambda: fit("killed", "--ckpt_path", "last")) == [0]
    whole, resumed = pictures(tmp_path / "whole"), pictures(tmp_path / "killed")
    expected = {"ImageClassifier": "val_confusion.png", "AutoEncoder": "interpolation.png"}[model]
    assert expected in resumed
    assert resumed.keys() == whole.keys()
    assert resumed[expected] == whole[expected]
