"""What data modules of two sides of images share: defaults, and changes at random that leave a pair a pair."""

from __future__ import annotations

from typing import Any

from lhy_lightning.core.arguments.signatures import settings_of
from lhy_lightning.data.augmentation.augmentation import Augmentation
from lhy_lightning.data.images.arguments import check_fractions, kept_and_cut
from lhy_lightning.data.images.base import ImageDataModuleBase, PictureArguments
from lhy_lightning.data.images.image_splits import Division


class TwoSidedArguments(PictureArguments, total=False):
    """Arguments of `TwoSidedImages`, for the `**arguments` of those built on it."""

    load_size: int | tuple[int, int] | None
    test_fraction: float


class TwoSidedImages(ImageDataModuleBase):
    """Base of those that translate images of one side to the other.

    Args:
        batch_size: training rows per step and process, of each side.
        load_size: keep pictures this much larger than `image_size`: training crops at random, evaluation the centre.
        test_fraction: share of the training rows for a test split where a source has none; 0 holds none out.
        arguments: as the base that is next among those of the data module.
    """

    order_settings: tuple[str, ...] = ("batch_size", "steps_per_epoch")

    def __init__(
        self,
        *,
        batch_size: int = 16,
        load_size: int | tuple[int, int] | None = None,
        test_fraction: float = 0.1,
        **arguments: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **arguments)
        check_fractions(self._args.val_fraction, test_fraction)
        kept_and_cut(load_size, arguments.get("image_size"))

    def _division(self) -> Division:
        return settings_of(Division, self._args)

    def _random_changes(self, size: tuple[int, int]) -> Augmentation:
        flips = self._args.horizontal_flip, self._args.vertical_flip
        return Augmentation(size, horizontal_flip=flips[0], vertical_flip=flips[1])

    def _read(self, stage: str) -> dict[str, Any]:
        """What a stage reads of each side."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it reads")

    def prepare_data(self) -> None:
        """Decodes on one process a machine; the others open the file."""
        self._read(self._stage())
