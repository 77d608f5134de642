"""What both translators of pictures share: the networks' numbers, and what a run shows of a translation."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from lightning.pytorch.callbacks import Callback
from torch import Tensor

from lhy_lightning.core.arguments.ranges import BELOW_ONE, COUNT, NOT_NEGATIVE, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.gan.adversarial import AdversarialArguments, AdversarialModule, Norm
from lhy_lightning.gan.image_translation.patch_discriminator import PatchDiscriminator
from lhy_lightning.gan.image_translation.translated_images import TranslationPictures
from lhy_lightning.gan.image_translation.unet import UNet


class TranslationArguments(AdversarialArguments, total=False):
    """Arguments of `TranslationModule`, for the `**arguments` of those built on it."""

    width: int
    norm: Norm
    dropout: float
    discriminator_width: int
    discriminator_layers: int
    discriminator_norm: Norm
    decay_start: float


@dataclass(frozen=True)
class PatchSettings:
    """Arguments of `PatchDiscriminator`, but for the channels, which the data tells."""

    width: int
    layers: int
    norm: str


class TranslationModule(AdversarialModule):
    """Base: a generator makes pictures of pictures, and a discriminator scores patches of them.

    Args:
        width: channels of a generator's first layer.
        norm: of a generator: "batch", "instance", "layer" or "none".
        dropout: rate in the decoder of a U-Net.
        discriminator_width: channels of a discriminator's first layer.
        discriminator_layers: convolutions of stride 2 in it: 3 score patches of 70x70 pixels, 2 of 34x34, 1 of 16x16.
        discriminator_norm: as `norm`.
        decay_start: share of the steps at which linear and cosine begin to fall.
        arguments: as in `AdversarialModule`.

    Raises:
        ValueError: a name or number that does not exist or does not fit the pictures.
    """

    argument_ranges = ranges(discriminator_width=COUNT, discriminator_layers=NOT_NEGATIVE, decay_start=BELOW_ONE)

    def __init__(
        self,
        *,
        width: int = 64,
        norm: Norm = "batch",
        dropout: float = 0.5,
        discriminator_width: int = 64,
        discriminator_layers: int = 3,
        discriminator_norm: Norm = "batch",
        decay_start: float = 0.0,
        **arguments: Unpack[AdversarialArguments],
    ) -> None:
        super().__init__(**arguments)
        self.width, self.norm, self.dropout = width, norm, dropout
        self.patch_settings = PatchSettings(discriminator_width, discriminator_layers, discriminator_norm)
        self.schedule_settings = replace(self.schedule_settings, decay_start=decay_start)

    def unet(self, before: int, after: int, *, dropout_at_test: bool = False) -> UNet:
        """Pictures (N, before, H, W) to pictures (N, after, H, W), once the size is known.

        Raises:
            ValueError: the pictures are no squares, or of a size that it does not take.
        """
        return UNet(
            input_channels=before, output_channels=after, image_size=self.square_side(wanted_by="the U-Net wants"),
            width=self.width, norm=self.norm, dropout=self.dropout, dropout_at_test=dropout_at_test,
        )  # fmt: skip

    def patch_discriminator(self, channels: int, condition_channels: int = 0) -> PatchDiscriminator:
        """Pictures (N, channels, H, W), beside their inputs if it has channels for them, to scores (N, 1, h, w)."""
        return PatchDiscriminator(
            channels=channels, condition_channels=condition_channels, **asdict(self.patch_settings)
        )  # fmt: skip

    def configure_callbacks(self) -> list[Callback]:
        pictures = [TranslationPictures(self.plot_every_n_steps)] if self.plot_every_n_steps else []
        return [*super().configure_callbacks(), *pictures]


def difference(first: Tensor, second: Tensor, kind: str = "l1") -> Tensor:
    """Mean absolute ("l1") or squared ("l2") difference of two batches of pictures, in float32."""
    gap = first.float() - second.float()
    return gap.abs().mean() if kind == "l1" else gap.square().mean()
