"""`CycleGAN`: unpaired image-to-image translation, learned with cycle consistency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from lhy_lightning.core.arguments.ranges import CLIP, COUNT, NOT_NEGATIVE, Range, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import UnpairedImageBatch
from lhy_lightning.gan.adversarial import Loss, Norm
from lhy_lightning.gan.image_translation.directions import BACK, SIDES, Direction
from lhy_lightning.gan.image_translation.image_pool import ImagePool, fill_pools, pictures_of_all_ranks
from lhy_lightning.gan.image_translation.translated_images import TranslatedPictures
from lhy_lightning.gan.image_translation.translation import TranslationArguments, TranslationModule, difference
from lhy_lightning.gan.image_translation.translation_evaluation import TranslationEvaluation
from lhy_lightning.gan.image_translation.translation_networks import CycleGANGenerator
from lhy_lightning.gan.losses import UNHALVED, discriminator_loss, generator_loss
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.metrics.averages import Mean
from lhy_lightning.optim import AveragedWeights
from lhy_lightning.training.module import EvaluatedSplit
from lhy_lightning.training.single_optimizer import Schedule

LEFT_OUT = Range(at_least=0, said="0 to leave the loss out, or more")


class CycleGAN(TranslationModule):
    """Translates pictures of domain A to domain B and back, learnt without pairs (Zhu et al. 2017,
    https://arxiv.org/abs/1703.10593).

    Two generators, which one optimizer trains, and a patch discriminator for each domain, which another one trains.
    The generators minimize what the discriminators think of their outputs, plus `cycle_weight` times the difference
    between every picture and its translation back, plus `identity_weight` times the difference between a generator's
    output and an input that is of its target domain already; each is the sum of both directions. The discriminators
    are shown outputs from a history of them. Every batch gives one step of the discriminators, every `n_critic`-th one
    of the generators too.

    Relatives of the same year are settings of it:

        DiscoGAN (Kim et al. 2017, https://arxiv.org/abs/1703.05192): loss="non_saturating", cycle_loss="l2",
            cycle_weight=1, identity_weight=0, pool_size=0, schedule="constant", norm="batch",
            discriminator_norm="batch"
        DualGAN (Yi et al. 2017, https://arxiv.org/abs/1704.02510): network="unet", loss="wasserstein",
            weight_clip=0.01, n_critic=3, cycle_weight=500, identity_weight=0, pool_size=0, optimizer="rmsprop",
            discriminator_lr=5e-5, generator_lr=5e-5, schedule="constant", norm="batch", dropout=0.5,
            discriminator_norm="batch"

    Their own networks differ in detail. To use your own, override `build_generator` and `build_discriminator`.

    Args:
        network: "residual" (the paper's) or "unet" (pix2pix's), for both generators.
        blocks: residual blocks: 6 for 128 pixels and 9 for 256 in the paper.
        downsamplings: convolutions of stride 2 before the blocks: 2 in the paper; 1 or 0 for pictures below 32 pixels.
        norm: of the generators: "instance" (the paper's), "batch", "layer" or "none".
        loss: "minimax", "non_saturating", "least_squares", "hinge" or "wasserstein". Squares count in full for the
            generators, as in the paper, so that its lambda = 10 means the same here.
        cycle_loss: "l1", the mean absolute difference, or "l2", the mean squared one.
        cycle_weight: lambda.
        identity_weight: 0 disables the loss; the authors' code takes half of lambda. It keeps colours: take 0
            where they are what differs between the domains.
        pool_size: earlier outputs of each generator that its discriminator is shown half of the time; 0 keeps none.
            Each rank has its own, and they are in the checkpoint. Resumed on more ranks, the new ones begin with none;
            on fewer, those of the ranks that are gone are left out.
        weight_clip: largest absolute weight of the discriminators, clipped after each of their steps; None disables it.
        n_critic: discriminator steps per generator step.
        label_classifier: a checkpoint of an `ImageClassifier` of what must not change, on pictures of both domains;
            validation and test then log the share of translated labelled pictures whose label it still names.
        domain_classifier: one that tells the domains apart, whose classes are called like them; they then log the share
            of translated pictures that it takes for the target domain. The best epoch is the one with most of these,
            with both classifiers the one with most pictures of which both are true, otherwise the last.
        channels: 1 (grey) or 3 (colour), of both domains; from the data if not given.
        arguments: as in `TranslationModule`, of both generators or both discriminators together.

    Raises:
        ValueError: a name or number that does not exist or does not fit the pictures.

    Example:
        >>> import torch
        >>> from lhy_lightning import CycleGAN
        >>> model = CycleGAN(image_size=8, channels=1, width=4, blocks=1, downsamplings=1, discriminator_layers=1)
        >>> tuple(model(torch.zeros(2, 1, 8, 8), "a_to_b").shape)
        (2, 1, 8, 8)
    """

    argument_ranges = ranges(
        blocks=NOT_NEGATIVE, downsamplings=NOT_NEGATIVE, cycle_weight=LEFT_OUT, identity_weight=LEFT_OUT,
        pool_size=NOT_NEGATIVE, weight_clip=CLIP, n_critic=COUNT,
    )  # fmt: skip

    data_modules = ("UnpairedImageDataModule",)
    missing_keys = tuple((side, "CycleGAN trains on two domains: give batches of `a` and `b`.") for side in "ab")

    def __init__(  # type: ignore[misc]  # defaults are restated
        self,
        *,
        network: Literal["residual", "unet"] = "residual",
        blocks: int = 9,
        downsamplings: int = 2,
        norm: Norm = "instance",
        dropout: float = 0.0,
        discriminator_norm: Norm = "instance",
        loss: Loss = "least_squares",
        cycle_loss: Literal["l1", "l2"] = "l1",
        cycle_weight: float = 10.0,
        identity_weight: float = 5.0,
        pool_size: int = 50,
        weight_clip: float | None = None,
        n_critic: int = 1,
        schedule: Schedule = "linear",
        decay_start: float = 0.5,
        label_classifier: str | None = None,
        domain_classifier: str | None = None,
        channels: int | None = None,
        **arguments: Unpack[TranslationArguments],
    ) -> None:
        super().__init__(
            norm=norm, dropout=dropout, discriminator_norm=discriminator_norm, loss=loss, schedule=schedule,
            decay_start=decay_start, **arguments,
        )  # fmt: skip
        self.network_name, self.blocks, self.downsamplings, self.cycle_loss = network, blocks, downsamplings, cycle_loss
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.weight_clip, self.n_critic, self.channels = weight_clip, n_critic, channels
        self.label_classifier, self.domain_classifier = label_classifier, domain_classifier
        if domain_classifier is not None:  # the way back is best where pictures are copied, and says nothing
            self.monitor = ("val/target_domain" if label_classifier is None else "val/translated", "max")
        self.generators, self.discriminators, self.averaged = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.pools = {side: ImagePool(pool_size) for side in ("a", "b")}
        self.cycle_l1 = nn.ModuleDict({side: Mean() for side in ("a", "b")})
        self.build_if_known()

    # --- networks --------------------------------------------------------------------------------------------------

    @property
    def is_built(self) -> bool:
        return len(self.generators) > 0

    def build_generator(self) -> nn.Module:
        """Returns pictures (N, C, H, W) to the same shape; it is called twice. Override it for one of your own."""
        _, channels = self.known_sizes()
        if self.network_name == "unet":
            return self.unet(channels, channels)
        return CycleGANGenerator(
            input_channels=channels, output_channels=channels, width=self.width, norm=self.norm, blocks=self.blocks,
            downsamplings=self.downsamplings,
        )  # fmt: skip

    def build_discriminator(self) -> nn.Module:
        """Returns pictures (N, C, H, W) to scores (N, 1, h, w); it is called twice. Override it for one of your own."""
        _, channels = self.known_sizes()
        return self.patch_discriminator(channels)

    def build(self) -> None:
        """Builds networks and averaged weights, once all sizes are known."""
        for direction in SIDES:
            self.generators[direction] = self.build_generator()
        for side in ("a", "b"):
            self.discriminators[side] = self.build_discriminator()
        if self.ema_decay is not None:
            for direction in SIDES:
                self.averaged[direction] = AveragedWeights(self.generators[direction], self.ema_decay)

    def built(self) -> nn.ModuleDict:
        """The generators of inference: the averaged ones where there are some.

        Raises:
            RuntimeError: there are none yet.
        """
        if not self.is_built:
            raise RuntimeError(self.no_network)
        return self.averaged or self.generators

    def networks(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminators, "generator": self.generators}

    def averages(self) -> Sequence[tuple[AveragedWeights, nn.Module]]:
        return [
            (averaged, self.generators[direction])
            for direction, averaged in self.averaged.items() if isinstance(averaged, AveragedWeights)
        ]  # fmt: skip

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            self.pools = {side: ImagePool(pool.size) for side, pool in self.pools.items()}

    def forward(self, pictures: Tensor, direction: Direction = "a_to_b") -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] to pictures of the other domain, the same shape.

        By the averaged generator where there is one, in evaluation mode.
        """
        if direction not in SIDES:
            raise ValueError(f"direction is one of {', '.join(SIDES)}, not {direction!r}")
        with evaluation_mode(self.built()[direction]) as network:
            outputs: Tensor = network(pictures)
        return outputs

    # --- training --------------------------------------------------------------------------------------------------

    def training_step(self, batch: UnpairedImageBatch, batch_idx: int) -> None:
        real = {"a": batch["a"], "b": batch["b"]}
        generators_step = self.every_n_steps(self.n_critic)
        with torch.set_grad_enabled(generators_step):
            fake = {to: self.generators[way](real[of]) for way, (of, to) in SIDES.items()}

        with self.toggled("discriminator"):
            loss = self.discriminator_loss(real, {side: self.pools[side](fake[side]) for side in fake})
            self.backward_and_step("discriminator", loss)
        figures = {"discriminator_loss": loss}
        if generators_step:
            with self.toggled("generator"):
                loss, parts = self.generator_loss(real, fake)
                self.backward_and_step("generator", loss)
            figures |= parts
        self.log_losses(figures)

    def discriminator_loss(self, real: dict[str, Tensor], fake: dict[str, Tensor]) -> Tensor:
        """The sum of both discriminators' losses, on outputs without a graph; keys are `a` and `b`."""
        losses = [
            discriminator_loss(self.loss_name, discriminator(real[side]), discriminator(fake[side]))
            for side, discriminator in self.discriminators.items()
        ]
        return torch.stack(losses).sum()

    def generator_loss(self, real: dict[str, Tensor], fake: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The generators' loss on outputs that keep their graph, and its parts as means of both directions."""
        adversarial, cycle, identity = [], [], []
        for way, (of, to) in SIDES.items():
            adversarial.append(generator_loss(self.loss_name, self.discriminators[to](fake[to])))
            back = self.generators[BACK[way]](fake[to])
            cycle.append(difference(back, real[of], self.cycle_loss))
            if self.identity_weight:
                identity.append(difference(self.generators[way](real[to]), real[to], "l1"))
        parts = {
            "adversarial_loss": torch.stack(adversarial).mean(),
            f"cycle_{self.cycle_loss}": torch.stack(cycle).mean(),
        }
        loss = 2 * (UNHALVED.get(self.loss_name, 1.0) * parts["adversarial_loss"])
        loss = loss + 2 * self.cycle_weight * parts[f"cycle_{self.cycle_loss}"]
        if identity:
            parts["identity_l1"] = torch.stack(identity).mean()
            loss = loss + 2 * self.identity_weight * parts["identity_l1"]
        return loss, parts

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["image_pools"] = pictures_of_all_ranks(self.pools)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        fill_pools(self.pools, checkpoint.get("image_pools", []), self.global_rank)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def translate(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """`a_to_b` and `b_to_a`: translations of what a batch has of each domain."""
        return {way: self(batch[of], way) for way, (of, _) in SIDES.items() if of in batch}

    def evaluate(self, batch: UnpairedImageBatch, split: EvaluatedSplit) -> dict[str, Tensor]:
        """Adds a batch to the mean difference between pictures and their translation back; gives the translations."""
        images: Mapping[str, Any] = batch
        outputs = self.translate(images)
        for way, (of, _) in SIDES.items():
            if way in outputs:
                self.cycle_l1[of].update(difference(self(outputs[way], BACK[way]), images[of], "l1"), len(images[of]))  # type: ignore[operator]
        return outputs

    def report(self, split: EvaluatedSplit) -> None:
        """Logs what `evaluate` has added up over all ranks: of each domain, and the mean of both."""
        metrics = [metric for metric in self.cycle_l1.values() if isinstance(metric, Mean)]
        values = [metric.compute() for metric in metrics]
        self.log(f"{split}/cycle_l1", torch.stack(values).mean(), prog_bar=True)
        self.log_dict({f"{split}/cycle_l1_{side}": value for side, value in zip(self.cycle_l1, values, strict=True)})
        for metric in metrics:
            metric.reset()

    def predict_step(self, batch: UnpairedImageBatch, batch_idx: int) -> dict[str, Tensor]:
        """`a_to_b` and `b_to_a` (N, C, H, W) in [-1, 1], with `index_a` and `index_b` (N,) of their inputs."""
        return {**self.translate(batch), **{name: batch[name] for name in ("index_a", "index_b") if name in batch}}

    def picture_columns(self, batch: Mapping[str, Any]) -> dict[str, list[Tensor]]:
        """What a picture of the run shows side by side: input, output and back, each (N, C, H, W)."""
        outputs = self.translate(batch)
        return {
            way: [batch[of], outputs[way], self(outputs[way], BACK[way])]
            for way, (of, _) in SIDES.items() if way in outputs
        }  # fmt: skip

    def prediction_writers(self) -> list[Callback]:
        return [TranslatedPictures({way: of for way, (of, _) in SIDES.items()})]

    def configure_callbacks(self) -> list[Callback]:
        found = super().configure_callbacks()
        if self.label_classifier is not None or self.domain_classifier is not None:
            found.append(TranslationEvaluation(self.label_classifier, self.domain_classifier))
        return found
