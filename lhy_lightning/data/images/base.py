"""What data modules of images share: bytes from loaders, prepared as a batch."""

from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from lhy_lightning.core.argument_ranges import (
    GREY_OR_COLOUR,
    NOT_NEGATIVE,
    SHARE,
    Range,
    any_number,
    ranges,
)
from lhy_lightning.data.base import CourseDataModule


class PictureDataModule(CourseDataModule):
    """Base of those whose loaders give pictures as bytes, which a batch at a time become what is trained on.

    A subclass has `prepare_batch`, which a plain loop can call as well, and says how rows of a split come once.
    """

    argument_ranges = ranges(
        val_fraction=Range(above=0, below=1), rotation=Range(at_least=0, at_most=180), translation=SHARE,
        scale=Range(at_least=0, at_most=0.99), crop=NOT_NEGATIVE, channels=GREY_OR_COLOUR,
        input_channels=GREY_OR_COLOUR, target_channels=GREY_OR_COLOUR,
        value_range=any_number("black and white of a file"),
    )  # fmt: skip

    def prepare_batch(self, batch: dict[str, Tensor], *, training: bool) -> dict[str, Tensor]:
        """Bytes of a loader to pictures in [-1, 1], augmented in training."""
        raise NotImplementedError(f"{type(self).__name__} does not say what becomes of a batch")

    def _rows_once(self, name: str) -> DataLoader:
        """The rows of a split, each once over all ranks."""
        raise NotImplementedError(f"{type(self).__name__} does not say how its rows come")

    def val_dataloader(self) -> Any:
        return self._rows_once("val")

    def test_dataloader(self) -> DataLoader:
        return self._rows_once("test")

    def predict_dataloader(self) -> DataLoader:
        return self._rows_once("predict")

    def on_after_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        if self.trainer is None:
            return self.prepare_batch(batch, training=False)
        prepared = self.prepare_batch(batch, training=bool(self.trainer.training))
        # Lightning gave the batch its precision before there were pictures in it, only bytes.
        converted: dict[str, Tensor] = self.trainer.precision_plugin.convert_input(prepared)
        return converted
