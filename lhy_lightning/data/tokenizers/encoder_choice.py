"""Which tokenizer a run with an encoder uses: its checkpoint's, a given one, the encoder's own, or a new one."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lhy_lightning.data.cache_checks import read_text, write_text
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer


@dataclass(frozen=True)
class TokenizerChoice:
    """How to come by a tokenizer: as the arguments of the data modules of the same names.

    Attributes:
        tokenizer_file: hub id or folder of one; None for the encoder's own, or a new one where there is no encoder.
        vocab_size: pieces of a new one.
        lowercase: whether a new one reads everything in small letters.
        keep_words: whether a new one cuts Chinese words as all others: for texts whose words stand apart.
    """

    tokenizer_file: str | None
    vocab_size: int
    lowercase: bool
    keep_words: bool = False

    def choose(self, module: Any, texts: Callable[[], Sequence[str]], folder: Path) -> EncoderTokenizer:
        """The tokenizer of a run.

        A checkpoint's comes before everything else: ids mean nothing without the tokenizer that they were made with.

        Args:
            module: the Lightning module, of whose hyperparameters `tokenizer` (JSON) and `encoder` (hub id or folder)
                are looked at; None where there is none.
            texts: gives the training texts, where a new one has to be trained; the same on every rank.
            folder: where trained ones are remembered.
        """
        known = getattr(module, "hparams", {})
        if known.get("tokenizer") is not None:
            return EncoderTokenizer.from_json(known["tokenizer"])
        source = self.tokenizer_file or known.get("encoder")
        return EncoderTokenizer.from_pretrained(source) if source else self._train(texts(), folder)

    def _train(self, texts: Sequence[str], folder: Path) -> EncoderTokenizer:
        from tokenizers import __version__

        kind = "wordpiece of words" if self.keep_words else "wordpiece"
        what = json.dumps([__version__, kind, self.vocab_size, self.lowercase, list(texts)], ensure_ascii=False)
        path = folder / f"{hashlib.blake2b(what.encode(), digest_size=16).hexdigest()}.tokenizer"
        if (kept := read_text(path)) is not None:
            return EncoderTokenizer.from_json(kept)
        trained = EncoderTokenizer.train(
            texts, vocabulary_size=self.vocab_size, lowercase=self.lowercase, keep_words=self.keep_words
        )
        write_text(path, trained.to_json())
        return trained
