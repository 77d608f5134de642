"""What data modules of two sides of images share: defaults, and changes at random that leave a pair a pair."""

from __future__ import annotations

from typing import Any

from lhy_lightning.data.augmentation.augmentation import Augmentation
from lhy_lightning.data.images.base import DividedImages


class TwoSidedImages(DividedImages):
    """Base of those that translate images of one side to the other.

    Args:
        batch_size: training rows a step and process, of each side.
        arguments: as the base that is next among those of the data module.
    """

    order_settings: tuple[str, ...] = ("batch_size", "steps_per_epoch")

    def __init__(self, *, batch_size: int = 16, **arguments: Any) -> None:
        super().__init__(batch_size=batch_size, **arguments)

    def _random_changes(self, size: tuple[int, int]) -> Augmentation:
        flips = self._given.horizontal_flip, self._given.vertical_flip
        return Augmentation(size, horizontal_flip=flips[0], vertical_flip=flips[1])

    def _read(self, stage: str) -> dict[str, Any]:
        """What a stage reads of each side."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it reads")

    def prepare_data(self) -> None:
        """Decodes on one process a machine; the others open the file."""
        self._read(self._stage())
