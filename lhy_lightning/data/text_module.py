"""What the data modules of text share: splits opened when a stage needs them, and said what is in them."""

from typing import Literal

from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader

from lhy_lightning.data.module import CourseDataModule

SplitName = Literal["train", "val", "test", "predict"]
SPLITS: dict[str, tuple[SplitName, ...]] = {
    "fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("predict",),
}  # fmt: skip
"""The splits that each stage needs."""


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


class CourseTextDataModule(CourseDataModule):
    """Base of the data modules of text; a subclass tokenises in `setup` and says how a split is read in `rows_once`."""

    def __init__(self) -> None:
        super().__init__()
        self._said: list[str] = []

    def prepare_data(self) -> None:
        """Tokenises on one process a machine; the others open the file."""
        self.setup(self._stage())

    def say(self, of: str) -> None:
        """Prints what was found since the last time, on the first rank.

        Args:
            of: what it was found in.
        """
        if self._said:
            _print(f"{of}: " + " ".join(self._said))
            self._said.clear()

    def rows_once(self, name: SplitName) -> DataLoader:
        """Every row of a split once over all ranks."""
        raise NotImplementedError(f"{type(self).__name__} does not say how a split is read")

    def val_dataloader(self) -> DataLoader:
        return self.rows_once("val")

    def test_dataloader(self) -> DataLoader:
        return self.rows_once("test")

    def predict_dataloader(self) -> DataLoader:
        return self.rows_once("predict")


@rank_zero_only
def _print(message: str) -> None:
    print(message)
