"""Sources that come with the package's dependencies: real, small, the same everywhere, no download."""

from collections.abc import Callable
from functools import cache

import numpy as np

from lhy_lightning.data.embedded.coloured_digits import coloured, coloured_half
from lhy_lightning.data.embedded.photo_digits import PATCHES, enlarged, over_photos, third_of_row

Embedded = tuple[np.ndarray, np.ndarray, tuple[str, ...]]


def digits() -> Embedded:
    """scikit-learn's handwritten digits: 1,797 grey pictures of 8×8, ten classes (UCI ML, test part, 43 writers).

    Returns:
        (1797, 8, 8) uint8 (the original 0…16 spread over 0…255), (1797,) int64, the class names.
    """
    pixels, labels, names = _read_digits()
    return pixels.copy(), labels.copy(), names


@cache  # scikit-learn reads a packed table of text; a training asks for the digits up to six times
def _read_digits() -> Embedded:
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    return pixels, data.target.astype(np.int64), tuple(str(name) for name in data.target_names)


def grey_digits() -> Embedded:
    """One half of the digits as they are: (N, 8, 8) uint8. No picture is in both halves."""
    pixels, labels, names = digits()
    chosen = ~coloured_half(pixels, labels)
    return pixels[chosen], labels[chosen], names


def coloured_digits() -> Embedded:
    """The other half of the digits, in colours that have nothing to do with the class: (N, 8, 8, 3) uint8."""
    pixels, labels, names = digits()
    chosen = coloured_half(pixels, labels)
    return coloured(pixels[chosen]), labels[chosen], names


def both_digits() -> Embedded:
    """Both halves, with 3 channels, for a classifier of the digit in either domain: (N, 8, 8, 3) uint8."""
    (grey, grey_labels, names), (colour, colour_labels, _) = grey_digits(), coloured_digits()
    pixels = np.concatenate([np.repeat(grey[..., None], 3, axis=3), colour])
    return pixels, np.concatenate([grey_labels, colour_labels]), names


def digit_domains() -> Embedded:
    """The same pictures, for a classifier of the domain: 0 is grey, 1 coloured; classes are called like the sources."""
    pixels, _, _ = both_digits()
    return pixels, np.repeat(np.arange(2), (len(grey_digits()[0]), len(coloured_digits()[0]))), DOMAINS


def plain_digits() -> Embedded:
    """A third of the digits, enlarged, with 3 channels: (N, 16, 16, 3) uint8, the source of domain adaptation."""
    pixels, labels, names = digits()
    chosen = third_of_row(pixels, labels) == 0
    return np.repeat(enlarged(pixels[chosen])[..., None], 3, axis=3), labels[chosen], names


def photo_digits() -> Embedded:
    """Other digits, each over ten patches of photos, to train on: (N, 16, 16, 3) uint8, the target."""
    return _over_photos(1)


def photo_digits_val() -> Embedded:
    """The same of digits of their own, to validate on."""
    return _over_photos(2)


def photo_digits_test() -> Embedded:
    """The same of digits of their own, the last third of all, to test on."""
    return _over_photos(3)


def _over_photos(part: int) -> Embedded:
    pixels, labels, names = digits()
    chosen = third_of_row(pixels, labels) == part
    return over_photos(enlarged(pixels[chosen]), part), np.repeat(labels[chosen], PATCHES), names


DOMAINS = ("grey_digits", "coloured_digits")

EMBEDDED: dict[str, Callable[[], Embedded]] = {
    "digits": digits,
    "grey_digits": grey_digits,
    "coloured_digits": coloured_digits,
    "both_digits": both_digits,
    "digit_domains": digit_domains,
    "plain_digits": plain_digits,
    "photo_digits": photo_digits,
    "photo_digits_val": photo_digits_val,
    "photo_digits_test": photo_digits_test,
}
"""Picture sources by the name after `embedded:`."""
