"""Translations that search has found, and the trail of back-pointers they are read from when it is over."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

# Sentences that are done leave the batch when they are this share of it: leaving costs a copy of the others' memory.
DROP_SHARE = 0.125


@dataclass
class Hypothesis:
    """A translation.

    Attributes:
        ids: tokens without BOS and EOS; those from V on are unknown words copied from the source.
        score: log-probability / length^alpha, plus coverage: what translations of a sentence are ranked by.
        log_probability: of all tokens, EOS among them.
        attention: (T, S) float32, a row for each token and for EOS, a column for each source token without padding;
            None unless asked for.
        finished: it ended with EOS, not at `max_length`.
    """

    ids: list[int]
    score: float
    log_probability: float
    attention: Tensor | None = None
    finished: bool = True


@dataclass
class Finished:
    """The best finished hypotheses of each sentence so far, best first; a score of -inf where there are fewer.

    Attributes:
        scores, log_probabilities: (B, n) float32.
        lengths: (B, n) int64, with EOS.
        parents: (B, n) int64, which hypothesis of the step before was continued.
        tokens: (B, n) int64, the last one.
    """

    scores: Tensor
    log_probabilities: Tensor
    lengths: Tensor
    parents: Tensor
    tokens: Tensor

    @classmethod
    def none(cls, sentences: int, n_best: int, device: torch.device) -> Finished:
        """Room for `n_best` of each sentence."""
        worst = torch.full((sentences, n_best), float("-inf"), device=device)
        zeros = torch.zeros(sentences, n_best, dtype=torch.int64, device=device)
        return cls(worst, worst.clone(), zeros, zeros.clone(), zeros.clone())

    def merge(self, scores: Tensor, log_probabilities: Tensor, length: int, parents: Tensor, tokens: Tensor) -> None:
        """Takes in candidates (B, c) that end at `length`; among equal scores the earlier one stays ahead."""
        count = self.scores.shape[1]
        ordered, order = torch.cat([self.scores, scores], 1).sort(dim=1, descending=True, stable=True)
        order = order[:, :count]
        self.scores = ordered[:, :count]
        self.log_probabilities = torch.cat([self.log_probabilities, log_probabilities], 1).gather(1, order)
        self.lengths = torch.cat([self.lengths, torch.full_like(parents, length)], 1).gather(1, order)
        self.parents = torch.cat([self.parents, parents], 1).gather(1, order)
        self.tokens = torch.cat([self.tokens, tokens], 1).gather(1, order)

    def keep(self, sentences: Tensor) -> Finished:
        """Those of the rows `sentences` (B',) int64."""
        return Finished(*(getattr(self, field.name).index_select(0, sentences) for field in fields(self)))

    def rows(self) -> list[list[tuple[float, float, int, int, int]]]:
        """Score, log-probability, length, parent and token of every hypothesis there is, sentence by sentence."""
        columns = [value.tolist() for value in vars(self).values()]
        return [
            [end for end in zip(*sentence, strict=True) if end[0] > float("-inf")]
            for sentence in zip(*columns, strict=True)
        ]

    def put(self, rows: Tensor, other: Finished) -> None:
        """Writes the sentences of `other` into the rows (B',) int64."""
        for name, value in vars(self).items():
            value[rows] = getattr(other, name)


class Trail:
    """Back-pointers: for every step the last tokens of the hypotheses in the beam and which ones they continued.

    Search moves no prefixes: translations are read from their ends to their beginnings when it is over.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[Tensor, Tensor, Tensor, Tensor | None]] = []

    def append(self, rows: Tensor, tokens: Tensor, parents: Tensor, attention: Tensor | None) -> None:
        """Adds a step.

        Args:
            rows: (B',) int64, the sentences that are still in the batch.
            tokens, parents: (B', K) int64.
            attention: (B', K', S) of the hypotheses that `parents` point at, or None.
        """
        self.steps.append((rows, tokens, parents, attention))

    def read(self, finished: Finished, source_mask: Tensor, eos_id: int) -> list[list[Hypothesis]]:
        """The translations of every sentence, best first; `nothing` where there is none.

        Args:
            finished: of all B sentences.
            source_mask: (B, S) bool, False at padding.
            eos_id: left out of the ids.
        """
        rows = _lists([step[0] for step in self.steps])
        tokens = _lists([step[1] for step in self.steps])
        parents = _lists([step[2] for step in self.steps])
        places = [{row: place for place, row in enumerate(each)} for each in rows]
        found: list[list[Hypothesis]] = []
        for sentence, ends in enumerate(finished.rows()):
            found.append([])
            for score, log_probability, length, slot, last in ends:
                ids, shown = [last], []
                for step in reversed(range(length)):
                    place, attention = places[step][sentence], self.steps[step][3]
                    if step < length - 1:
                        ids.append(tokens[step][place][slot])
                        slot = parents[step][place][slot]
                    if attention is not None:
                        shown.append(attention[place, slot])
                weights = torch.stack(shown[::-1])[:, source_mask[sentence]] if shown else None
                ids, ended = ids[:0:-1] if last == eos_id else ids[::-1], last == eos_id
                found[-1].append(Hypothesis(ids, score, log_probability, weights, ended))
            if not ends:
                found[-1].append(nothing())
        return found


def nothing() -> Hypothesis:
    """What a sentence gets whose continuations are all forbidden or, after a diverged training, not numbers."""
    return Hypothesis([], float("-inf"), float("-inf"), None, False)


def _lists(tensors: list[Tensor]) -> list[Any]:
    """Tensors as nested lists, with one copy from the device for all of them."""
    flat = torch.cat([tensor.flatten() for tensor in tensors]).cpu()
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape).tolist() for part, tensor in zip(parts, tensors, strict=True)]
