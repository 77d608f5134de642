"""One message for a picture that a network would shrink to nothing."""

from __future__ import annotations

SMALLEST = 4
"""Side that the network for the smallest pictures takes."""


def check_picture_size(network: str, image_size: tuple[int, int], smallest: int, instead: str = "") -> None:
    """Refuses a picture with a side under `smallest` pixels.

    Args:
        network: what it is called in the message.
        image_size: (height, width) of the pictures.
        smallest: side that the network takes.
        instead: flags of a network that takes smaller ones.

    Raises:
        ValueError: names the network, the picture's size and the smallest size.
    """
    height, width = image_size
    if min(height, width) < smallest:
        raise ValueError(
            f"pictures of {height}x{width} are too small for {network}: it halves them down to a map, "
            f"so both sides must have at least {smallest} pixels. Set --data.image_size {smallest}"
            f"{f', or take {instead}, which works on {SMALLEST} pixels and more' if instead else ''}."
        )
