"""One message for a picture that a network would shrink to nothing."""

from __future__ import annotations


def check_picture_size(network: str, image_size: tuple[int, int], smallest: int) -> None:
    """Refuse a picture with a side under `smallest` pixels.

    Raises:
        ValueError: names the network, the picture's size and the smallest size.
    """
    height, width = image_size
    if min(height, width) < smallest:
        raise ValueError(
            f"pictures of {height}x{width} are too small for {network}: it halves them down to a map, "
            f"so both sides must have at least {smallest} pixels. Ask the data for a larger image_size or take "
            "a shallower network."
        )
