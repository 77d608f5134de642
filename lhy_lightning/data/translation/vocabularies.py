"""Which tokenizers a translation run uses: those that its model brings, a given file, or newly trained ones."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lhy_lightning.data.cache_checks import read_text, write_text
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer

Kind = Literal["unigram", "bpe", "word", "character"]
SUBWORDS = ("unigram", "bpe")


@dataclass(frozen=True)
class Vocabularies:
    """How to make the tokenizers: as the arguments of `TranslationDataModule` of the same names."""

    tokenizer: Kind
    vocab_size: int
    target_vocab_size: int | None
    joint: bool
    tokenizer_file: str | None
    copying: bool

    def check(self) -> None:
        """Raises ValueError where two arguments contradict each other."""
        joint = self.joint or self.tokenizer_file is not None
        if joint and self.target_vocab_size not in (None, self.vocab_size):
            raise ValueError("target_vocab_size: a joint vocabulary has one size, vocab_size.")
        if self.copying and self.tokenizer in SUBWORDS and not joint:
            raise ValueError(
                f"copying with {self.tokenizer} subwords needs --data.joint true: known pieces are copied through the "
                "shared vocabulary. Words and characters (--data.tokenizer word) may have two."
            )

    def train(self, source: Sequence[str], target: Sequence[str], folder: Path) -> tuple[TextTokenizer, TextTokenizer]:
        """Those of the given file, or trained on these sentences; the same one twice where it is joint.

        Args:
            source, target: the training rows alone, which gives every rank the same tokenizers.
            folder: where trained ones are remembered.
        """
        if self.tokenizer_file is not None:
            file = TextTokenizer.from_file(self.tokenizer_file)
            return self.checked(file, file)
        if self.joint:
            both = self._train_one([*source, *target], self.vocab_size, folder)
            return both, both
        target_size = self.target_vocab_size or self.vocab_size
        return self._train_one(source, self.vocab_size, folder), self._train_one(target, target_size, folder)

    def checked(self, source: TextTokenizer, target: TextTokenizer) -> tuple[TextTokenizer, TextTokenizer]:
        if self.copying and source.kind in SUBWORDS and source is not target:
            raise ValueError(f"copying with {source.kind} subwords needs one vocabulary for both sides; these differ.")
        return source, target

    def _train_one(self, texts: Sequence[str], size: int, folder: Path) -> TextTokenizer:
        """Trained once and remembered in a file: half a million sentences take a minute."""
        from tokenizers import __version__

        what = json.dumps([__version__, self.tokenizer, size, list(texts)], ensure_ascii=False)
        path = folder / f"{hashlib.blake2b(what.encode(), digest_size=16).hexdigest()}.tokenizer"
        if (kept := read_text(path)) is not None:
            return TextTokenizer.from_json(kept)
        trained = TextTokenizer.train(texts, kind=self.tokenizer, vocab_size=size)
        write_text(path, trained.to_json())
        return trained


def tokenizers_of(hparams: Mapping[str, Any]) -> tuple[str, str] | None:
    """The JSON of both tokenizers that a model was trained with, from its hyperparameters; None for a new model.

    A model with one tokenizer for both sides has no `target_tokenizer`.
    """
    source, target = hparams.get("source_tokenizer"), hparams.get("target_tokenizer")
    return (str(source), str(target or source)) if source else None


def from_json(source: str, target: str) -> tuple[TextTokenizer, TextTokenizer]:
    """Both tokenizers, one object where they are the same."""
    first = TextTokenizer.from_json(source)
    return first, first if source == target else TextTokenizer.from_json(target)
