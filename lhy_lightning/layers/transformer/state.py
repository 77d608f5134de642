"""What a Transformer keeps while it decodes token by token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class LayerCache:
    """Keys and values of the tokens before, of one layer's self-attention.

    All hypotheses of a sentence stay in one row, token by token: slot t * K + k is what hypothesis k wrote at step t.
    Which of them a hypothesis comes from is a mask (`TransformerState.ancestors`), so beam search moves no keys.

    Attributes:
        keys, values: (B, H, slots, D), zeros where nothing is written yet.
        used: slots written so far.
    """

    keys: Tensor
    values: Tensor
    used: int = 0

    def append(self, key: Tensor, value: Tensor, slots: int) -> tuple[Tensor, Tensor]:
        """Writes the newest (B, H, k, D) into the next `slots` >= k slots and returns all so far, (B, H, used, D)."""
        end = self.used + slots
        if end > self.keys.shape[2]:
            # Twice as many: memory follows the longest translation, not the longest that is allowed.
            self.keys = F.pad(self.keys, (0, 0, 0, end))
            self.values = F.pad(self.values, (0, 0, 0, end))
        self.keys[:, :, self.used : self.used + key.shape[2]] = key
        self.values[:, :, self.used : self.used + key.shape[2]] = value
        self.used = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def keep(self, sentences: Tensor) -> None:
        """Drops the other sentences."""
        self.keys = self.keys.index_select(0, sentences)
        self.values = self.values.index_select(0, sentences)


@dataclass
class TransformerState:
    """What decoding token by token keeps (`DecoderState`): B sentences, up to `beams` hypotheses of each.

    Attributes:
        sources: keys and values of the source, one pair a layer, (B, H, S, D): computed once, never reordered.
        mask: (B, 1, 1, S) bool, True at tokens of the source.
        caches: keys and values of the target so far, one a layer; never reordered either.
        beams: slots of the caches a token takes.
        states: (B, S, D) encoded source, for the attended context; None where attention was not asked for.
        ancestors: (B, 1, K, slots) float, 0 where a hypothesis comes from that slot and -inf elsewhere; None for one
            beam, where every slot is an ancestor.
        length: tokens fed so far.
    """

    sources: list[tuple[Tensor, Tensor]]
    mask: Tensor
    caches: list[LayerCache]
    beams: int
    max_length: int
    states: Tensor | None = None
    ancestors: Tensor | None = None
    length: int = 0

    def advance(self, hypotheses: int) -> None:
        """Makes room for one more token of so many hypotheses, each its own ancestor."""
        if self.length == self.max_length:
            raise ValueError(f"decoding was started for {self.max_length} tokens")
        if hypotheses > self.beams:
            raise ValueError(f"decoding was started for {self.beams} hypotheses a sentence, not {hypotheses}")
        self.length += 1
        if self.beams == 1:
            return
        key = self.sources[0][0]
        own = key.new_full((hypotheses, self.beams), float("-inf")).fill_diagonal_(0)
        own = own.expand(len(key), 1, hypotheses, self.beams)
        if self.ancestors is not None and self.ancestors.shape[2] != hypotheses:
            raise ValueError(f"{hypotheses} tokens for {self.ancestors.shape[2]} hypotheses: reorder comes first")
        self.ancestors = own if self.ancestors is None else torch.cat([self.ancestors, own], 3)

    def reorder(self, parents: Tensor) -> None:
        """Hypothesis k of sentence b goes on from its hypothesis `parents[b, k]`, (B, K') int64, K' <= beams."""
        if self.ancestors is not None:
            rows = parents[:, None, :, None].expand(-1, -1, -1, self.ancestors.shape[3])
            self.ancestors = self.ancestors.gather(2, rows)

    def keep(self, sentences: Tensor) -> None:
        """Drops the sentences whose rows are not among `sentences`, (B',) int64."""
        self.sources = [
            (key.index_select(0, sentences), value.index_select(0, sentences)) for key, value in self.sources
        ]
        self.mask = self.mask.index_select(0, sentences)
        for cache in self.caches:
            cache.keep(sentences)
        if self.states is not None:
            self.states = self.states.index_select(0, sentences)
        if self.ancestors is not None:
            self.ancestors = self.ancestors.index_select(0, sentences)
