"""The mean of the last epochs' weights."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lhy_lightning.callbacks.checkpoint_average import AverageCheckpoints, average_checkpoints
from lhy_lightning.training.checkpoints import read_checkpoint


class Counter(LightningModule):
    """Its weight grows by one a step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.steps += 1
        return -self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def trainer(folder: Path, epochs: int, callback: AverageCheckpoints) -> Trainer:
    return Trainer(
        default_root_dir=folder, max_epochs=epochs, logger=False, enable_checkpointing=False, callbacks=[callback],
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip


def loader() -> DataLoader:
    return DataLoader([torch.zeros(1)], batch_size=None)  # type: ignore[arg-type]


def test_the_average_is_of_the_last_k_epochs_and_counts_are_the_last_ones(tmp_path: Path) -> None:
    trainer(tmp_path, 5, AverageCheckpoints(last=3)).fit(Counter(), loader())
    average = read_checkpoint(tmp_path / "checkpoints/average.ckpt")
    assert average["state_dict"]["weight"].tolist() == [4.0, 4.0]  # of 3, 4 and 5
    assert average["state_dict"]["steps"] == 5
    assert "optimizer_states" not in average
    assert len(list((tmp_path / "checkpoints").glob("epoch-*.ckpt"))) == 3


def test_what_a_killed_run_wrote_beyond_its_checkpoint_is_not_averaged(tmp_path: Path) -> None:
    first = trainer(tmp_path, 2, AverageCheckpoints(last=2))
    first.fit(Counter(), loader())
    first.save_checkpoint(tmp_path / "last.ckpt")
    stray = tmp_path / "checkpoints/epoch-00007.ckpt"
    (tmp_path / "checkpoints/epoch-00001.ckpt").rename(stray)
    trainer(tmp_path, 3, AverageCheckpoints(last=2)).fit(Counter(), loader(), ckpt_path=str(tmp_path / "last.ckpt"))
    assert not stray.exists()
    assert read_checkpoint(tmp_path / "checkpoints/average.ckpt")["state_dict"]["weight"].tolist() == [2.0, 2.0]


def test_checkpoints_of_different_networks_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        torch.save({"state_dict": {name: torch.zeros(1)}}, tmp_path / f"{name}.ckpt")
    with pytest.raises(ValueError, match="hold different weights"):
        average_checkpoints([tmp_path / "a.ckpt", tmp_path / "b.ckpt"])
    with pytest.raises(ValueError, match="last=0"):
        AverageCheckpoints(last=0)
