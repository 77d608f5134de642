"""Greedy search: the most probable token at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from lhy_lightning.decoding.candidates import best_candidates
from lhy_lightning.decoding.constraints import Constraints, first_memory, length_limits
from lhy_lightning.decoding.hypotheses import DROP_SHARE, Hypothesis, nothing
from lhy_lightning.decoding.interface import Memory, StepDecoder


@torch.no_grad()
def greedy_search(
    decoder: StepDecoder,
    memory: Memory | Sequence[Memory],
    *,
    max_length: Tensor | int,
    min_length: int = 0,
    length_penalty: float = 1.0,
    no_repeat_ngram: int = 0,
    suppress: Sequence[int] = (),
    bos_id: int = 1,
    eos_id: int = 2,
    attention: bool = False,
) -> list[Hypothesis]:
    """`beam_search` with a beam of one, and the same result, without back-pointers.

    Args:
        decoder, memory, max_length, min_length, no_repeat_ngram, suppress, bos_id, eos_id, attention: as there.
        length_penalty: alpha, for the score alone.

    Returns:
        A translation of every sentence, in the order given.

    Raises:
        ValueError: attention without attention weights, a `max_length` below 1.
    """
    source = first_memory(memory)
    device, sentences = source.source_ids.device, len(source.source_ids)
    if not sentences:
        return []
    limits = length_limits(max_length, sentences, device)
    longest = int(limits.max())
    constraints = Constraints(suppress, min_length, no_repeat_ngram, eos_id)

    state = decoder.start(cast(Memory, memory), beams=1, max_length=longest, attention=attention)
    rows = torch.arange(sentences, device=device)  # which sentence a row of the shrinking batch is
    ids = torch.full((sentences, 1), bos_id, device=device)
    scores = torch.zeros(sentences, 1, device=device)
    running = torch.ones(sentences, dtype=torch.bool, device=device)
    lengths, totals = torch.zeros_like(rows), torch.zeros(sentences, device=device)
    written = torch.zeros(sentences, longest, dtype=torch.int64, device=device)
    shown: list[Tensor] = []
    for length in range(1, longest + 1):
        log_probabilities, weights = decoder.step(ids, state)
        prefixes = written[rows, None, : length - 1] if no_repeat_ngram else None
        constraints.apply_(log_probabilities, prefixes, length - 1)
        scores, _, ids = best_candidates(log_probabilities.float(), scores, 1)
        written[rows, length - 1] = ids[:, 0]
        if attention:
            if weights is None:
                raise ValueError("attention was asked for, but the decoder gives none.")
            shown.append(weights.new_zeros(sentences, weights.shape[2]).index_copy_(0, rows, weights[:, 0]))
        closing = running & ((ids[:, 0] == eos_id) | (limits == length))
        lengths[rows] = torch.where(closing, length, lengths[rows])
        totals[rows] = torch.where(closing, scores[:, 0], totals[rows])
        running = running & ~closing
        left = int(running.sum())
        if not left:
            break
        if left <= (1 - DROP_SHARE) * len(rows):
            kept = running.nonzero()[:, 0]
            state.keep(kept)
            rows, limits, ids, scores = (each.index_select(0, kept) for each in (rows, limits, ids, scores))
            running = running[kept]

    found = []
    attended = torch.stack(shown, 1) if shown else None  # (B, T, S)
    for sentence, (tokens, length, total) in enumerate(
        zip(written.tolist(), lengths.tolist(), totals.tolist(), strict=True)
    ):
        if not total > float("-inf"):  # or not a number
            found.append(nothing())
            continue
        ended = tokens[length - 1] == eos_id
        weights = None if attended is None else attended[sentence, :length, source.mask[sentence]]
        score = float(torch.tensor(total) / torch.tensor(float(length) ** length_penalty))
        found.append(Hypothesis(tokens[: length - ended], score, total, weights, ended))
    return found
