"""One optimizer and one schedule for all of a module: the base of every topic but the adversarial ones."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypedDict

from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch.optim import Optimizer

from lhy_lightning.optim import build_optimizer, build_schedule, parameter_groups
from lhy_lightning.training.module import CourseModule

Schedule = Literal["constant", "linear", "cosine"]


class SingleOptimizerArguments(TypedDict, total=False):
    """Arguments of `SingleOptimizerModule`, for the `**arguments` of those built on it."""

    optimizer: str
    lr: float
    betas: tuple[float, float]
    weight_decay: float
    schedule: Schedule
    warmup_steps: int
    final_lr_factor: float


@dataclass(frozen=True)
class OptimizerSettings:
    """Arguments of `build_optimizer`."""

    name: str = "adam"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    momentum: float = 0.9


@dataclass(frozen=True)
class ScheduleSettings:
    """Arguments of `build_schedule`, but for the number of steps, which the Trainer tells."""

    schedule: str = "constant"
    warmup_steps: int = 0
    final_factor: float = 0.0
    drops: tuple[float, ...] = (0.5, 0.75)
    drop_factor: float = 0.1
    decay_start: float = 0.0


class ScheduledModule(CourseModule):
    """Base of modules that Lightning optimizes by one optimizer and one schedule, of whose settings it asks nothing.

    The constructor of a subclass sets both.
    """

    optimizer_settings: OptimizerSettings
    schedule_settings: ScheduleSettings

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The parameters in groups that may have a learning rate or a decay of their own."""
        return parameter_groups(self.built(), self.optimizer_settings.lr, self.optimizer_settings.weight_decay)

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.parameter_groups(), **asdict(self.optimizer_settings))
        steps = self.trainer.estimated_stepping_batches
        scheduler = build_schedule(optimizer, total_steps=steps, **asdict(self.schedule_settings))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """As Lightning has it, and also under mixed precision, where it refuses to clip before a fused step.

        A fused step can unscale the gradients itself, so Lightning leaves them scaled; it takes unscaled ones as well.
        """
        precision = self.trainer.precision_plugin
        fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        if not gradient_clip_val or not fused or not isinstance(precision, MixedPrecision):
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        if precision.scaler is not None:
            precision.scaler.unscale_(optimizer)
        algorithm = GradClipAlgorithmType(gradient_clip_algorithm or GradClipAlgorithmType.NORM)
        Precision.clip_gradients(precision, optimizer, gradient_clip_val, algorithm)


class SingleOptimizerModule(ScheduledModule):
    """Base of those whose optimizer and schedule are arguments; a subclass restates a default only to change it.

    Args:
        optimizer: any of `torch.optim`, by its lower-case name; "momentum" and "nesterov" are SGD's.
        lr: learning rate after the warm-up.
        betas: coefficients (β₁, β₂) of Adam-type optimizers.
        weight_decay: of weights with two or more axes; norms and biases do not decay.
        schedule: "constant", "linear" or "cosine", over optimizer steps.
        warmup_steps: steps in which the learning rate rises from zero.
        final_lr_factor: share of `lr` at which linear and cosine end.
    """

    def __init__(
        self,
        *,
        optimizer: str = "adam",
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        schedule: Schedule = "constant",
        warmup_steps: int = 0,
        final_lr_factor: float = 0.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()  # those of the subclasses, too: here the defaults of all are known
        self.optimizer_settings = OptimizerSettings(optimizer, lr, betas, weight_decay)
        self.schedule_settings = ScheduleSettings(schedule, warmup_steps, final_lr_factor)
