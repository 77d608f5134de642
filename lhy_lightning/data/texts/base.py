"""What the data modules of text share: splits opened when a stage needs them, and said what is in them."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from torch.utils.data import DataLoader

from lhy_lightning.data.base import CourseDataModule, rank_zero_print
from lhy_lightning.data.tokenizers.encoder_choice import TokenizerChoice
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer

SplitName = Literal["train", "val", "test", "predict"]
SPLITS: dict[str, tuple[SplitName, ...]] = {
    "fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("predict",),
}  # fmt: skip
"""The splits that each stage needs."""


UNKNOWN = 0.02
"""The share of unknown pieces from which on a vocabulary does not fit its texts."""


def unknown_share(ids: np.ndarray, tokenizer: EncoderTokenizer) -> float:
    """The share of pieces that the vocabulary does not have."""
    return float((ids == tokenizer.unk_id).mean()) if len(ids) else 0.0


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

    def check_unknown(
        self, name: str, share: float, choice: TokenizerChoice, training_texts: Callable[[], Sequence[str]]
    ) -> None:
        """Warns of a vocabulary that does not fit the texts, with what to set.

        Args:
            name: of the split.
            share: of its pieces that are unknown.
            choice: of the tokenizer; one that is trained here can be larger, another has to be another one.
            training_texts: what it is trained on.
        """
        encoder = getattr(getattr(self.trainer, "lightning_module", None), "hparams", {}).get("encoder")
        trained_here = choice.tokenizer_file is None and encoder is None
        if share <= UNKNOWN or (trained_here and name != "train"):  # held-out texts have new characters at any size
            return
        if not trained_here:
            self._report(
                f"{share:.1%} of the pieces of the {name} texts are unknown to the tokenizer of "
                f"{choice.tokenizer_file or encoder}: is it of their language? Set --model.encoder or "
                "--data.tokenizer_file to one that is."
            )
            return
        characters = len(set().union(*training_texts()))
        size = (characters * (1 + choice.keep_words) + choice.vocab_size + 999) // 1000 * 1000
        self._report(
            f"{share:.1%} of the pieces of the training texts are unknown to a vocabulary of {choice.vocab_size:,} "
            f"(the texts have {characters:,} different characters): set --data.vocab_size {size}."
        )

    def say(self, of: str) -> None:
        """Prints what was found since the last time, on the first rank.

        Args:
            of: what it was found in.
        """
        if self._said:
            rank_zero_print(f"{of}: " + " ".join(self._said))
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
