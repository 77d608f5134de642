"""Tokens that a translation may not go on with: unwanted ids, an early end, words said twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lhy_lightning.decoding.interface import Memory

NEVER = float("-inf")


@dataclass(frozen=True)
class Constraints:
    """What search must not write.

    Attributes:
        suppress: ids never written (padding, BOS, the unknown word, tags).
        min_length: tokens there are before EOS at the least (fairseq's `min_len`).
        no_repeat_ngram: n: no n tokens stand twice in a translation (Paulus et al. 2017,
            https://arxiv.org/abs/1705.04304, section 2.5); 0 to allow it.
        eos_id: end of sentence.
    """

    suppress: Sequence[int] = ()
    min_length: int = 0
    no_repeat_ngram: int = 0
    eos_id: int = 2

    def apply_(self, log_probabilities: Tensor, prefixes: Tensor | None, written: int) -> None:
        """Sets the log-probabilities (B, K, V) of what must not follow to -inf, in place.

        Args:
            log_probabilities: (B, K, V).
            prefixes: (B, K, T) int64, what is written so far; only looked at where n-grams are blocked.
            written: T.
        """
        if self.suppress:
            log_probabilities[..., list(self.suppress)] = NEVER
        if written < self.min_length:
            log_probabilities[..., self.eos_id] = NEVER
        if prefixes is not None:
            block_repeated_ngrams_(log_probabilities, prefixes, self.no_repeat_ngram)


def block_repeated_ngrams_(log_probabilities: Tensor, prefixes: Tensor, n: int) -> None:
    """Sets to -inf, in place, every token that would end an n-gram which its prefix already has.

    Args:
        log_probabilities: (B, K, V).
        prefixes: (B, K, T) int64 without BOS.
        n: 0 blocks nothing, 1 every token written before.
    """
    length = prefixes.shape[2]
    if n < 1 or length < n:
        return
    windows = prefixes.unfold(2, n, 1)  # (B, K, T - n + 1, n)
    newest = prefixes[:, :, None, length - n + 1 :]  # (B, K, 1, n - 1)
    repeated = (windows[..., :-1] == newest).all(-1)
    penalties = torch.zeros_like(repeated, dtype=log_probabilities.dtype).masked_fill_(repeated, NEVER)
    # added, as one token may end a repeated n-gram and others: writing would let the last one win
    log_probabilities.scatter_add_(2, windows[..., -1], penalties)


def first_memory(memory: Memory | Sequence[Memory]) -> Memory:
    """The memory, or the first of an ensemble's: all are of one source."""
    return memory if isinstance(memory, Memory) else memory[0]


def length_limits(max_length: Tensor | int, sentences: int, device: torch.device) -> Tensor:
    """One limit for each sentence, (B,) int64.

    Raises:
        ValueError: not one for each sentence, or below one token.
    """
    limits = torch.as_tensor(max_length, dtype=torch.int64, device=device)
    if limits.dim() == 0:
        limits = limits.expand(sentences)
    if limits.shape != (sentences,):
        raise ValueError(f"max_length is a number or ({sentences},), not {tuple(limits.shape)}")
    if sentences and int(limits.min()) < 1:
        raise ValueError(f"max_length counts EOS and is at least 1, not {int(limits.min())}")
    return limits
