"""What the data modules share whose texts an encoder such as BERT reads: its tokenizer, and how batches are filled."""

from typing import ClassVar

import numpy as np

from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.texts.base import AllTextArguments, CourseTextDataModule
from lhy_lightning.data.tokenizers.encoder_choice import TokenizerChoice
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer

UNKNOWN = 0.02
"""The share of unknown pieces from which on a vocabulary does not fit its texts."""


def unknown_share(ids: np.ndarray, tokenizer: EncoderTokenizer) -> float:
    """The share of pieces that the vocabulary does not have."""
    return float((ids == tokenizer.unk_id).mean()) if len(ids) else 0.0


class EncoderTextArguments(AllTextArguments, total=False):
    """Arguments of `EncoderTextDataModule` but for `source` and `lowercase`."""

    batch_size: int
    eval_batch_size: int


class AllEncoderTextArguments(EncoderTextArguments, total=False):
    """Arguments of `EncoderTextDataModule`, but for `source`, for the `**arguments` of those built on it."""

    lowercase: bool


class EncoderTextDataModule(CourseTextDataModule):
    """Base of the data modules of text that an encoder reads.

    Args:
        source: see `CourseTextDataModule`.
        lowercase: whether a new tokenizer (WordPiece) reads everything in small letters.
        batch_size: rows of a training batch and process.
        eval_batch_size: the same in evaluation.
        arguments: as `CourseTextDataModule`.

    Attributes:
        tokenizer: after `setup`; the model's own where it has been trained before.
    """

    order_settings: tuple[str, ...] = (*CourseTextDataModule.order_settings, "batch_size")
    kept_settings: tuple[str, ...] = (*CourseTextDataModule.kept_settings, "lowercase")

    keep_words: ClassVar[bool] = False
    """Whether a new tokenizer cuts Chinese words as all others: for texts whose words stand apart."""

    tokenizer: EncoderTokenizer

    def __init__(
        self,
        source: str,
        *,
        lowercase: bool = True,
        batch_size: int = 32,
        eval_batch_size: int = 64,
        **arguments: Unpack[AllTextArguments],
    ) -> None:
        super().__init__(source, **arguments)
        given = self._args
        self._choice = TokenizerChoice(given.tokenizer_file, given.vocab_size, lowercase, self.keep_words)

    def training_texts(self) -> list[str]:
        """What a new tokenizer is trained on."""
        raise NotImplementedError(f"{type(self).__name__} does not say what a tokenizer is trained on")

    def check_unknown(self, name: str, share: float) -> None:
        """Warns of a vocabulary that does not fit the texts, with what to set.

        One that is trained here can be larger, another has to be another one.

        Args:
            name: of the split.
            share: of its pieces that are unknown.
        """
        choice = self._choice
        encoder = getattr(getattr(self.trainer, "lightning_module", None), "hparams", {}).get("encoder")
        trained_here = choice.tokenizer_file is None and encoder is None
        if share <= UNKNOWN or (trained_here and name != "train"):  # held-out texts have new characters at any size
            return
        if not trained_here:
            self._warn_once(
                f"{share:.1%} of the pieces of the {name} texts are unknown to the tokenizer of "
                f"{choice.tokenizer_file or encoder}: is it of their language? Set --model.encoder or "
                "--data.tokenizer_file to one that is."
            )
            return
        characters = len(set().union(*self.training_texts()))
        size = (characters * (1 + choice.keep_words) + choice.vocab_size + 999) // 1000 * 1000
        self._warn_once(
            f"{share:.1%} of the pieces of the training texts are unknown to a vocabulary of {choice.vocab_size:,} "
            f"(the texts have {characters:,} different characters): set --data.vocab_size {size}."
        )
