"""What all modules of this topic share: a generator against a discriminator, each with an optimizer of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

from torch import nn

from lhy_lightning.core.arguments.ranges import CLIP, POSITIVE, ranges
from lhy_lightning.core.sizes import height_and_width
from lhy_lightning.gan.losses import loss_terms
from lhy_lightning.gan.penalties import clip_weights_
from lhy_lightning.layers.memory_format import to_channels_last
from lhy_lightning.optim import AveragedWeights
from lhy_lightning.training.multi_optimizer import MultiOptimizerModule
from lhy_lightning.training.single_optimizer import OptimizerSettings, Schedule, ScheduleSettings

Loss = Literal["minimax", "non_saturating", "least_squares", "hinge", "wasserstein"]
Norm = Literal["batch", "instance", "layer", "none"]


class AdversarialArguments(TypedDict, total=False):
    """Arguments of `AdversarialModule`, for the `**arguments` of those built on it."""

    loss: Loss
    optimizer: str
    discriminator_lr: float
    generator_lr: float
    betas: tuple[float, float]
    momentum: float
    schedule: Schedule
    final_lr_factor: float
    accumulate: int
    discriminator_clip: float | None
    generator_clip: float | None
    ema_decay: float | None
    plot_every_n_steps: int
    image_size: int | tuple[int, int] | None


class AdversarialModule(MultiOptimizerModule):
    """Base: what a discriminator thinks of pictures teaches the generator that made them.

    Args:
        loss: "minimax", "non_saturating", "least_squares", "hinge" or "wasserstein".
        optimizer: any of `torch.optim`, by its lower-case name, for both.
        discriminator_lr, generator_lr: learning rates.
        betas: coefficients (β₁, β₂) of Adam-type optimizers.
        momentum: of SGD and RMSprop.
        schedule: "constant", "linear" or "cosine", over discriminator steps.
        final_lr_factor: share of the rates at which linear and cosine end.
        accumulate: batches whose gradients one step adds up; their mean is taken.
        discriminator_clip, generator_clip: largest gradient norm of each network; None disables clipping.
        ema_decay: decay of the generator's averaged weights, which then make all pictures; None for the raw ones.
        plot_every_n_steps: discriminator steps between two pictures of the run; 0 disables them.
        image_size: side, or (height, width), of a picture; from the data if not given.

    Raises:
        ValueError: a name or number that does not exist or does not fit another.
    """

    argument_ranges = ranges(
        discriminator_lr=POSITIVE, generator_lr=POSITIVE, discriminator_clip=CLIP, generator_clip=CLIP
    )

    # no loss tells when samples are best: the last epoch is kept
    monitor: tuple[str, Literal["max", "min"]] = ("step", "max")
    later_metrics = ("val/*",)  # figures of samples

    weight_clip: float | None = None
    image_size: tuple[int, int] | None

    def __init__(
        self,
        *,
        loss: Loss = "non_saturating",
        optimizer: str = "adam",
        discriminator_lr: float = 2e-4,
        generator_lr: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        momentum: float = 0.0,
        schedule: Schedule = "constant",
        final_lr_factor: float = 0.0,
        accumulate: int = 1,
        discriminator_clip: float | None = None,
        generator_clip: float | None = None,
        ema_decay: float | None = None,
        plot_every_n_steps: int = 500,
        image_size: int | tuple[int, int] | None = None,
    ) -> None:
        super().__init__(accumulate=accumulate, clip={"discriminator": discriminator_clip, "generator": generator_clip})
        self.save_hyperparameters()
        loss_terms(loss)
        self.loss_name, self.ema_decay, self.plot_every_n_steps = loss, ema_decay, plot_every_n_steps
        self.rates = {"discriminator": discriminator_lr, "generator": generator_lr}
        self.optimizer_settings = OptimizerSettings(optimizer, betas=betas, momentum=momentum)
        self.schedule_settings = ScheduleSettings(schedule, final_factor=final_lr_factor)
        self.set_hparam("image_size", height_and_width(image_size))

    def build_generator(self) -> nn.Module:
        """Returns what makes pictures. Override it for one of your own."""
        raise NotImplementedError(f"{type(self).__name__} does not say what generator it has")

    def build_discriminator(self) -> nn.Module:
        """Returns what scores pictures. Override it for one of your own."""
        raise NotImplementedError(f"{type(self).__name__} does not say what discriminator it has")

    def networks(self) -> dict[str, nn.Module]:
        raise NotImplementedError(f"{type(self).__name__} does not say what its `networks()` are")

    def averages(self) -> Sequence[tuple[AveragedWeights, nn.Module]]:
        """Averaged weights, each with the generator that they follow."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its `averages()` are")

    def square_side(self, *, wanted_by: str) -> int:
        """Height and width of the pictures, once they are known.

        Args:
            wanted_by: who takes squares alone, with the verb.

        Raises:
            ValueError: the pictures are no squares.
        """
        self.check_known()
        assert self.image_size is not None
        height, width = self.image_size
        if height != width:
            raise ValueError(f"pictures are {height} x {width}, {wanted_by} squares")
        return height

    def learn_sizes(self) -> None:
        """Learns from the data module what the networks are built from, as far as it was left out."""
        self.infer_from_datamodule(self.built_from, equal=self.built_from)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.learn_sizes()
        self.build_once()

    def on_network_step(self, name: str) -> None:
        if name == "discriminator" and self.weight_clip is not None:
            clip_weights_(self.networks()[name], self.weight_clip)
        if name == "generator":
            for averaged, generator in self.averages():
                averaged.update(generator)

    def configure_optimizers(self) -> Any:
        return self.same_optimizers(self.rates, self.optimizer_settings, self.schedule_settings)


class OnePair(AdversarialModule):
    """Base of modules with one generator and one discriminator; their constructor sets all four attributes."""

    generator: nn.Module | None
    discriminator: nn.Module | None
    averaged: AveragedWeights | None
    channels_last: bool

    @property
    def is_built(self) -> bool:
        return self.generator is not None

    def build(self) -> None:
        """Builds networks and averaged weights, once all sizes are known."""
        self.generator, self.discriminator = self.build_generator(), self.build_discriminator()
        layouts = [to_channels_last(network) for network in (self.generator, self.discriminator) if self.channels_last]
        self.channels_last = bool(layouts) and all(layouts)
        if self.ema_decay is not None:
            self.averaged = AveragedWeights(self.generator, self.ema_decay)

    def built(self) -> nn.Module:
        """The generator of inference: the averaged one where there is one.

        Raises:
            RuntimeError: there is none yet.
        """
        network = self.averaged if self.averaged is not None else self.generator
        if network is None:
            raise RuntimeError(self.no_network)
        return network

    def networks(self) -> dict[str, nn.Module]:
        assert self.discriminator is not None
        assert self.generator is not None
        return {"discriminator": self.discriminator, "generator": self.generator}

    def averages(self) -> Sequence[tuple[AveragedWeights, nn.Module]]:
        return [] if self.averaged is None else [(self.averaged, self.networks()["generator"])]
