"""A translator's search: greedy or by beam, as its settings say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from lhy_lightning.data.tokenizers.special_tokens import BOS, EOS, PAD
from lhy_lightning.decoding.beam import Hypothesis, beam_search, greedy_search
from lhy_lightning.seq2seq.networks import length_limits


@dataclass(frozen=True)
class SearchSettings:
    """Arguments of a search, as `TextTranslator` has them under the same names."""

    length_penalty: float
    coverage_penalty: float
    no_repeat_ngram: int


class Searching(Protocol):
    """Settings of a search."""

    beam: int
    length_limit: tuple[float, int, int]
    search: SearchSettings


def decode(
    module: Searching, network: Any, memory: Any, beam: int | None, n_best: int, attention: bool, **search: Any
) -> list[list[Hypothesis]]:
    """Greedy or beam search with a module's settings, on its network or on an ensemble.

    Args:
        module: whose settings search.
        network: a `StepDecoder`.
        memory: the encoded sources; of an ensemble, a list of its members'.
        beam: hypotheses kept; the module's own if None.
        n_best: how many of them to return.
        attention: give their attention as well.
        search: other values for those in `module.search`.

    Returns:
        The `n_best` translations of every row, best first.
    """
    beam = module.beam if beam is None else beam
    first = memory[0] if isinstance(memory, list) else memory
    limits = length_limits(first.source_ids, *module.length_limit)
    settings = {
        **asdict(module.search), **search, "max_length": limits, "attention": attention, "suppress": (PAD, BOS),
    }  # fmt: skip
    if beam == 1 and n_best == 1 and not settings["coverage_penalty"]:
        settings.pop("coverage_penalty")
        return [[best] for best in greedy_search(network, memory, bos_id=BOS, eos_id=EOS, **settings)]
    return beam_search(network, memory, beam=max(beam, n_best), n_best=n_best, bos_id=BOS, eos_id=EOS, **settings)
