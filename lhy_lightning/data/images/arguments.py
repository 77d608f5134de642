"""Checks of arguments that the data modules of pictures share."""

from __future__ import annotations

from lhy_lightning.data.images.reading.bit_depth import check_value_range


def check_numbers(given: dict[str, object]) -> None:
    """Refuses numbers of a data module's arguments that make no sense.

    Raises:
        ValueError: names the argument.
    """
    val, test = given["val_fraction"], given["test_fraction"]
    assert isinstance(val, int | float)
    assert isinstance(test, int | float)
    if val + test >= 1:
        raise ValueError(
            f"val_fraction={val} and test_fraction={test} must be positive and leave something to train on "
            "(test_fraction may be 0)."
        )
    check_value_range(given.get("value_range"))


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


def kept_and_cut(load_size: object, image_size: object) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The size that pictures are kept at and the one that is cut out of it, (height, width) each; None: as they are.

    Raises:
        ValueError: `load_size` without `image_size`, or smaller.
    """
    kept, cut = _pair(load_size), _pair(image_size)
    if kept is None:
        return cut, cut
    if cut is None:
        raise ValueError("load_size needs image_size, the size that is cut out of it.")
    if kept[0] < cut[0] or kept[1] < cut[1]:
        raise ValueError(f"load_size={load_size} must not be smaller than image_size={image_size}.")
    return kept, cut


def _pair(size: object) -> tuple[int, int] | None:
    if size is None or isinstance(size, int):
        return None if size is None else (size, size)
    assert isinstance(size, list | tuple)
    return int(size[0]), int(size[1])
