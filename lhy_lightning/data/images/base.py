"""What data modules of images share: their arguments, bytes from loaders, and images prepared as a batch."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lhy_lightning.core.arguments.ranges import GREY_OR_COLOUR, Range, any_number, ranges
from lhy_lightning.core.sizes import height_and_width
from lhy_lightning.data.base import CourseDataModule
from lhy_lightning.data.images.reading.bit_depth import check_value_range
from lhy_lightning.data.images.reading.readers import Resize


class PictureArguments(TypedDict, total=False):
    """Arguments of `ImageDataModuleBase`, for the `**arguments` of those built on it."""

    image_column: str | None
    value_range: tuple[float, float] | None
    batch_size: int
    eval_batch_size: int | None
    image_size: int | tuple[int, int] | None
    resize: Resize
    val_fraction: float
    split_seed: int
    steps_per_epoch: int | None
    num_workers: int
    cache_limit_gb: float
    cache_dir: str | None
    horizontal_flip: float
    vertical_flip: float


class ImageDataModuleBase(CourseDataModule):
    """Base of those whose loaders give pictures as bytes, which a batch at a time become what is trained on.

    A subclass has `prepare_batch`, which a plain loop can call as well, and says how rows of a split come once.

    Args:
        image_column: column of the pictures in a table; found by type and name if not given.
        value_range: the numbers that stand for black and white in images of more than 8 bits and in npy files of other
            numbers than bytes, such as [0, 4095] or [0, 1]; images of 16 bits that use all of them need none.
        batch_size: training rows per step and process, of each side or domain.
        eval_batch_size: the same in evaluation; as `batch_size` if not given.
        image_size: side, or height and width, of the network's pictures; as in the source if all are of one size.
        resize: "stretch" pictures to the size, or "crop" the centre after bringing the shorter side to size.
        val_fraction: share of the training rows held out where a source has no validation split.
        split_seed: of the splits made here; the same number, the same rows, on every machine.
        steps_per_epoch: training batches an epoch, if not one pass over the rows.
        num_workers: processes that read; 0 is fastest for sets that fit `cache_limit_gb`.
        cache_limit_gb: sets of at most so many 10⁹ bytes (rows × height × width × channels) are decoded once into
            a memory-mapped file; larger ones are decoded anew for every batch.
        cache_dir: folder for these files; `~/.cache/lhy_lightning/pictures` if not given.
        horizontal_flip: probability of mirroring left and right.
        vertical_flip: probability of mirroring top and bottom.
    """

    argument_ranges = ranges(
        val_fraction=Range(above=0, below=1), value_range=any_number("black and white of a file")
    )  # fmt: skip

    image_size: tuple[int, int]
    """(height, width), after `setup`."""

    _splits: dict[str, Any]

    def __init__(
        self,
        *,
        image_column: str | None = None,
        value_range: tuple[float, float] | None = None,
        batch_size: int = 64,
        eval_batch_size: int | None = None,
        image_size: int | tuple[int, int] | None = None,
        resize: Resize = "stretch",
        val_fraction: float = 0.1,
        split_seed: int = 0,
        steps_per_epoch: int | None = None,
        num_workers: int = 0,
        cache_limit_gb: float = 2.0,
        cache_dir: str | None = None,
        horizontal_flip: float = 0.0,
        vertical_flip: float = 0.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self._args.image_size = height_and_width(image_size)
        check_value_range(value_range)
        self._stages: set[str] = set()
        self._splits = {}

    @property
    def _args(self) -> Any:  # the arguments, completed by setup
        return self.hparams

    def prepare_batch(self, batch: dict[str, Tensor], *, training: bool) -> dict[str, Tensor]:
        """Bytes of a loader to pictures in [-1, 1], augmented in training. The Trainer calls it, a plain loop can.

        Args:
            batch: of one of this module's loaders, on any device.
            training: augment; otherwise cut out the centre (with `load_size`) and scale.

        Returns:
            The batch of the contract (`lhy_lightning.data.batches`).
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what becomes of a batch")

    def _make(self, name: str) -> None:
        """Makes the rows of test and prediction where they are asked for before `setup` was called for them."""
        if name not in self._splits:
            if name not in ("test", "predict"):
                raise RuntimeError(f"no {name} split yet: call setup first.")
            self.setup(name)

    def _evaluation_loader(self, name: str) -> DataLoader[dict[str, Tensor]]:
        """The rows of a split, each once over all ranks."""
        raise NotImplementedError(f"{type(self).__name__} does not say how its rows come")

    def _once(self, dataset: Dataset[dict[str, Tensor]]) -> DataLoader[dict[str, Tensor]]:
        """Every row of a dataset once over all ranks, in batches of evaluation."""
        size = self._args.eval_batch_size or self._args.batch_size
        return self.eval_loader(dataset, size, num_workers=self._args.num_workers)

    def val_dataloader(self) -> Any:
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return self._evaluation_loader("predict")

    def on_after_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        if self.trainer is None:
            return self.prepare_batch(batch, training=False)
        prepared = self.prepare_batch(batch, training=bool(self.trainer.training))
        # Lightning gave the batch its precision before there were pictures in it, only bytes.
        converted: dict[str, Tensor] = self.trainer.precision_plugin.convert_input(prepared)
        return converted


class LabelledArguments(PictureArguments, total=False):
    """Arguments of `LabelledImages`, for the `**arguments` of those built on it."""

    label_column: str | None
    channels: Literal[1, 3] | None


class LabelledImages(ImageDataModuleBase):
    """Base of those whose images may have labels, and all have the same number of channels.

    Args:
        label_column: column of the labels in a table; found by name if not given.
        channels: 1 (grey) or 3 (colour); as in the source if not given.
        arguments: as `ImageDataModuleBase`.
    """

    argument_ranges = ranges(channels=GREY_OR_COLOUR)

    channels: int
    """1 or 3, after `setup`."""

    def __init__(
        self, *, label_column: str | None = None, channels: Literal[1, 3] | None = None, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
