"""A tiny recurrent decoder over random weights, and search written out plainly: what the real one is held against."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lhy_lightning.decoding.interface import Memory

BOS, EOS = 1, 2


@dataclass
class ToyState:
    hidden: Tensor
    states: Tensor
    mask: Tensor
    attention: bool

    def reorder(self, parents: Tensor) -> None:
        self.hidden = self.hidden.gather(1, parents[..., None].expand(-1, -1, self.hidden.shape[2]))

    def keep(self, sentences: Tensor) -> None:
        self.hidden, self.states, self.mask = (x[sentences] for x in (self.hidden, self.states, self.mask))


class ToyDecoder:
    """A `StepDecoder` whose state depends on the whole prefix; it counts the rows it is fed."""

    def __init__(self, vocabulary: int, *, sharpness: float = 2.0, eos: float = 0.0, seed: int = 0) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.vocabulary, width = vocabulary, 8
        self.source = torch.randn(50, width, generator=draw)
        self.embedding = torch.randn(vocabulary, width, generator=draw)
        self.recurrence = torch.randn(width, width, generator=draw)
        self.output = torch.randn(vocabulary, width, generator=draw) * sharpness
        self.bias = torch.zeros(vocabulary).index_fill(0, torch.tensor(EOS), eos)
        self.fed: list[tuple[int, int]] = []
        self.ids: list[Tensor] = []

    def encode(self, source_ids: Tensor) -> Memory:
        return Memory(self.source[source_ids], source_ids != 0, source_ids)

    def start(self, memory: Memory, *, beams: int, max_length: int, attention: bool = False) -> ToyState:
        real = memory.mask[..., None]
        hidden = (memory.states * real).sum(1) / real.sum(1)
        return ToyState(hidden[:, None].repeat(1, beams, 1), memory.states, memory.mask, attention)

    def step(self, ids: Tensor, state: ToyState) -> tuple[Tensor, Tensor | None]:
        self.fed.append(tuple(ids.shape))
        self.ids.append(ids)
        assert ids.shape == state.hidden.shape[:2]
        embedded = self.embedding[ids.where(ids < self.vocabulary, 0)]
        # sums in the order of a loop: matrix products round differently for other numbers of rows
        state.hidden = ((state.hidden[..., None, :] * self.recurrence).sum(-1) + embedded).tanh()
        logits = (state.hidden[..., None, :] * self.output).sum(-1) + self.bias
        weights = None
        if state.attention:
            products = (state.hidden[:, :, None] * state.states[:, None]).sum(-1)
            weights = products.masked_fill(~state.mask[:, None], -math.inf).softmax(-1)
        return logits.log_softmax(-1), weights


def sources(lengths: list[int], seed: int = 0, width: int = 0) -> Tensor:
    """Random source ids of these lengths, padded."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 50, (len(lengths), max(*lengths, width)), generator=draw)
    return ids * (torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None])


@dataclass
class Plain:
    """A hypothesis of `plain_beam_search`; ids with EOS."""

    ids: list[int]
    log_probability: float
    attention: list[Tensor]
    score: float = -math.inf


def distribution(decoder: ToyDecoder, source_ids: Tensor, prefix: list[int]) -> tuple[Tensor, Tensor]:
    """Log-probabilities (V,) of the token after a prefix, and attention (S,), computed from the beginning."""
    source_ids = source_ids[source_ids != 0]
    state = decoder.start(decoder.encode(source_ids[None]), beams=1, max_length=99, attention=True)
    for token in [BOS, *prefix]:
        log_probabilities, weights = decoder.step(torch.tensor([[token]]), state)
    return log_probabilities[0, 0], weights[0, 0]


def forbidden(
    prefix: list[int], token: int, *, min_length: int, no_repeat_ngram: int, suppress: tuple[int, ...]
) -> bool:
    """Whether a token must not follow a prefix."""
    n, longer = no_repeat_ngram, [*prefix, token]
    ngrams = [tuple(longer[i : i + n]) for i in range(len(longer) - n + 1)] if n else []
    return (
        token in suppress
        or (token == EOS and len(prefix) < min_length)
        or (ngrams[-1:] != [] and ngrams[-1] in ngrams[:-1])
    )


def plain_score(plain: Plain, alpha: float, beta: float) -> float:
    """Equation in the docstring of `beam_search`."""
    covered = torch.stack(plain.attention).sum(0).clamp(max=1).log().sum().item() if beta else 0.0
    return plain.log_probability / len(plain.ids) ** alpha + beta * covered


def plain_beam_search(
    distribution: Callable[[list[int]], tuple[Tensor, Tensor]], max_length: int, *, beam: int = 5, n_best: int = 1,
    alpha: float = 1.0, beta: float = 0.0, min_length: int = 0, no_repeat_ngram: int = 0,
    suppress: tuple[int, ...] = (),
) -> list[Plain]:  # fmt: skip
    """Beam search of one sentence in loops, without early stop; `distribution` is of the token after a prefix."""
    live, done = [Plain([], 0.0, [])], []
    for length in range(1, max_length + 1):
        candidates = []
        for hypothesis in live:
            log_probabilities, weights = distribution(hypothesis.ids)
            for token, value in enumerate(log_probabilities.tolist()):
                if not forbidden(
                    hypothesis.ids, token, min_length=min_length, no_repeat_ngram=no_repeat_ngram, suppress=suppress
                ):
                    attention = [*hypothesis.attention, weights]
                    candidates.append(Plain([*hypothesis.ids, token], hypothesis.log_probability + value, attention))
        candidates = sorted(candidates, key=lambda c: -c.log_probability)[: 2 * beam]
        for candidate in candidates[:beam]:
            if candidate.ids[-1] == EOS or length == max_length:
                candidate.score = plain_score(candidate, alpha, beta)
                done.append(candidate)
        live = [candidate for candidate in candidates if candidate.ids[-1] != EOS][:beam]
    return sorted(done, key=lambda c: -c.score)[:n_best]
