"""Tokens without the padding between them: all that works on single tokens need not see it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where the M rows of a matrix of tokens stand among N sentences of T places.

    Linear layers, norms and dropout take the matrix (M, D); only attention needs sentences (N, T, D). On a CPU a matrix
    product costs what its rows cost, and M leaves out padding. Elsewhere M = N * T: counting the tokens would make the
    host wait for the device.

    Attributes:
        sentences, places: N and T.
        rows: (M,) int64 ascending, places n * T + t that have a row; None if all have.
    """

    sentences: int
    places: int
    rows: Tensor | None = None

    @classmethod
    def of(cls, real: Tensor) -> Packing:
        """For a mask (N, T) bool, True at tokens that matter."""
        if real.device.type != "cpu" or torch.compiler.is_compiling() or bool(real.all()):
            return cls(real.shape[0], real.shape[1])
        return cls(real.shape[0], real.shape[1], real.flatten().nonzero()[:, 0])

    def pack(self, x: Tensor) -> Tensor:
        """Sentences (N, T, D) to rows (M, D)."""
        x = x.flatten(0, 1)
        return x if self.rows is None else x.index_select(0, self.rows)

    def unpack(self, x: Tensor) -> Tensor:
        """Rows (M, D) to sentences (N, T, D), zero at padding."""
        if self.rows is not None:
            places = x.new_zeros(self.sentences * self.places, x.shape[1])
            x = places.index_add_(0, self.rows, x)  # four times as fast as index_copy, with the same gradient
        return x.view(self.sentences, self.places, x.shape[1])
