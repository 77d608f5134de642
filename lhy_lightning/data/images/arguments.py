"""The arguments of `ImageDataModule`, and what the data modules of images do with theirs: checks, sizes together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lhy_lightning.core.sizes import height_and_width
from lhy_lightning.data.images.augmented import MovedArguments


class ImageArguments(MovedArguments, total=False):
    """Arguments of `ImageDataModule` behind its source, for the `**arguments` of those built on it."""

    val_source: str | None
    test_source: str | None
    folds: int | None
    fold: int | None
    class_balanced: bool
    class_names: list[str] | None
    num_classes: int | None
    load_size: int | tuple[int, int] | None
    test_fraction: float
    unlabelled_source: str | list[str] | None
    labelled_per_class: int | None
    unlabelled_per_batch: int
    unlabelled: Literal["weak_strong", "pseudo"]
    strong_magnitude: float
    crop_scale: float
    shear: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    erasing: float
    mixup: float
    cutmix: float


def check_fractions(val: float, test: float, *, of: str = "") -> None:
    """Refuses fractions that leave nothing to train on.

    Args:
        val, test: shares of the rows.
        of: how the arguments' names begin.

    Raises:
        ValueError: they make one or more together.
    """
    if val + test >= 1:
        raise ValueError(
            f"{of}val_fraction={val} and {of}test_fraction={test} must be positive and leave something to train on "
            f"({of}test_fraction may be 0)."
        )


def check_crop(crop: int | None, size: tuple[int, int]) -> None:
    """Refuses a random crop that may show nothing of the image.

    Args:
        crop: pixels of padding on each side.
        size: (height, width) of the image.

    Raises:
        ValueError: as many as the shorter side has, or more.
    """
    if crop is not None and crop >= min(size):
        raise ValueError(
            f"crop={crop} pads images of {size[0]}×{size[1]} by their whole side, so that a crop may show nothing: "
            f"--data.crop {max(1, min(size) // 8)} moves them by an eighth."
        )


def kept_and_cut(
    load_size: int | Sequence[int] | None, image_size: int | Sequence[int] | None
) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The size that pictures are kept at and the one that is cut out of it, (height, width) each; None: as they are.

    Raises:
        ValueError: `load_size` without `image_size`, or smaller.
    """
    kept, cut = height_and_width(load_size), height_and_width(image_size)
    if kept is None:
        return cut, cut
    if cut is None:
        raise ValueError("load_size needs image_size, the size that is cut out of it.")
    if kept[0] < cut[0] or kept[1] < cut[1]:
        raise ValueError(f"load_size={load_size} must not be smaller than image_size={image_size}.")
    return kept, cut
