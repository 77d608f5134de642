"""Beam search with length normalisation and coverage, as a batch of sentences and without a loop over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from lhy_lightning.decoding.candidates import best_candidates
from lhy_lightning.decoding.constraints import NEVER, Constraints, first_memory, length_limits
from lhy_lightning.decoding.greedy import greedy_search
from lhy_lightning.decoding.hypotheses import DROP_SHARE, Finished, Hypothesis, Trail
from lhy_lightning.decoding.interface import Memory, StepDecoder

__all__ = ["Hypothesis", "beam_search", "greedy_search"]


@torch.no_grad()
def beam_search(
    decoder: StepDecoder,
    memory: Memory | Sequence[Memory],
    *,
    max_length: Tensor | int,
    beam: int = 5,
    n_best: int = 1,
    min_length: int = 0,
    length_penalty: float = 1.0,
    coverage_penalty: float = 0.0,
    no_repeat_ngram: int = 0,
    suppress: Sequence[int] = (),
    bos_id: int = 1,
    eos_id: int = 2,
    early_stop: bool = True,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """The `n_best` translations of every sentence with the best score among those that a beam finds.

        score(y) = log P(y | x) / |y|^alpha + beta sum_s log min(sum_t a_ts, 1)

    |y| counts EOS: the form of fairseq and of transformers, whose `generate(early_stopping="never")` gives the same
    translations. Wu et al. 2016 (https://arxiv.org/abs/1609.08144, equation 14), and joeynmt with them, divide by
    ((5 + |y|) / 6)^alpha instead; the second term is theirs, over all source tokens.

    Of the 2 * beam best continuations of a step, those with EOS among the first `beam` are finished and leave their
    slots to the best unfinished ones: EOS never starves the beam. A hypothesis of `max_length` tokens is closed as it
    is, without EOS and with its own score, as transformers does (fairseq writes EOS there). A beam of one is greedy
    search: its first EOS ends it. Equal scores are ordered by hypothesis, then by token id.

    A sentence is done when no hypothesis in its beam can reach the last of its `n_best` any more. Log-probabilities are
    at most 0, so one that stands at L ends no better than L / M^alpha for alpha > 0, M being the sentence's
    `max_length`, and than L / (|y| + 1)^alpha otherwise; coverage adds at most 0. The result is therefore that of
    `early_stop=False`.

    Args:
        decoder: what gives log-probabilities, in evaluation mode; they are changed in place.
        memory: B encoded sentences, or an ensemble's list of them.
        max_length: tokens of a translation with EOS, (B,) int64 or one number. Make it depend on the sentence alone,
            and batch mates never change an output.
        beam: hypotheses K of a sentence.
        n_best: how many to return, at most `beam`.
        min_length: tokens there are before EOS at the least.
        length_penalty: alpha; 0 ranks by log-probability, above 1 favours long translations.
        coverage_penalty: beta >= 0; needs a decoder with attention.
        no_repeat_ngram: n: no n tokens stand twice in a translation; 0 to allow it.
        suppress: ids that are never written.
        bos_id, eos_id: begin and end of a sentence.
        early_stop: stop where the result is certain; False goes on to `max_length`.
        attention: give each translation's attention.

    Returns:
        For every sentence, in the order given, its translations, best first: `n_best`, or as many as there are.

    Raises:
        ValueError: `n_best` above `beam`, a negative `coverage_penalty`, coverage or attention without attention
            weights, a `max_length` below 1.

    Example:
        >>> import torch
        >>> from lhy_lightning import Transformer, TranslationNetwork, beam_search
        >>> network = TranslationNetwork(Transformer(20, 20, layers=1, width=8, heads=2, feedforward=16)).eval()
        >>> memory = network.encode(torch.tensor([[5, 6, 2]]))
        >>> found = beam_search(network, memory, max_length=4, beam=2, n_best=2)
        >>> len(found[0])
        2
    """
    if not 1 <= n_best <= beam:
        raise ValueError(f"n_best is between 1 and the beam of {beam}, not {n_best}")
    if coverage_penalty < 0:
        raise ValueError(f"coverage_penalty is at least 0, not {coverage_penalty}")
    source = first_memory(memory)
    device, sentences = source.source_ids.device, len(source.source_ids)
    if not sentences:
        return []
    limits = length_limits(max_length, sentences, device)
    longest = int(limits.max())
    constraints = Constraints(suppress, min_length, no_repeat_ngram, eos_id)
    powers = torch.tensor([max(n, 1) ** length_penalty for n in range(longest + 2)], dtype=torch.float32, device=device)

    attended = attention or coverage_penalty > 0
    # `cast`, as an `Ensemble` takes a list
    state = decoder.start(cast(Memory, memory), beams=beam, max_length=longest, attention=attended)
    # the first step costs one hypothesis, not K equal ones
    state.reorder(torch.zeros(sentences, 1, dtype=torch.int64, device=device))
    rows = torch.arange(sentences, device=device)  # which sentence a row of the shrinking batch is
    ids = torch.full((sentences, 1), bos_id, device=device)
    scores = torch.zeros(sentences, 1, device=device)
    prefixes = ids.new_zeros(sentences, 1, 0) if no_repeat_ngram else None
    coverage = torch.zeros(sentences, 1, source.source_ids.shape[1], device=device) if coverage_penalty else None
    running, mask = torch.ones(sentences, dtype=torch.bool, device=device), source.mask
    finished, results = (Finished.none(sentences, n_best, device) for _ in range(2))
    trail = Trail()
    for length in range(1, longest + 1):
        log_probabilities, weights = decoder.step(ids, state)
        if attended and weights is None:
            raise ValueError("attention was asked for, but the decoder gives none.")
        constraints.apply_(log_probabilities, prefixes, length - 1)
        values, parents, tokens = best_candidates(log_probabilities.float(), scores, 2 * beam)

        last = limits == length
        ending = tokens == eos_id
        ranks = values[:, :beam] / powers[length]
        if coverage is not None and weights is not None:
            coverage = coverage + weights
            covered = coverage.clamp(1e-10, 1).log().masked_fill(~mask[:, None], 0).sum(2)  # (B, K)
            ranks = ranks + coverage_penalty * covered.gather(1, parents[:, :beam])
        closed = (ending[:, :beam] | last[:, None]) & running[:, None]
        finished.merge(ranks.masked_fill(~closed, NEVER), values[:, :beam], length, parents[:, :beam], tokens[:, :beam])

        order = ending.byte().argsort(dim=1, stable=True)[:, :beam]  # unfinished ones, best first
        scores = values.masked_fill(ending, NEVER).gather(1, order)
        parents, ids = parents.gather(1, order), tokens.gather(1, order)
        trail.append(rows, ids, parents, weights if attention else None)
        running = running & ~last
        if early_stop:
            reachable = scores[:, 0] / (powers[limits] if length_penalty > 0 else powers[length + 1])
            running = running & (reachable > finished.scores[:, -1])
        if beam == 1:
            running = running & ~closed[:, 0]
        left = int(running.sum())
        if not left:
            break
        state.reorder(parents)
        if prefixes is not None:
            prefixes = torch.cat([prefixes.gather(1, parents[..., None].expand(-1, -1, length - 1)), ids[..., None]], 2)
        if coverage is not None:
            coverage = coverage.gather(1, parents[..., None].expand(-1, -1, coverage.shape[2]))
        if left <= (1 - DROP_SHARE) * len(rows):
            kept = running.nonzero()[:, 0]
            results.put(rows, finished)
            state.keep(kept)
            rows, limits, mask, ids, scores = (each.index_select(0, kept) for each in (rows, limits, mask, ids, scores))
            running, finished = running[kept], finished.keep(kept)
            prefixes = None if prefixes is None else prefixes.index_select(0, kept)
            coverage = None if coverage is None else coverage.index_select(0, kept)
    results.put(rows, finished)
    return trail.read(results, source.mask, eos_id)
