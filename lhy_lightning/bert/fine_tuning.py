"""What of a pretrained network learns, and how fast: the arguments and the optimizer of fine-tuning."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, TypedDict

from torch import Tensor, nn
from torch.optim import Optimizer

from lhy_lightning.bert.layer_depth import freeze
from lhy_lightning.bert.lora import add_lora
from lhy_lightning.bert.optimization import layer_groups
from lhy_lightning.core.arguments.ranges import BELOW_ONE, NOT_NEGATIVE, POSITIVE, SHARE_OF_STEPS, Range, ranges
from lhy_lightning.training.single_optimizer import OptimizerSettings, Schedule, ScheduledModule, ScheduleSettings
from lhy_lightning.training.token_normalization import TokenNormalization


class FineTuningArguments(TypedDict, total=False):
    """Arguments of `FineTuningModule`, for the `**arguments` of those built on it."""

    freeze_layers: int | None
    lora_rank: int
    lora_alpha: float | None
    lora_dropout: float
    optimizer: str
    lr: float
    betas: tuple[float, float]
    weight_decay: float
    layer_decay: float
    schedule: Schedule
    warmup_fraction: float


@dataclass(frozen=True)
class LoraSettings:
    """Arguments of `add_lora`; rank 0 adds none."""

    rank: int
    alpha: float
    dropout: float


class FineTuningModule(ScheduledModule):
    """Base of modules that train a network further; a subclass builds it and hands it to `trained_part`.

    Gradients are sums over labels divided by the labels of the whole accumulated batch of all ranks.

    Args:
        freeze_layers: leave the embeddings and the first so many layers as they are; None to train everything.
        lora_rank: train low-rank updates of this rank and the head only (needs `peft`); 0 for everything.
        lora_alpha: LoRA's updates are scaled by alpha / rank; None for 2 · rank.
        lora_dropout: dropout of their input.
        optimizer: any of `torch.optim`, by its lower-case name.
        lr: peak of the learning rate.
        betas: coefficients (β₁, β₂) of Adam-type optimizers.
        weight_decay: of weights with two or more axes.
        layer_decay: each layer learns at this times the rate of the layer above it; 1 for the same rate.
        schedule: "linear", "cosine" or "constant", after the warm-up.
        warmup_fraction: share of all steps in which the rate rises.
    """

    argument_ranges = ranges(
        freeze_layers=NOT_NEGATIVE, lora_rank=NOT_NEGATIVE, lora_alpha=POSITIVE, lora_dropout=BELOW_ONE,
        layer_decay=Range(above=0, at_most=1), warmup_fraction=SHARE_OF_STEPS,
    )  # fmt: skip

    network: Any

    def __init__(
        self,
        *,
        freeze_layers: int | None = None,
        lora_rank: int = 0,
        lora_alpha: float | None = None,
        lora_dropout: float = 0.0,
        optimizer: str = "adamw",
        lr: float = 5e-5,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.01,
        layer_decay: float = 1.0,
        schedule: Schedule = "linear",
        warmup_fraction: float = 0.1,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()  # those of the subclasses, too: here the defaults of all are known
        if lora_rank and freeze_layers is not None:
            raise ValueError(f"lora_rank={lora_rank} freezes the whole encoder: leave freeze_layers out.")
        self.freeze_layers = freeze_layers
        self.lora = LoraSettings(lora_rank, 2 * lora_rank if lora_alpha is None else lora_alpha, lora_dropout)
        self.layer_decay, self.warmup_fraction = layer_decay, warmup_fraction
        self.optimizer_settings = OptimizerSettings(optimizer, lr, betas, weight_decay)
        self.schedule_settings = ScheduleSettings(schedule)
        self.normalization = TokenNormalization()

    def trained_part(self, network: nn.Module) -> nn.Module:
        """The network with what is frozen frozen, inside LoRA's wrapper where it has updates."""
        if self.freeze_layers is not None:
            freeze(network, self.freeze_layers)
        return add_lora(network, **asdict(self.lora)) if self.lora.rank else network

    def parameter_groups(self) -> list[dict[str, Any]]:
        numbers = self.optimizer_settings
        return layer_groups(self.built(), numbers.lr, numbers.weight_decay, self.layer_decay)

    def configure_optimizers(self) -> Any:
        steps = self.trainer.estimated_stepping_batches
        if self.warmup_fraction and steps == float("inf"):
            raise ValueError("warmup_fraction needs an end: give the trainer max_epochs or max_steps.")
        warmup = int(self.warmup_fraction * steps) if self.warmup_fraction else 0
        self.schedule_settings = replace(self.schedule_settings, warmup_steps=warmup)
        return super().configure_optimizers()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.normalization.divide_gradients(self)

    def log_training(self, batch_idx: int, figures: dict[str, Tensor]) -> None:
        """Logs on the steps that the loggers take."""
        if self.should_log(batch_idx):
            self.log_dict(figures, prog_bar=True)
