"""The best epoch is known to the last checkpoint of its own epoch, and by whichever path a run is resumed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from lhy_lightning.callbacks.best_checkpoint import BestCheckpoint
from lhy_lightning.training.checkpoints import read_checkpoint
from tests import command_runs

SMALL: dict[str, Any] = {
    "--trainer.max_epochs": 1, "--trainer.limit_train_batches": 2, "--trainer.limit_val_batches": 1,
    "--model": "BertTagger", "--data": "TaggingDataModule", "--model.layers": 1, "--model.width": 16,
    "--model.feedforward": 16,
}  # fmt: skip


def state_of_best(checkpoint: Path) -> dict[str, Any]:
    (state,) = (s for name, s in read_checkpoint(checkpoint)["callbacks"].items() if name.startswith("BestCheckpoint"))
    return dict(state)


def test_the_checkpoint_at_the_end_of_an_epoch_knows_whether_it_is_the_best(tmp_path: Path) -> None:
    """A run killed in the first minutes of the next epoch goes on from there."""
    command_runs.fit(tmp_path, "run", SMALL)
    last, best = (state_of_best(tmp_path / f"run/checkpoints/{name}.ckpt") for name in ("last", "best"))
    assert last["best_model_score"] is not None
    assert (
        last["best_k_models"]
        == best["best_k_models"]
        == {str(tmp_path / "run/checkpoints/best.ckpt"): last["kth_value"]}
    )


def state(folder: Path | str) -> dict[str, Any]:
    path, score = f"{folder}/best.ckpt", torch.tensor(0.7)
    return {
        "monitor": "val/f1", "best_model_score": score, "best_model_path": path, "current_score": score,
        "dirpath": str(folder), "best_k_models": {path: score}, "kth_best_model_path": path, "kth_value": score,
        "last_model_path": "",
    }  # fmt: skip


@pytest.mark.filterwarnings("error:The dirpath has changed")
def test_a_run_resumed_by_its_whole_path_keeps_its_best_epoch(tmp_path: Path) -> None:
    folder = tmp_path / "runs/a/checkpoints"
    folder.mkdir(parents=True)
    (folder / "best.ckpt").touch()
    keeper = BestCheckpoint("val/f1", "max", str(folder))
    keeper.load_state_dict(state("runs/a/checkpoints"))
    assert keeper.best_model_path == str(folder / "best.ckpt")
    assert keeper.best_k_models == {str(folder / "best.ckpt"): torch.tensor(0.7)}
    assert keeper.best_k_models[keeper.kth_best_model_path] == keeper.best_model_score == torch.tensor(0.7)


@pytest.mark.filterwarnings("error:The dirpath has changed")
def test_a_run_killed_before_its_first_validation_goes_on_without_a_word_of_a_best_epoch(tmp_path: Path) -> None:
    keeper = BestCheckpoint("val/f1", "max", str(tmp_path / "runs/a/checkpoints"))
    none_yet = {"best_model_path": "", "kth_best_model_path": "", "best_model_score": None, "best_k_models": {}}
    keeper.load_state_dict({**state("runs/a/checkpoints"), **none_yet, "kth_value": torch.tensor(-float("inf"))})
    assert keeper.best_model_score is None
    assert keeper.dirpath == str(tmp_path / "runs/a/checkpoints")


def test_the_best_epoch_of_another_run_is_not_that_of_this_one(tmp_path: Path) -> None:
    folder = tmp_path / "runs/b/checkpoints"
    folder.mkdir(parents=True)
    (folder / "best.ckpt").touch()
    keeper = BestCheckpoint("val/f1", "max", str(folder))
    with pytest.warns(UserWarning, match="The dirpath has changed"):
        keeper.load_state_dict(state("runs/a/checkpoints"))
    assert keeper.best_model_score is None


@pytest.mark.parametrize("away", ["../../../thesis.txt", "thesis.txt", "best.ckpt"])
def test_a_file_that_a_checkpoint_names_is_never_removed(
    away: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come from anyone, and say that this run's best epoch is a file which the next better one replaces."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/a/checkpoints")
    folder.mkdir(parents=True)
    victim = folder / away
    victim.write_text("two years of work")
    keeper = BestCheckpoint("val/f1", "max", str(folder))
    found = {"best_model_path": str(victim), "kth_best_model_path": str(victim), "kth_value": torch.tensor(0.7)}
    keeper.load_state_dict({**state(folder.absolute()), **found, "best_k_models": {str(victim): torch.tensor(0.7)}})
    trainer = Trainer(logger=False, accelerator="cpu", callbacks=[keeper], enable_progress_bar=False)
    monkeypatch.setattr(trainer, "save_checkpoint", lambda path, *_: Path(path).write_text("better"))
    figures = {"val/f1": torch.tensor(0.9), "epoch": torch.tensor(1), "step": torch.tensor(1)}
    keeper._save_topk_checkpoint(trainer, figures)
    assert (folder / "best.ckpt").read_text() == "better"
    assert away == "best.ckpt" or victim.read_text() == "two years of work"
