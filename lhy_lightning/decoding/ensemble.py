"""Several decoders of one target vocabulary as one, for every kind of search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lhy_lightning.decoding.interface import DecoderState, Memory, StepDecoder


class Ensemble:
    """The mean of the probabilities of several decoders (`StepDecoder`).

        log P(w) = log (1/n sum_i P_i(w))

    token by token, which is fairseq's way (`EnsembleModel`); the mean of log-probabilities, renormalised or not, is
    another. Where some members copy and others do not, these give copied unknown words a probability of 0. Attention
    is the mean over the members that give it.

    Args:
        members: decoders with the same target vocabulary.

    Raises:
        ValueError: no member.
    """

    def __init__(self, members: Sequence[StepDecoder]) -> None:
        if not members:
            raise ValueError("an ensemble needs at least one decoder.")
        self.members = list(members)

    def start(
        self, memory: Memory | Sequence[Memory], *, beams: int, max_length: int, attention: bool = False
    ) -> EnsembleState:
        """As `StepDecoder.start`, with a list of memories, one for each member: each has its own encoder.

        Raises:
            ValueError: not as many memories as members.
        """
        memories = [memory] if isinstance(memory, Memory) else list(memory)
        if len(memories) != len(self.members):
            raise ValueError(f"{len(self.members)} members need as many memories, not {len(memories)}")
        return EnsembleState(
            [
                member.start(each, beams=beams, max_length=max_length, attention=attention)
                for member, each in zip(self.members, memories, strict=True)
            ]
        )

    def step(self, ids: Tensor, state: EnsembleState) -> tuple[Tensor, Tensor | None]:
        """As `StepDecoder.step`."""
        steps = [member.step(ids, own) for member, own in zip(self.members, state.states, strict=True)]
        widest = max(log_probabilities.shape[2] for log_probabilities, _ in steps)
        each = [F.pad(one.float(), (0, widest - one.shape[2]), value=float("-inf")) for one, _ in steps]
        total = each[0]
        for one in each[1:]:
            total = torch.logaddexp(total, one)
        shown = [weights for _, weights in steps if weights is not None]
        return total - math.log(len(each)), torch.stack(shown).mean(0) if shown else None


@dataclass
class EnsembleState:
    """The members' states."""

    states: list[DecoderState]

    def reorder(self, parents: Tensor) -> None:
        for state in self.states:
            state.reorder(parents)

    def keep(self, sentences: Tensor) -> None:
        for state in self.states:
            state.keep(sentences)
