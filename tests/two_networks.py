"""The smallest adversarial module: one linear layer against another, on rows that bring their noise along."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.data import Dataset

from lhy_lightning.data.base import CourseDataModule, ResumableLoader
from lhy_lightning.data.samplers import TrainBatches
from lhy_lightning.training.multi_optimizer import MultiOptimizerModule

NAMES = ("discriminator", "generator")


class Rows(Dataset):
    def __init__(self, rows: int) -> None:
        draws = torch.randn(rows, 5, generator=torch.Generator().manual_seed(0))
        self.rows = torch.cat([draws, torch.arange(rows)[:, None]], 1)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: list[int]) -> dict[str, Tensor]:  # type: ignore[override]
        real, noise, index = self.rows[rows].split([3, 2, 1], dim=1)
        return {"real": real + 2, "noise": noise, "index": index[:, 0].long()}


class Data(CourseDataModule):
    """`rows` rows in batches of `batch_size` a process."""

    def __init__(self, rows: int = 40, batch_size: int = 2) -> None:
        super().__init__()
        self.rows, self.batch_size = rows, batch_size

    def train_dataloader(self) -> ResumableLoader:
        return self.train_loader(Rows(self.rows), TrainBatches(self.rows, self.batch_size))


class TwoNetworks(MultiOptimizerModule):
    """Points (N, 3) from noise (N, 2), with the non-saturating loss.

    `factors` multiplies a network's loss, given its name, the step and the batch: what goes wrong in a test.
    """

    def __init__(
        self,
        *,
        n_critic: int = 1,
        reuse_fakes: bool = True,
        accumulate: int = 1,
        discriminator_clip: float | None = None,
        generator_clip: float | None = None,
        optimizer: str = "sgd",
        lr: float = 0.1,
        schedule: str = "constant",
        factors: Callable[[str, int, Mapping[str, Tensor]], float] | None = None,
    ) -> None:
        super().__init__(accumulate=accumulate, clip={"discriminator": discriminator_clip, "generator": generator_clip})
        self.save_hyperparameters(ignore="factors")
        self.n_critic, self.reuse_fakes, self.factors = n_critic, reuse_fakes, factors
        self.numbers = {"name": optimizer, "lr": lr, "betas": (0, 0.9), "momentum": 0.0}
        self.schedule = schedule
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.generator = nn.Linear(2, 3)
            self.discriminator = nn.Linear(3, 1)
        self.updates = dict.fromkeys(NAMES, 0)
        self.seen: list[Any] = []

    def networks(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def configure_optimizers(self) -> list[dict[str, Any]]:
        return self.optimizers_and_schedules(
            dict.fromkeys(NAMES, self.numbers), {name: {"schedule": self.schedule} for name in NAMES}
        )

    def factor(self, name: str, batch: Mapping[str, Tensor]) -> float:
        return 1.0 if self.factors is None else self.factors(name, self.trainer.global_step + 1, batch)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        generators_turn = self.every_n_steps(self.n_critic)
        with torch.set_grad_enabled(generators_turn and self.reuse_fakes):
            fakes = self.generator(batch["noise"])
        with self.toggled("discriminator"):
            loss = (
                softplus(-self.discriminator(batch["real"])).mean()
                + softplus(self.discriminator(fakes.detach())).mean()
            )
            loss = loss.float() * self.factor("discriminator", batch)
            self.backward_and_step("discriminator", loss)
        losses = {"discriminator_loss": loss}
        if generators_turn:
            with self.toggled("generator"):
                fakes = fakes if self.reuse_fakes else self.generator(batch["noise"])
                loss = softplus(-self.discriminator(fakes)).mean().float() * self.factor("generator", batch)
                self.backward_and_step("generator", loss)
            losses["generator_loss"] = loss
        self.log_losses(losses)

    def on_network_step(self, name: str) -> None:
        self.updates[name] += 1


def trainer(*callbacks: Callback, folder: Path | None = None, **settings: Any) -> Trainer:
    """A quiet Trainer on the CPU for one epoch, if nothing else is said."""
    return Trainer(**{
        "max_epochs": 1 if "max_steps" not in settings else -1, "accelerator": "cpu", "logger": False,
        "enable_checkpointing": bool(callbacks), "enable_progress_bar": False, "enable_model_summary": False,
        "callbacks": list(callbacks), "default_root_dir": folder, **settings,
    })  # fmt: skip


def fitted(module: TwoNetworks, data: Data | None = None, **settings: Any) -> Trainer:
    fit = trainer(**settings)
    fit.fit(module, data or Data())
    return fit


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def float16() -> MixedPrecision:
    """Real float16 with a scaler: `precision="16-mixed"` on a CPU silently becomes bfloat16."""
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**10))
