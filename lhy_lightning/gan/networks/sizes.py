"""Which picture sizes a generator that doubles a small map can draw."""

from __future__ import annotations

from torch import Tensor

SIZES = tuple(base * 2**doublings for doublings in range(1, 8) for base in range(4, 8))  # 8, 10, 12, 14, 16, 20 ...


def doublings(image_size: int) -> tuple[int, int]:
    """Side of the smallest map, 4 to 7, and how often it is doubled: 64 -> (4, 4), 96 -> (6, 4), 28 -> (7, 2).

    Raises:
        ValueError: a size that is not 4 to 7 doubled at least once, with the nearest ones that are.
    """
    if image_size not in SIZES:
        near = sorted(sorted(SIZES, key=lambda size: abs(size - image_size))[:2])
        raise ValueError(
            f"image_size={image_size}: the network doubles a map of 4 to 7 pixels, which gives pictures of 8, 10, 12, "
            f"14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128 ...; nearest are {near[0]} and {near[1]}. "
            "Ask the data for another image_size."
        )
    count = max(count for count in range(1, 8) if image_size >= 4 * 2**count)
    return image_size // 2**count, count


def check_pictures(pictures: Tensor, channels: int, image_size: int) -> None:
    """Refuse pictures of another shape than the discriminator was built for.

    Raises:
        ValueError: names both shapes.
    """
    if tuple(pictures.shape[1:]) != (channels, image_size, image_size):
        given = "x".join(map(str, pictures.shape[1:]))
        raise ValueError(
            f"the discriminator was built for pictures of {channels}x{image_size}x{image_size}, not {given}: build it "
            "with the data's channels and image_size, or ask the data for these"
        )
