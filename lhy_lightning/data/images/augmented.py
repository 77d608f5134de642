"""Data modules whose images are classified: how these are changed at random in training, and what is told of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lhy_lightning.core.arguments.ranges import NOT_NEGATIVE, SHARE, Range, ranges
from lhy_lightning.core.arguments.signatures import Unpack, settings_of
from lhy_lightning.data.augmentation.augmentation import Augmentation
from lhy_lightning.data.augmentation.transforms import Fill
from lhy_lightning.data.images.base import LabelledArguments, LabelledImages
from lhy_lightning.data.images.image_datasets import PlainPictures
from lhy_lightning.data.images.image_splits import Split
from lhy_lightning.data.images.unlabelled import PseudoLabels


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
    """What the weak view of an unlabelled image has too: as the arguments of `ImageDataModule` of the same names."""

    horizontal_flip: float
    vertical_flip: float
    crop: int
    crop_scale: float
    translation: float
    fill: Fill


@dataclass(frozen=True)
class LabelledChanges(WeakChanges):
    """What a labelled image has: as the arguments of `ImageDataModule` of the same names."""

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


class TrainingChanges:
    """What becomes of a training batch of bytes: its images, then the views of its unlabelled ones.

    Args:
        given: the arguments of `ImageDataModule`.
        size: (height, width) of the images.
    """

    def __init__(self, given: Any, size: tuple[int, int]) -> None:
        weak = asdict(settings_of(WeakChanges, given))
        self.labelled = Augmentation(size, **asdict(settings_of(LabelledChanges, given)))
        self.weak, self.strong = Augmentation(size, **weak), Augmentation(size, **weak, strong=given.strong_magnitude)
        self.both_views = given.unlabelled == "weak_strong"

    def __call__(self, batch: dict[str, Tensor], pseudo_labels: PseudoLabels | None) -> dict[str, Tensor]:
        """Returns the batch with all images in [-1, 1].

        Args:
            batch: of `TrainPictures`, on any device.
            pseudo_labels: of the unlabelled rows, where those that have one are trained on.
        """
        out = {**batch, "image": self.labelled(batch["image"])}
        others = out.pop("unlabelled_image", None)
        if others is not None and self.both_views:
            out["weak_image"], out["strong_image"] = self.weak(others), self.strong(others)
        elif others is not None and pseudo_labels is not None:
            out["pseudo_image"] = self.labelled(others)
            out["pseudo_label"] = pseudo_labels.of(out.pop("unlabelled_index"))
        if "label" in out:
            mixed = self.labelled.mix(out["image"], out["label"])
            if mixed is not None:
                out["image"], out["mixed_label"], out["mix"] = mixed
        return out
