"""Two processes equal one: every loss and penalty, with noise and draws that the rows bring along."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import seed_everything
from torch import Tensor
from torch.utils.data import Dataset

from lhy_lightning.data.base import CourseDataModule, ResumableLoader
from lhy_lightning.data.samplers import TrainBatches
from lhy_lightning.gan.gan import GAN
from lhy_lightning.gan.losses import LOSSES
from lhy_lightning.gan.penalties import gradient_penalty
from tests.cnn.pictures_to_fit import silent_trainer
from tests.processes import in_one_and_two

CASES: dict[str, dict[str, Any]] = {
    **{loss: {"loss": loss} for loss in LOSSES},
    "clipped": {"loss": "wasserstein", "weight_clip": 0.02, "n_critic": 2},
    "penalty": {"loss": "wasserstein", "penalty": "gradient", "n_critic": 2},
    "r1": {"penalty": "r1", "penalty_every_n_steps": 2},
    "spectral": {"loss": "hinge", "spectral_norm": True},
    "projection": {"loss": "hinge", "condition": "projection"},
    "auxiliary": {"condition": "auxiliary", "reuse_fakes": False},
    "accumulated": {"accumulate": 2, "generator_clip": 0.05, "discriminator_clip": 0.05},
}
ROWS = 48


class Rows(Dataset):
    """Pictures that bring along the noise of a fake, and where between it and themselves the penalty looks."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.rows = {
            "image": torch.rand(ROWS, 1, 8, 8, generator=draw) * 2 - 1, "label": torch.arange(ROWS) % 2,
            "noise": torch.randn(ROWS, 3, generator=draw), "interpolation": torch.rand(ROWS, generator=draw),
        }  # fmt: skip

    def __getitem__(self, rows: list[int]) -> dict[str, Tensor]:
        return {name: values[rows] for name, values in self.rows.items()}


class Data(CourseDataModule):
    image_size, channels, num_classes, class_names = (8, 8), 1, 2, ("a", "b")

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self) -> ResumableLoader:
        return self.train_loader(Rows(), TrainBatches(ROWS, self.batch_size))


class WithDraws(GAN):
    """A GAN without draws of its own."""

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.given = batch
        super().training_step(batch, batch_idx)

    def noise(self, count: int, *, seed: int | None = None) -> Tensor:
        return self.given["noise"]

    def discriminator_penalty(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> Tensor:
        if self.penalty == "r1":
            return super().discriminator_penalty(real, fake, labels)
        assert self.discriminator is not None
        return gradient_penalty(self.discriminator, real, fake, interpolation=self.given["interpolation"])


def fit_all(folder: Path, batch_size: int, settings: dict[str, Any]) -> None:
    for name, case in CASES.items():
        seed_everything(0, verbose=False)
        module = WithDraws(
            width=4, latent_dim=3, generator_norm="none", discriminator_norm="none", optimizer="sgd",
            discriminator_lr=0.05, generator_lr=0.05, ema_decay=0.5, plot_every_n_steps=0, **case,
        )  # fmt: skip
        steps = 3 if "accumulate" in case else 6
        trainer = silent_trainer(folder, max_steps=steps, max_epochs=-1, limit_val_batches=0, **settings)
        trainer.fit(module, datamodule=Data(batch_size))
        assert trainer.global_step == steps
        if trainer.is_global_zero:
            torch.save(module.state_dict(), folder / f"{name}.pt")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return in_one_and_two(fit_all, tmp_path_factory, 8)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_the_weights_that_one_trains(case: str, weights: tuple[Path, Path]) -> None:
    one, two = (torch.load(folder / f"{case}.pt", weights_only=True) for folder in weights)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-5, msg=f"{case}: {name}")
