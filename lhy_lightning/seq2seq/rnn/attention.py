"""Attention of recurrent decoders: one class a paper, all asked the same way.

`keys` is computed once for each sentence; K queries at a time (the target's positions, or the beam's hypotheses) then
share the encoded source. Weights are float32 under mixed precision, zero at padding, and sum to one over the source's
tokens; those of `MonotonicAttention` sum to at most one.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GeneralAttention(nn.Module):
    """energy = (W q) . h, the "general" score of Luong et al. 2015 (https://arxiv.org/abs/1508.04025).

    With the embedded previous token as query it is the score of homework 5's `AttentionLayer`.

    Args:
        query: Q, features of a query.
        memory: C, features of the encoder's outputs.
    """

    def __init__(self, query: int, memory: int) -> None:
        super().__init__()
        self.query_layer = nn.Linear(query, memory, bias=False)

    def keys(self, states: Tensor) -> Tensor:
        """Encoder outputs (N, S, C) to what queries are compared with, (N, S, C)."""
        return states

    def first_weights(self, mask: Tensor, queries: int) -> Tensor:
        """Weights (N, K, S) float32 that stand for "nothing attended yet", for the mask (N, S) of the source."""
        return mask.new_zeros(mask.shape[0], queries, mask.shape[1], dtype=torch.float32)

    def energies(self, query: Tensor, keys: Tensor, previous: Tensor | None) -> Tensor:
        """Unnormalised scores (N, K, S)."""
        return torch.bmm(self.query_layer(query), keys.transpose(1, 2))

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor, previous: Tensor | None = None) -> Tensor:
        """Weights over the source.

        Args:
            query: (N, K, Q).
            keys: as given by `keys`.
            mask: (N, S) bool, True at tokens.
            previous: (N, K, S), the weights one step before; used by `LocationAttention` and `MonotonicAttention`.

        Returns:
            (N, K, S) float32.
        """
        return masked_softmax(self.energies(query, keys, previous), mask)


class AdditiveAttention(GeneralAttention):
    """energy = v . tanh(W q + U h + b) of Bahdanau et al. 2015 (https://arxiv.org/abs/1409.0473).

    Args:
        query: Q, features of a query.
        memory: C, features of the encoder's outputs.
        width: A, features of the hidden layer.
    """

    def __init__(self, query: int, memory: int, width: int) -> None:
        super().__init__(query, width)
        self.key_layer = nn.Linear(memory, width)
        self.score = nn.Linear(width, 1, bias=False)

    def keys(self, states: Tensor) -> Tensor:
        """U h + b, (N, S, A)."""
        projected: Tensor = self.key_layer(states)
        return projected

    def hidden(self, query: Tensor, keys: Tensor, previous: Tensor | None) -> Tensor:
        """What goes through tanh, (N, K, S, A)."""
        hidden: Tensor = self.query_layer(query)[:, :, None] + keys[:, None]
        return hidden

    def energies(self, query: Tensor, keys: Tensor, previous: Tensor | None) -> Tensor:
        scores: Tensor = self.score(self.hidden(query, keys, previous).tanh())
        return scores[..., 0]


class LocationAttention(AdditiveAttention):
    """energy = v . tanh(W q + U h + P f + b), f a convolution over the weights of the step before.

    Location-aware attention of Chorowski et al. 2015 (https://arxiv.org/abs/1506.07503): it knows where it was, so it
    can move on. The paper's filters reach over 201 frames of speech; here 11 tokens. Before the first step all weights
    are zero.
    """

    def __init__(self, query: int, memory: int, width: int, *, filters: int = 10, kernel: int = 11) -> None:
        super().__init__(query, memory, width)
        self.filters = nn.Conv1d(1, filters, kernel, padding=kernel // 2, bias=False)
        self.location_layer = nn.Linear(filters, width, bias=False)

    def hidden(self, query: Tensor, keys: Tensor, previous: Tensor | None) -> Tensor:
        assert previous is not None
        n, k, s = previous.shape
        features = self.filters(previous.reshape(n * k, 1, s).to(self.filters.weight.dtype))  # (N*K, F, S)
        location: Tensor = self.location_layer(features.transpose(1, 2)).view(n, k, s, -1)  # (N, K, S, A)
        return super().hidden(query, keys, previous) + location


class MonotonicAttention(AdditiveAttention):
    """Attention that never looks back: Raffel et al. 2017 (https://arxiv.org/abs/1704.00784).

    From where it last stopped, attention walks to the right and stops at token j with probability
    sigmoid(e_j), e_j = g (v / |v|) . tanh(W q + U h + b) + r. Training uses the expected place of stopping with noise
    on e, which drives the probabilities to 0 and 1; so that at test it may stop at the first token with e_j > 0
    ("hard"), or use the expectation again, without noise ("soft"). A walk may run off the end: weights sum to at most
    one, then the attended vector is smaller or zero. A walk that has run off stays off.

    Args:
        hard: stop for certain where not training.
        noise: standard deviation of the noise in training.
        offset: r at the start; below zero, or the expectation never gets far from the first token.
    """

    def __init__(
        self, query: int, memory: int, width: int, *, hard: bool = True, noise: float = 1.0, offset: float = -1.0
    ) -> None:
        super().__init__(query, memory, width)
        self.hard, self.noise = hard, noise
        self.gain = nn.Parameter(torch.tensor(width**-0.5))
        self.offset = nn.Parameter(torch.tensor(offset))

    def first_weights(self, mask: Tensor, queries: int) -> Tensor:
        """All weight on the first token: the walk starts there."""
        weights = super().first_weights(mask, queries)
        weights[..., 0] = 1
        return weights

    def energies(self, query: Tensor, keys: Tensor, previous: Tensor | None) -> Tensor:
        direction = F.normalize(self.score.weight[0], dim=0)
        return F.linear(self.hidden(query, keys, previous).tanh(), (self.gain * direction)[None])[..., 0] + self.offset

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor, previous: Tensor | None = None) -> Tensor:
        assert previous is not None
        energies = full_precision(self.energies(query, keys, previous))
        if self.training:
            energies = energies + self.noise * torch.randn_like(energies)
        walk = first_stop if self.hard and not self.training else expected_stop
        return walk(energies, previous, mask[:, None])


def expected_stop(energies: Tensor, previous: Tensor, mask: Tensor) -> Tensor:
    """Where a walk to the right stops on average, equation 11 of Raffel et al. 2017.

        a_j = p_j sum_{k <= j} a'_k prod_{k <= l < j} (1 - p_l),   p = sigmoid(energy)

    The paper divides cumulative products by each other, which underflow; here each product is one difference of
    logarithms: exact, for S x S numbers a query.

    Args:
        energies: (..., S).
        previous: (..., S) weights a' of the step before.
        mask: (..., S) bool, broadcastable, False at padding, where no walk stops.

    Returns:
        (..., S) weights, non-negative, with a sum of at most that of `previous`.
    """
    passing = F.logsigmoid(-energies).masked_fill(~mask, 0.0)
    passed = F.pad(passing[..., :-1].cumsum(-1), (1, 0))  # log prod_{l < j} (1 - p_l)
    between = passed[..., None, :] - passed[..., :, None]  # (..., k, j)
    backwards = torch.ones_like(between, dtype=torch.bool).tril(-1)
    reach = between.masked_fill(backwards, -math.inf).exp()
    arrived = (previous[..., :, None] * reach).sum(-2)  # not a product of matrices: it stays in float32
    return energies.sigmoid().masked_fill(~mask, 0.0) * arrived


def first_stop(energies: Tensor, previous: Tensor, mask: Tensor) -> Tensor:
    """The first token with energy above zero, not before the last place: `expected_stop` with probabilities 0 and 1.

    Args:
        energies: (..., S).
        previous: (..., S), one-hot, or zeros for a walk that has run off the end.
        mask: (..., S) bool, broadcastable, False at padding.

    Returns:
        (..., S) one-hot weights, or zeros.
    """
    here_or_later = (previous > 0.5).int().cumsum(-1) > 0
    stops = (energies > 0) & mask & here_or_later
    return (stops & (stops.int().cumsum(-1) == 1)).to(previous.dtype)


def masked_softmax(energies: Tensor, mask: Tensor) -> Tensor:
    """Softmax in float32 over the tokens of each sentence.

    Args:
        energies: (N, K, S).
        mask: (N, S) bool, False at padding.

    Returns:
        (N, K, S), zero at padding; uniform for a row of nothing but padding, rather than NaN.
    """
    energies = full_precision(energies)
    return energies.masked_fill(~mask[:, None], torch.finfo(energies.dtype).min).softmax(-1)


def full_precision(tensor: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
