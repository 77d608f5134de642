"""Sources that come with the package's dependencies: real, small, the same everywhere, no download."""

from collections.abc import Callable

import numpy as np


def digits() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """scikit-learn's handwritten digits: 1,797 grey pictures of 8×8, ten classes (UCI ML, test part, 43 writers).

    Returns:
        (1797, 8, 8) uint8 (the original 0…16 spread over 0…255), (1797,) int64, the class names.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    return pixels, data.target.astype(np.int64), tuple(str(name) for name in data.target_names)


EMBEDDED: dict[str, Callable[[], tuple[np.ndarray, np.ndarray, tuple[str, ...]]]] = {"digits": digits}
"""Picture sources by the name after `embedded:`."""
