"""Data modules whose images are classified: how these are changed at random in training, and what is told of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from lhy_lightning.core.argument_ranges import NOT_NEGATIVE, SHARE, Range, ranges
from lhy_lightning.core.signatures import Unpack, settings_of
from lhy_lightning.data.augmentation.augmentation import Augmentation
from lhy_lightning.data.augmentation.transforms import Fill
from lhy_lightning.data.images.base import LabelledArguments, LabelledImages
from lhy_lightning.data.images.image_datasets import PlainPictures
from lhy_lightning.data.images.image_splits import Split


class MovedArguments(LabelledArguments, total=False):
    """Arguments of `MovedImages`, for the `**arguments` of those built on it."""

    rotation: float
    translation: float
    scale: float
    crop: int
    fill: Fill


class MovedImages(LabelledImages):
    """Base of those whose splits are rows with labels each, and whose images are moved at random in training.

    Args:
        rotation: largest angle in degrees, either way.
        translation: largest shift, as a share of the side.
        scale: largest zoom: factors from 1 - scale to 1 + scale.
        crop: pixels of padding on each side before a random crop.
        fill: what lies outside a moved picture: "black", "grey", "white", its "border" or its mirror image "reflect".
        arguments: as `LabelledImages`.
    """

    argument_ranges = ranges(
        rotation=Range(at_least=0, at_most=180), translation=SHARE, scale=Range(at_least=0, at_most=0.99),
        crop=NOT_NEGATIVE,
    )  # fmt: skip

    num_classes: int
    class_names: tuple[str, ...]

    _splits: dict[str, Split]

    def __init__(
        self,
        *,
        rotation: float = 0.0,
        translation: float = 0.0,
        scale: float = 0.0,
        crop: int = 0,
        fill: Fill = "black",
        **arguments: Unpack[LabelledArguments],
    ) -> None:
        super().__init__(**arguments)

    def _split(self, name: str) -> Split:
        self._make(name)
        return self._splits[name]

    def paths(self, split: str) -> list[str]:
        """Path of every picture of a split, or `source#row`, in the order of `index`."""
        rows = self._split(split)
        return rows.names(np.arange(len(rows)))

    def pictures(self, split: str) -> PlainPictures:
        """A split's pictures in [-1, 1] without augmentation, all of them on every rank."""
        rows = self._split(split)
        return PlainPictures(rows.pool, rows.rows, self.image_size)

    @property
    def bad_rows(self) -> dict[str, list[int]]:
        return {name: split.bad for name, split in self._splits.items()}

    def _counts(self, name: str) -> tuple[int, ...]:
        """Labelled rows of each class in a split."""
        truth = self._split(name).truth
        return tuple(np.bincount(truth[truth >= 0], minlength=self.num_classes).tolist())


@dataclass(frozen=True)
class WeakChanges:
    """What the weak view of an unlabelled image has too: as the arguments of `AugmentedImages` of the same names."""

    horizontal_flip: float
    vertical_flip: float
    crop: int
    crop_scale: float
    translation: float
    fill: Fill


@dataclass(frozen=True)
class LabelledChanges(WeakChanges):
    """What a labelled image has: as the arguments of `AugmentedImages` of the same names."""

    rotation: float
    scale: float
    shear: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    erasing: float
    mixup: float
    cutmix: float


class AugmentedArguments(MovedArguments, total=False):
    """Arguments of `AugmentedImages`, for the `**arguments` of those built on it."""

    crop_scale: float
    shear: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    erasing: float
    mixup: float
    cutmix: float


class AugmentedImages(MovedImages):
    """Base of those whose images get every random change that `Augmentation` knows.

    Args:
        crop_scale: smallest share of the area in a random resized crop; 0 for none.
        shear: largest shear angle in degrees.
        brightness: factors from 1 - brightness to 1 + brightness.
        contrast: the same for contrast.
        saturation: the same for saturation.
        hue: largest turn of the colour circle, as a share of a full turn.
        erasing: probability of filling a random rectangle.
        mixup: alpha of mixup's Beta distribution; 0 for none.
        cutmix: alpha of cutmix's Beta distribution; 0 for none.
        arguments: as `MovedImages`.
    """

    argument_ranges = ranges(
        crop_scale=SHARE, shear=Range(at_least=0, at_most=80), brightness=SHARE, contrast=SHARE, saturation=SHARE,
        hue=Range(at_least=0, at_most=0.5), erasing=SHARE, mixup=NOT_NEGATIVE, cutmix=NOT_NEGATIVE,
    )  # fmt: skip

    def __init__(
        self,
        *,
        crop_scale: float = 0.0,
        shear: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        erasing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        **arguments: Unpack[MovedArguments],
    ) -> None:
        super().__init__(**arguments)

    def _changes(self, size: tuple[int, int]) -> Augmentation:
        return Augmentation(size, **asdict(settings_of(LabelledChanges, self._given)))

    def _weak_changes(self, size: tuple[int, int], strong: float = 0.0) -> Augmentation:
        return Augmentation(size, **asdict(settings_of(WeakChanges, self._given)), strong=strong)
