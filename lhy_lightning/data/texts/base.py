"""What the data modules of text share: where rows come from, and splits opened when a stage needs them."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, TypeVar

from torch.utils.data import DataLoader

from lhy_lightning.core.arguments.signatures import settings_of
from lhy_lightning.data.base import CourseDataModule, rank_zero_print
from lhy_lightning.data.sequences.ragged import text_cache_folder
from lhy_lightning.data.texts.row_splits import TextReading

SplitName = Literal["train", "val", "test", "predict"]
SPLITS: dict[str, tuple[SplitName, ...]] = {
    "fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("predict",),
}  # fmt: skip
"""The splits that each stage needs."""

Settings = TypeVar("Settings")


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Refuses shares to hold out that are no shares.

    Raises:
        ValueError: one is negative, or nothing would be left.
    """
    if val_fraction < 0 or test_fraction < 0 or val_fraction + test_fraction >= 1:
        raise ValueError(
            f"val_fraction={val_fraction} and test_fraction={test_fraction} must not be negative and must leave "
            "something to train on."
        )


class TextArguments(TypedDict, total=False):
    """Arguments of `CourseTextDataModule` whose defaults are the same for every material."""

    val_source: str | None
    test_source: str | None
    predict_source: str | None
    test_fraction: float
    split_seed: int
    tokenizer_file: str | None
    pad_to_multiple: int
    num_workers: int
    cache_dir: str | None


class AllTextArguments(TextArguments, total=False):
    """Arguments of `CourseTextDataModule`, but for `source`, for the `**arguments` of bases built on it."""

    val_fraction: float
    vocab_size: int
    max_length: int
    max_tokens: int | None
    bucket_batches: int


class CourseTextDataModule(CourseDataModule):
    """Base of text data modules; a subclass tokenises in `setup` and reads a split in `evaluation_loader`.

    Args:
        source: where rows come from; a subclass says in which forms.
        val_source: validation rows from elsewhere.
        test_source: test rows from elsewhere.
        predict_source: a file of rows to predict; the test split if not given.
        val_fraction: share of the training rows held out where the source has no validation split.
        test_fraction: the same for a test split; 0 holds none out.
        split_seed: of the splits made here; the same number, the same rows, on every machine.
        tokenizer_file: hub id or folder of a trained tokenizer; the model's own if not given, and a new one where it
            has none.
        vocab_size: pieces of a new one.
        max_length: tokens of a row.
        max_tokens: fill batches by padded tokens, rows × length, and not by rows.
        bucket_batches: how many batches' rows are sorted by length together; 0 for plain shuffling.
        pad_to_multiple: rows are padded to a multiple of it.
        num_workers: processes that make batches; 0 is fastest, as a batch takes less than a millisecond.
        cache_dir: folder for tokenised text; `~/.cache/lhy_lightning/text` if not given.
    """

    split_settings: tuple[str, ...] = (
        "source", "val_source", "test_source", "val_fraction", "test_fraction", "split_seed",
    )  # fmt: skip
    order_settings: tuple[str, ...] = ("max_tokens", "max_length", "bucket_batches", "pad_to_multiple")
    kept_settings: tuple[str, ...] = ("tokenizer_file", "vocab_size")

    def __init__(
        self,
        source: str,
        *,
        val_source: str | None = None,
        test_source: str | None = None,
        predict_source: str | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.0,
        split_seed: int = 0,
        tokenizer_file: str | None = None,
        vocab_size: int = 8000,
        max_length: int = 128,
        max_tokens: int | None = None,
        bucket_batches: int = 50,
        pad_to_multiple: int = 8,
        num_workers: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)  # with the arguments of the subclasses
        check_fractions(val_fraction, test_fraction)
        self._reading = self.settings_of(TextReading)
        self._folder = text_cache_folder(cache_dir)
        self._summary: list[str] = []

    def settings_of(self, kind: type[Settings]) -> Settings:
        """The arguments that a dataclass has fields of."""
        return settings_of(kind, self._args)

    @property
    def _args(self) -> Any:
        """The arguments, each by its name."""
        return self.hparams

    @property
    def predict_source(self) -> str | None:
        """The file whose rows are predicted; None where the test split's are."""
        return self._reading.predict_source

    def prepare_data(self) -> None:
        """Tokenises on one process a machine; the others open the file."""
        self.setup(self._stage())

    def say(self, of: str) -> None:
        """Prints what was found since the last time, on the first rank.

        Args:
            of: what it was found in.
        """
        if self._summary:
            rank_zero_print(f"{of}: " + " ".join(self._summary))
            self._summary.clear()

    def evaluation_loader(self, name: SplitName) -> DataLoader[Mapping[str, object]]:
        """Every row of a split once over all ranks."""
        raise NotImplementedError(f"{type(self).__name__} does not say how a split is read")

    def val_dataloader(self) -> DataLoader[Mapping[str, object]]:
        return self.evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[Mapping[str, object]]:
        return self.evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[Mapping[str, object]]:
        return self.evaluation_loader("predict")
