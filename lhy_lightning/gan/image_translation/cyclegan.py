"""`CycleGAN`: pictures of one domain to another and back, learnt without pairs."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from lhy_lightning.core.argument_ranges import BELOW_ONE, CLIP, COUNT, NOT_NEGATIVE, POSITIVE, Range, ranges
from lhy_lightning.gan.image_translation.image_pool import ImagePool
from lhy_lightning.gan.image_translation.patch_discriminator import PatchDiscriminator
from lhy_lightning.gan.image_translation.translated_pictures import TranslatedPictures, TranslationPictures
from lhy_lightning.gan.image_translation.translation_evaluation import TranslationEvaluation
from lhy_lightning.gan.image_translation.translation_networks import CycleGANGenerator
from lhy_lightning.gan.image_translation.unet import UNet
from lhy_lightning.gan.losses import discriminator_loss, generator_loss, loss_terms
from lhy_lightning.gan.penalties import clip_weights_
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.metrics.averages import Mean
from lhy_lightning.optim import AveragedWeights
from lhy_lightning.training.multi_optimizer import SeveralOptimizers

Batch = dict[str, Tensor]
Direction = Literal["a_to_b", "b_to_a"]
SIDES: dict[Direction, tuple[str, str]] = {"a_to_b": ("a", "b"), "b_to_a": ("b", "a")}
"""The domain that pictures come from and the one that they go to."""
BACK: dict[Direction, Direction] = {"a_to_b": "b_to_a", "b_to_a": "a_to_b"}
LEFT_OUT = Range(at_least=0, said="0 to leave the loss out, or more")
CYCLE_LOSSES = ("l1", "l2")
NETWORKS = ("residual", "unet")
UNHALVED = {"least_squares": 2.0}
"""`losses.py` halves the squares as Mao et al. do; the generators of CycleGAN's paper do not, against lambda = 10."""


class CycleGAN(SeveralOptimizers):
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

    Their own networks differ in detail. Networks of one's own are two methods: `build_generator` and
    `build_discriminator`.

    Args:
        network: "residual" (the paper's) or "unet" (pix2pix's), for both generators.
        width: channels of a generator's first layer.
        blocks: residual blocks: 6 for 128 pixels and 9 for 256 in the paper.
        halvings: convolutions of stride 2 before the blocks: 2 in the paper; 1 or 0 for pictures below 32 pixels.
        norm: of the generators: "instance" as in the paper, "batch", "layer" or "none".
        dropout: rate in the decoder of a "unet".
        discriminator_width: channels of a discriminator's first layer.
        discriminator_layers: convolutions of stride 2 in it: 3 score patches of 70x70 pixels, 2 of 34x34, 1 of 16x16.
        discriminator_norm: as `norm`.
        loss: "minimax", "non_saturating", "least_squares", "hinge" or "wasserstein". Squares count in full for the
            generators, as in the paper, so that its lambda = 10 means the same here.
        cycle_loss: "l1", the mean absolute difference, or "l2", the mean squared one.
        cycle_weight: lambda.
        identity_weight: 0 for none; the authors' code takes half of lambda. It keeps colours as they are: take 0 where
            they are what differs between the domains.
        pool_size: earlier outputs of each generator that its discriminator is shown half of the time; 0 for none. Each
            rank has its own, and they are in the checkpoint. Resumed on more ranks, the new ones begin with none; on
            fewer, those of the ranks that are gone are left out.
        weight_clip: largest absolute weight of the discriminators, clipped after each of their steps; None for none.
        n_critic: discriminator steps a generator step.
        optimizer: any of `torch.optim` by its name in small letters, for both.
        discriminator_lr, generator_lr: learning rates.
        betas: of Adam and its kin.
        momentum: of SGD and RMSprop.
        schedule: "constant", "linear" or "cosine", over discriminator steps.
        decay_start: share of the steps at which linear and cosine begin to fall.
        final_lr_factor: share of the rates at which they end.
        accumulate: batches whose gradients one step adds up; their mean is taken.
        discriminator_clip, generator_clip: largest gradient norm of both networks together; None for no limit.
        ema_decay: decay of the generators' averaged weights, which then translate; None for the raw ones.
        picture_every: steps between two pictures input, output, back of validation rows; 0 for none.
        label_classifier: a checkpoint of an `ImageClassifier` of what must not change, on pictures of both domains;
            validation and test then log the share of translated labelled pictures whose label it still names.
        domain_classifier: one that tells the domains apart, whose classes are called like them; they then log the share
            of translated pictures that it takes for the target domain. The best epoch is the one with most of these,
            with both classifiers the one with most pictures of which both are true, otherwise the last.
        image_size: (height, width) of a picture; from the data if not given, as the next one.
        channels: 1 (grey) or 3 (colour), of both domains.

    Raises:
        ValueError: a name or number that does not exist or does not fit the pictures.
    """

    argument_ranges = ranges(
        blocks=NOT_NEGATIVE, halvings=NOT_NEGATIVE, discriminator_width=COUNT, discriminator_layers=NOT_NEGATIVE,
        cycle_weight=LEFT_OUT, identity_weight=LEFT_OUT, pool_size=NOT_NEGATIVE, weight_clip=CLIP,
        n_critic=COUNT, decay_start=BELOW_ONE, discriminator_lr=POSITIVE, generator_lr=POSITIVE,
        discriminator_clip=CLIP, generator_clip=CLIP,
    )  # fmt: skip

    # the way back is best where pictures are copied: without a classifier of the domains the last epoch is kept
    data_modules = ("UnpairedImageDataModule",)
    headline_metric: tuple[str, Literal["max", "min"]] = ("step", "max")
    later_metrics = ("val/*",)  # figures of samples

    def __init__(
        self,
        *,
        network: Literal["residual", "unet"] = "residual",
        width: int = 64,
        blocks: int = 9,
        halvings: int = 2,
        norm: Literal["batch", "instance", "layer", "none"] = "instance",
        dropout: float = 0.0,
        discriminator_width: int = 64,
        discriminator_layers: int = 3,
        discriminator_norm: Literal["batch", "instance", "layer", "none"] = "instance",
        loss: Literal["minimax", "non_saturating", "least_squares", "hinge", "wasserstein"] = "least_squares",
        cycle_loss: Literal["l1", "l2"] = "l1",
        cycle_weight: float = 10.0,
        identity_weight: float = 5.0,
        pool_size: int = 50,
        weight_clip: float | None = None,
        n_critic: int = 1,
        optimizer: str = "adam",
        discriminator_lr: float = 2e-4,
        generator_lr: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        momentum: float = 0.0,
        schedule: Literal["constant", "linear", "cosine"] = "linear",
        decay_start: float = 0.5,
        final_lr_factor: float = 0.0,
        accumulate: int = 1,
        discriminator_clip: float | None = None,
        generator_clip: float | None = None,
        ema_decay: float | None = None,
        picture_every: int = 500,
        label_classifier: str | None = None,
        domain_classifier: str | None = None,
        image_size: tuple[int, int] | None = None,
        channels: int | None = None,
    ) -> None:
        super().__init__(accumulate=accumulate, clip={"discriminator": discriminator_clip, "generator": generator_clip})
        self.save_hyperparameters()
        loss_terms(loss)
        self.network_name, self.loss_name, self.cycle_loss = network, loss, cycle_loss
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.weight_clip, self.n_critic, self.ema_decay = weight_clip, n_critic, ema_decay
        self.generator_numbers: dict[str, Any] = {"width": width, "norm": norm}
        own: dict[str, dict[str, Any]] = {
            "residual": {"blocks": blocks, "halvings": halvings}, "unet": {"dropout": dropout},
        }  # fmt: skip
        self.own_numbers = own[network]
        self.discriminator_numbers: dict[str, Any] = {
            "width": discriminator_width, "layers": discriminator_layers, "norm": discriminator_norm,
        }  # fmt: skip
        self.rates = {"discriminator": discriminator_lr, "generator": generator_lr}
        self.optimizer_numbers = {"name": optimizer, "betas": betas, "momentum": momentum}
        self.schedule_numbers = {
            "schedule": schedule, "decay_start": decay_start, "final_factor": final_lr_factor,
        }  # fmt: skip
        self.picture_every = picture_every
        self.label_classifier, self.domain_classifier = label_classifier, domain_classifier
        if domain_classifier is not None:
            self.headline_metric = ("val/target_domain" if label_classifier is None else "val/translated", "max")
        self.image_size = None if image_size is None else (int(image_size[0]), int(image_size[1]))
        self.channels = channels
        self.generators, self.discriminators, self.averaged = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.pools = {side: ImagePool(pool_size) for side in ("a", "b")}
        self.cycle_l1 = nn.ModuleDict({side: Mean() for side in ("a", "b")})
        if image_size is not None and channels is not None:
            self.build()

    # --- networks --------------------------------------------------------------------------------------------------

    def sizes(self) -> tuple[tuple[int, int], int]:
        """(Height, width) and channels of the pictures, once they are known."""
        if self.image_size is None or self.channels is None:
            raise ValueError(
                f"give {type(self).__name__} image_size and channels, or fit it with a data module that tells them"
            )
        return self.image_size, self.channels

    def build_generator(self) -> nn.Module:
        """Returns pictures (N, C, H, W) to the same shape; it is called twice. Override it for one of your own."""
        (height, width), channels = self.sizes()
        numbers: dict[str, Any] = {**self.generator_numbers, **self.own_numbers}
        if self.network_name == "residual":
            return CycleGANGenerator(input_channels=channels, output_channels=channels, **numbers)
        if height != width:
            raise ValueError(f"pictures are {height} x {width}, the U-Net wants squares")
        return UNet(input_channels=channels, output_channels=channels, image_size=height, **numbers)

    def build_discriminator(self) -> nn.Module:
        """Returns pictures (N, C, H, W) to scores (N, 1, h, w); it is called twice. Override it for one of your own."""
        return PatchDiscriminator(channels=self.sizes()[1], **self.discriminator_numbers)

    def build(self) -> None:
        """Builds networks and averaged weights, once all sizes are known."""
        for direction in SIDES:
            self.generators[direction] = self.build_generator()
        for side in ("a", "b"):
            self.discriminators[side] = self.build_discriminator()
        if self.ema_decay is not None:
            for direction in SIDES:
                self.averaged[direction] = AveragedWeights(self.generators[direction], self.ema_decay)

    def networks(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminators, "generator": self.generators}

    def setup(self, stage: str) -> None:
        super().setup(stage)
        sizes = ("image_size", "channels")
        self.learn_from_data(sizes, equal=sizes)
        if not self.generators:
            self.build()
        if stage == "fit":
            self.pools = {side: ImagePool(pool.size) for side, pool in self.pools.items()}

    # --- inference -------------------------------------------------------------------------------------------------

    def forward(self, pictures: Tensor, direction: Direction = "a_to_b") -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] to pictures of the other domain, the same shape.

        By the averaged generator where there is one, in evaluation mode.
        """
        if direction not in SIDES:
            raise ValueError(f"direction is one of {', '.join(SIDES)}, not {direction!r}")
        networks = self.averaged or self.generators
        if not networks:
            raise RuntimeError("there is no network yet: give image_size and channels, or fit first")
        with evaluation_mode(networks[direction]) as network:
            outputs: Tensor = network(pictures)
        return outputs

    # --- training --------------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        real = {"a": batch["a"], "b": batch["b"]}
        generators_step = self.turn(self.n_critic)
        with torch.set_grad_enabled(generators_step):
            fake = {to: self.generators[way](real[of]) for way, (of, to) in SIDES.items()}

        with self.updating("discriminator"):
            loss = self.discriminator_loss(real, {side: self.pools[side](fake[side]) for side in fake})
            self.step("discriminator", loss)
        figures = {"discriminator_loss": loss}
        if generators_step:
            with self.updating("generator"):
                loss, parts = self.generator_loss(real, fake)
                self.step("generator", loss)
            figures |= parts
        self.log_losses(figures)

    def discriminator_loss(self, real: Batch, fake: Batch) -> Tensor:
        """The sum of both discriminators' losses, on outputs without a graph; keys are `a` and `b`."""
        losses = [
            discriminator_loss(self.loss_name, judge(real[side]), judge(fake[side]))
            for side, judge in self.discriminators.items()
        ]
        return torch.stack(losses).sum()

    def generator_loss(self, real: Batch, fake: Batch) -> tuple[Tensor, Batch]:
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

    def on_network_step(self, name: str) -> None:
        if name == "discriminator" and self.weight_clip is not None:
            clip_weights_(self.discriminators, self.weight_clip)
        if name == "generator":
            for direction, averaged in self.averaged.items():
                assert isinstance(averaged, AveragedWeights)
                averaged.update(self.generators[direction])

    def configure_optimizers(self) -> Any:
        return self.alike_optimizers(self.rates, self.optimizer_numbers, self.schedule_numbers)

    # --- checkpoints -----------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        own = {side: pool.state_dict()["pictures"] for side, pool in self.pools.items()}
        ranks: list[Any] = [own]
        if self.trainer.world_size > 1:
            ranks = [None] * self.trainer.world_size
            dist.all_gather_object(ranks, own)
        checkpoint["image_pools"] = ranks

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        ranks = checkpoint.get("image_pools", [])
        if self.global_rank < len(ranks):  # a rank that was not there begins with empty pools
            for side, pictures in ranks[self.global_rank].items():
                self.pools[side].load_state_dict({"pictures": pictures})

    # --- evaluation ------------------------------------------------------------------------------------------------

    def translate(self, batch: Batch) -> dict[str, Tensor]:
        """`a_to_b` and `b_to_a`: translations of what a batch has of each domain."""
        return {way: self(batch[of], way) for way, (of, _) in SIDES.items() if of in batch}

    def evaluate(self, batch: Batch) -> Batch:
        """Adds a batch to the mean difference between pictures and their translation back; gives the translations."""
        outputs = self.translate(batch)
        for way, (of, _) in SIDES.items():
            if way in outputs:
                metric = self.cycle_l1[of]
                assert isinstance(metric, Mean)
                metric.update(difference(self(outputs[way], BACK[way]), batch[of], "l1"), len(batch[of]))
        return outputs

    def report(self, stage: str) -> None:
        """Logs what `evaluate` has added up over all ranks: of each domain, and the mean of both."""
        metrics = [metric for metric in self.cycle_l1.values() if isinstance(metric, Mean)]
        values = [metric.compute() for metric in metrics]
        self.log(f"{stage}/cycle_l1", torch.stack(values).mean(), prog_bar=True)
        self.log_dict({f"{stage}/cycle_l1_{side}": value for side, value in zip(self.cycle_l1, values, strict=True)})
        for metric in metrics:
            metric.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> Batch:
        return self.evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        self.report("val")

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        return self.evaluate(batch)

    def on_test_epoch_end(self) -> None:
        self.report("test")

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """`a_to_b` and `b_to_a` (N, C, H, W) in [-1, 1], with `index_a` and `index_b` (N,) of their inputs."""
        return {**self.translate(batch), **{name: batch[name] for name in ("index_a", "index_b") if name in batch}}

    def picture_columns(self, batch: Batch) -> dict[str, list[Tensor]]:
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
        if self.picture_every:
            found.append(TranslationPictures(self.picture_every))
        if self.label_classifier is not None or self.domain_classifier is not None:
            found.append(TranslationEvaluation(self.label_classifier, self.domain_classifier))
        return found


def difference(first: Tensor, second: Tensor, kind: str) -> Tensor:
    """Mean absolute ("l1") or squared ("l2") difference of two batches of pictures, in float32."""
    gap = first.float() - second.float()
    return gap.abs().mean() if kind == "l1" else gap.square().mean()
