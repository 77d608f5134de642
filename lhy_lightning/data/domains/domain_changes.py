"""How images of source and target are changed: once before all else, and at random in training, each side its way."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from torch import Tensor

from lhy_lightning.core.argument_ranges import NOT_NEGATIVE, SHARE, Range, ranges
from lhy_lightning.core.signatures import Unpack, settings_of
from lhy_lightning.data.augmentation.augmentation import Augmentation
from lhy_lightning.data.augmentation.transforms import Fill, scale_to_contract
from lhy_lightning.data.domains.domain_transforms import Change
from lhy_lightning.data.images.augmented import MovedArguments, MovedImages


@dataclass(frozen=True)
class SideChanges:
    """Random changes of one side: as the arguments of the same names, the target's with `target_` before them."""

    horizontal_flip: float
    vertical_flip: float
    rotation: float
    translation: float
    scale: float
    crop: int
    fill: Fill


class ChangedArguments(MovedArguments, total=False):
    """Arguments of `ChangedDomains`, for the `**arguments` of those built on it."""

    source_transform: Change
    target_transform: Change
    canny: tuple[int, int]
    target_horizontal_flip: float | None
    target_vertical_flip: float | None
    target_rotation: float | None
    target_translation: float | None
    target_scale: float | None
    target_crop: int | None
    target_fill: Fill | None


class ChangedDomains(MovedImages):
    """Base of those whose source images are changed in one way and target images in another.

    Args:
        source_transform: done once to every source picture, before all else: "grey", "inverted" (255 - grey), or
            "edges" (OpenCV's Canny of the grey picture at `image_size`).
        target_transform: the same for the target.
        canny: both thresholds of edges.
        target_horizontal_flip: of target pictures; this and the following as the source's if not given.
        target_vertical_flip: of target pictures.
        target_rotation: of target pictures.
        target_translation: of target pictures.
        target_scale: of target pictures.
        target_crop: of target pictures.
        target_fill: of target pictures.
        arguments: as `MovedImages`: flips, rotation … are the source's.
    """

    argument_ranges = ranges(
        canny=Range(at_least=0, said="two thresholds, not negative"), target_horizontal_flip=SHARE,
        target_vertical_flip=SHARE, target_rotation=Range(at_least=0, at_most=180), target_translation=SHARE,
        target_scale=Range(at_least=0, at_most=0.99), target_crop=NOT_NEGATIVE,
    )  # fmt: skip

    def __init__(
        self,
        *,
        source_transform: Change = "none",
        target_transform: Change = "none",
        canny: tuple[int, int] = (170, 300),
        target_horizontal_flip: float | None = None,
        target_vertical_flip: float | None = None,
        target_rotation: float | None = None,
        target_translation: float | None = None,
        target_scale: float | None = None,
        target_crop: int | None = None,
        target_fill: Fill | None = None,
        **arguments: Unpack[MovedArguments],
    ) -> None:
        super().__init__(**arguments)

    def _random_changes(self, size: tuple[int, int]) -> tuple[Augmentation, Augmentation]:
        """Of source and of target pictures."""
        source = asdict(settings_of(SideChanges, self._given))
        own = {field.name: self._given[f"target_{field.name}"] for field in fields(SideChanges)}
        target = {name: source[name] if value is None else value for name, value in own.items()}
        return Augmentation(size, **source), Augmentation(size, **target)

    def prepare_batch(self, batch: dict[str, Tensor], *, training: bool) -> dict[str, Tensor]:
        """Bytes of a loader to pictures in [-1, 1], augmented in training. The Trainer calls it, a plain loop can.

        Args:
            batch: of one of this module's loaders, on any device.
            training: augment each side in its own way.

        Returns:
            `DomainBatch`, or `ImageBatch` (`lhy_lightning.data.batches`).
        """
        out = dict(batch)
        for name in ("image", "source_image", "target_image"):  # in this order, or draws would differ between runs
            if name not in batch:
                continue
            change = self._source_changes if name == "source_image" else self._target_changes
            out[name] = change(batch[name]) if training else scale_to_contract(batch[name])
        return out

    def _prepare_changes(self, size: tuple[int, int]) -> None:
        """Once the size of the images is known."""
        self._source_changes, self._target_changes = self._random_changes(size)
