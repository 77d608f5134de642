"""Translations drawn from the model, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lhy_lightning.decoding.candidates import BLOCK
from lhy_lightning.decoding.constraints import NEVER, Constraints, first_memory, length_limits
from lhy_lightning.decoding.hypotheses import DROP_SHARE
from lhy_lightning.decoding.interface import Memory, StepDecoder

# Top-p is looked for among so many tokens before all of them are sorted.
USUAL_NUCLEUS = 256


class Samples(NamedTuple):
    """Drawn translations.

    Attributes:
        ids: (B, samples, T) int64 with EOS (none where `max_length` cut it off) but without BOS, padded.
        log_probabilities: (B, samples) float32, log P(y | x) of the unmodified model.
    """

    ids: Tensor
    log_probabilities: Tensor


@torch.no_grad()
def sample(
    decoder: StepDecoder,
    memory: Memory | Sequence[Memory],
    *,
    max_length: Tensor | int,
    samples: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_length: int = 0,
    no_repeat_ngram: int = 0,
    suppress: Sequence[int] = (),
    bos_id: int = 1,
    eos_id: int = 2,
    pad_id: int = 0,
    generator: torch.Generator | None = None,
) -> Samples:
    """Draws `samples` translations of every sentence, independently of one another.

    The distribution is changed in this order, as in transformers: what is forbidden, temperature, top-k, top-p. The
    log-probabilities returned are those of the model before any of it, as minimum-risk training needs them. A
    translation that nothing may follow ends.

    Args:
        decoder: what gives log-probabilities, in evaluation mode.
        memory: B encoded sentences, or an ensemble's list of them.
        max_length: tokens of a translation with EOS, (B,) int64 or one number.
        samples: translations of a sentence.
        temperature: above 0; log-probabilities are divided by it.
        top_k: draw from the k most probable tokens (Fan et al. 2018, https://arxiv.org/abs/1805.04833); 0 for all.
        top_p: draw from the fewest tokens with at least this probability in sum (Holtzman et al. 2019,
            https://arxiv.org/abs/1904.09751); 1 for all.
        min_length, no_repeat_ngram, suppress, bos_id, eos_id: as in `beam_search`.
        pad_id: what stands after EOS.
        generator: of the random numbers, on the memory's device; one number for each token drawn.

    Returns:
        Ids and log-probabilities, without gradient.

    Raises:
        ValueError: a temperature not above 0, top_k below 0, top_p outside (0, 1], a `max_length` below 1.
    """
    if temperature <= 0:
        raise ValueError(f"temperature is above 0, not {temperature}: what it tends to is greedy_search")
    if top_k < 0 or not 0 < top_p <= 1:
        raise ValueError(f"top_k is at least 0 and top_p in (0, 1], not {top_k} and {top_p}")
    source = first_memory(memory)
    device, sentences = source.source_ids.device, len(source.source_ids)
    limits = length_limits(max_length, sentences, device)
    longest = int(limits.max()) if sentences else 0
    constraints = Constraints(suppress, min_length, no_repeat_ngram, eos_id)
    written = torch.full((sentences, samples, longest), pad_id, device=device)
    totals = torch.zeros(sentences, samples, device=device)
    if not sentences:
        return Samples(written, totals)

    state = decoder.start(cast(Memory, memory), beams=samples, max_length=longest)
    state.reorder(torch.zeros(sentences, 1, dtype=torch.int64, device=device))  # BOS is read once, not for each sample
    rows = torch.arange(sentences, device=device)
    ids = torch.full((sentences, 1), bos_id, device=device)
    running = torch.ones(sentences, samples, dtype=torch.bool, device=device)
    for length in range(1, longest + 1):
        log_probabilities, _ = decoder.step(ids, state)
        if length == 1:
            log_probabilities = log_probabilities.expand(-1, samples, -1)
            state.reorder(torch.zeros(sentences, samples, dtype=torch.int64, device=device))
        scores = log_probabilities.float() / temperature
        constraints.apply_(scores, written[rows, :, : length - 1] if no_repeat_ngram else None, length - 1)
        uniform = torch.rand(scores.shape[:2], generator=generator, device=device)
        ids = draw(truncate(scores, top_k, top_p), uniform).masked_fill(scores.amax(2) == NEVER, eos_id)
        drawn = log_probabilities.gather(2, ids[..., None])[..., 0]
        totals[rows] += drawn.masked_fill(~running, 0)
        ids = ids.masked_fill(~running, pad_id)
        written[rows, :, length - 1] = ids
        running = running & (ids != eos_id) & (limits > length)[:, None]
        open_rows = running.any(1)
        left = int(open_rows.sum())
        if not left:
            break
        if left <= (1 - DROP_SHARE) * len(rows):
            kept = open_rows.nonzero()[:, 0]
            state.keep(kept)
            rows, limits, ids, running = (each.index_select(0, kept) for each in (rows, limits, ids, running))
    return Samples(written[..., :length].clone(), totals)


def truncate(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """Unnormalised log-probabilities (B, K, V) with -inf at all but the most probable tokens; see `sample`."""
    if 0 < top_k < scores.shape[2]:
        values, ids = scores.topk(top_k, dim=2)
        scores = torch.full_like(scores, NEVER).scatter_(2, ids, values)
    if top_p < 1:
        total = scores.logsumexp(2, keepdim=True)
        for count in (min(USUAL_NUCLEUS, scores.shape[2]), scores.shape[2]):
            values, ids = scores.topk(count, dim=2)
            chances = (values - total).exp()
            before = chances.cumsum(2) - chances  # the first token is always kept
            if count == scores.shape[2] or bool((before[..., -1] >= top_p).all()):
                break
        scores = torch.full_like(scores, NEVER).scatter_(2, ids, values.masked_fill(before >= top_p, NEVER))
    return scores


def draw(scores: Tensor, uniform: Tensor) -> Tensor:
    """Tokens drawn in proportion to exp(scores): the first at which the running sum passes `uniform` times the sum.

    The running sum is taken over blocks and then within one: exact enough for large vocabularies, and a tenth of
    the time of `torch.multinomial`, which draws a random number for every token of the vocabulary.

    Args:
        scores: (B, K, V) float32.
        uniform: (B, K) in [0, 1).

    Returns:
        (B, K) int64.
    """
    weights = (scores - scores.amax(2, keepdim=True)).exp_()
    weights = F.pad(weights, (0, -scores.shape[2] % BLOCK)).unflatten(2, (-1, BLOCK))  # (B, K, n, BLOCK)
    ends = weights.sum(3).cumsum(2)  # (B, K, n)
    wanted = uniform * ends[..., -1]
    block = _first_above(ends, wanted)
    start = F.pad(ends, (1, 0)).gather(2, block)[..., 0]
    # sums of a block differ in rounding: what is wanted within it is a share of the sum taken there
    share = (wanted - start) / (ends.gather(2, block)[..., 0] - start)
    inside = weights.gather(2, block[..., None].expand(-1, -1, 1, BLOCK))[:, :, 0].cumsum(2)
    return (block * BLOCK + _first_above(inside, share * inside[..., -1]))[..., 0]


def _first_above(running: Tensor, wanted: Tensor) -> Tensor:
    """Where non-decreasing rows (B, K, n) first pass `wanted` (B, K), or reach their end: (B, K, 1) int64."""
    below = (running <= wanted[..., None]) & (running < running[..., -1:])
    return below.sum(2, keepdim=True)
