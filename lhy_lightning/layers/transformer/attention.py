"""Multi-head attention: self-attention, over all or over cached earlier tokens, and cross-attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lhy_lightning.layers.transformer.packing import Packing
from lhy_lightning.layers.transformer.positions import RotaryPositions
from lhy_lightning.layers.transformer.state import LayerCache


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, T, D) to (N, H, T, D/H), without a copy."""
    n, t, width = x.shape
    return x.view(n, t, heads, width // heads).transpose(1, 2)


def attend(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, causal: bool = False, dropout: float = 0.0
) -> Tensor:
    """Equation 1 of Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762) without ever forming the weights.

    Args:
        query: (N, H, T, D).
        key, value: (N, H, S, D).
        mask: bool, True where a query may look, or what is added to the scores; broadcasts to (N, H, T, S).
        causal: query t sees keys 0 to t alone; not together with a mask.
        dropout: share of the weights set to zero.

    Returns:
        (N, T, H*D), the heads side by side.
    """
    heads = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal)
    return heads.transpose(1, 2).flatten(2)  # (N, H, T, D) -> (N, T, H*D)


def attend_with_weights(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor, dropout: float = 0.0
) -> tuple[Tensor, Tensor]:
    """`attend` written out, for the layer whose weights are asked for.

    Args:
        query: (N, H, T, D).
        key, value: (N, H, S, D).
        mask: bool, True where a query may look, broadcasts to (N, H, T, S).
        dropout: share of the weights set to zero before they are used; those returned are whole.

    Returns:
        (N, T, H*D) and the weights (N, H, T, S), float32 or wider, which sum to one over S.
    """
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5  # (N, H, T, S)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
    heads = F.dropout(weights, dropout).to(value.dtype) @ value  # (N, H, T, D)
    return heads.transpose(1, 2).flatten(2), weights


class SelfAttention(nn.Module):
    """Queries, keys and values of one sentence from one matrix product.

    Args:
        width: features D of a token.
        heads: H, a divisor of the width.
        dropout: share of the attention weights set to zero in training.
        rotary: turns queries and keys; None where positions were added to the embeddings.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0, rotary: RotaryPositions | None = None) -> None:
        super().__init__()
        self.heads, self.dropout, self.rotary = heads, dropout, rotary
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """As fairseq's `MultiheadAttention`: the three matrices are drawn apart."""
        for block in self.query_key_value.weight.chunk(3):
            nn.init.xavier_uniform_(block, gain=0.5**0.5)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.query_key_value.bias)
        nn.init.zeros_(self.output.bias)

    def split(self, x: Tensor, packing: Packing, places: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Rows (M, D) to queries, keys and values, each (N, H, T, D/H), at positions `places`."""
        stacked = packing.unpack(self.query_key_value(x))  # (N, T, 3*D)
        query, key, value = (split_heads(part, self.heads) for part in stacked.chunk(3, -1))
        if self.rotary is not None:
            query, key = self.rotary(query, places), self.rotary(key, places)
        return query, key, value

    def forward(self, x: Tensor, packing: Packing, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """Rows (M, D) to rows (M, D); `mask` and `causal` as for `attend`."""
        query, key, value = self.split(x, packing, slice(0, packing.places))
        dropout = self.dropout if self.training else 0.0
        heads = attend(query, key, value, mask=mask, causal=causal, dropout=dropout)
        return torch.as_tensor(self.output(packing.pack(heads)))

    def step(
        self, x: Tensor, packing: Packing, cache: LayerCache, ancestors: Tensor | None, *, position: int, slots: int
    ) -> Tensor:
        """The newest token of each hypothesis, (B*K, D) to (B*K, D), after those in the cache, which it joins."""
        # (B, H, K, D/H): the K hypotheses are K queries of one sentence
        query, key, value = self.split(x, packing, slice(position, position + 1))
        key, value = cache.append(key, value, slots)
        return torch.as_tensor(self.output(packing.pack(attend(query, key, value, mask=ancestors))))


class CrossAttention(nn.Module):
    """Queries of the decoder over keys and values of the encoded source.

    Args:
        width: features D of a token.
        heads: H, a divisor of the width.
        dropout: share of the attention weights set to zero in training.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """As fairseq's `MultiheadAttention`: the three matrices are drawn apart."""
        for block in (self.query.weight, *self.key_value.weight.chunk(2)):
            nn.init.xavier_uniform_(block, gain=0.5**0.5)
        nn.init.xavier_uniform_(self.output.weight)
        for layer in (self.query, self.key_value, self.output):
            nn.init.zeros_(layer.bias)

    def remember(self, x: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
        """Rows (M, D) of the encoded source to keys and values, each (N, H, S, D/H)."""
        key, value = packing.unpack(self.key_value(x)).chunk(2, -1)  # (N, S, D)
        return split_heads(key, self.heads), split_heads(value, self.heads)

    def forward(
        self, x: Tensor, packing: Packing, source: tuple[Tensor, Tensor], mask: Tensor, *, weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Target rows (M, D) over what `remember` gave, to rows (M, D); weights (N, H, T, S) where asked for."""
        query = split_heads(packing.unpack(self.query(x)), self.heads)
        dropout = self.dropout if self.training else 0.0
        shown = None
        if weights:
            heads, shown = attend_with_weights(query, *source, mask=mask, dropout=dropout)
        else:
            heads = attend(query, *source, mask=mask, dropout=dropout)
        return self.output(packing.pack(heads)), shown
