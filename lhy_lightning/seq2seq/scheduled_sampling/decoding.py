"""Scheduled sampling: in training the decoder is fed some of its own predictions, as it will be in decoding.

The lecture's answer to exposure bias (Bengio et al. 2015, https://arxiv.org/abs/1506.03099). A recurrent decoder does
it step by step (`free_running_states`). A Transformer decodes all positions at once, so a first pass over gold inputs
gives the predictions and a second pass is fed the mixture (`scheduled_sampling_states`; Mihaylova and Martins 2019,
https://arxiv.org/abs/1906.07651; with more passes Duckworth et al. 2019, https://arxiv.org/abs/1906.04331).

Input i is gold token i, BOS at 0; the output at position i - 1 predicts it, and is what may take its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lhy_lightning.decoding.interface import Decoded, Memory, Seq2SeqBody
from lhy_lightning.seq2seq.scheduled_sampling.mixing import (
    TOKEN_MIXES,
    Mix,
    check_mix,
    exponential_noise,
    mean_embedding,
    put,
    replacement_mask,
    softmax_of,
    tokens_of,
)

LOGITS_LIMIT = 1 << 22
"""Logits that a prediction without gradient forms at once: 16 MiB stay in a CPU's cache."""


@dataclass
class DecodedMixture(Decoded):
    """Outputs of a decoder that was fed a mixture, and the mixture.

    Attributes:
        inputs: (N, T) int64 ids or (N, T, E) embeddings: what a copy gate must look at instead of gold.
    """

    inputs: Tensor | None = None


def scheduled_sampling_states(
    body: Seq2SeqBody,
    memory: Memory,
    target_ids: Tensor,
    probability: float,
    *,
    passes: int = 2,
    mix: Mix = "argmax",
    k: int = 5,
    temperature: float = 1.0,
    gradient_through_first_pass: bool = False,
    attention: bool = False,
    pad_id: int = 0,
    generator: torch.Generator | None = None,
) -> tuple[DecodedMixture, Tensor]:
    """Decodes all positions at once, fed a mixture of gold tokens and predictions of the pass before.

    Probability 0 skips the first pass: teacher forcing, to the bit and without a random draw. At 1 the last pass is
    fed no gold token but BOS, yet with two passes its inputs were predicted from gold prefixes. Each further pass
    predicts from the mixture of the pass before, with the same positions replaced and the same noise for "sample": one
    more position at a time is then what decoding step by step gives, and T passes equal that wholly.

    The passes before the last run in the body's mode, in training with dropout, as in both papers. Without gradient
    through them they run without graph, and only the positions that are replaced are ever projected.

    Args:
        target_ids: (N, T + 1) int64, BOS ... EOS, padded; the decoder's inputs are all but the last column.
        probability: of an input being replaced, drawn once for each token.
        passes: of the decoder; 1 is teacher forcing.
        mix, k, temperature: see `mix_inputs`; "softmax" costs a second product of the projection's size.
        gradient_through_first_pass: through the mixing weights of "top_k" and "softmax" into all passes before the
            last; the embeddings mixed get a gradient either way, as inputs of the last pass.
        attention: the last pass gives `Decoded.attention` and `Decoded.context`.

    Returns:
        What the last pass gives, states (N, T, D), and was fed, ids (N, T) int64 or embeddings (N, T, E); and the share
        of replaced among the inputs that may be (neither BOS nor padding), a float32 scalar.

    Raises:
        ValueError: see `mix_inputs`; passes below 1.
    """
    through = gradient_through_first_pass
    check_mix(mix, through, k, temperature)
    if passes < 1:
        raise ValueError(f"scheduled sampling needs passes >= 1, not {passes}")
    gold = inputs = target_ids[:, :-1]
    if probability == 0 or passes == 1:
        return _fed(body.decode(gold, memory, attention=attention), gold), torch.zeros((), device=gold.device)
    replaced = replacement_mask(gold, probability, pad_id=pad_id, generator=generator)
    predicting = replaced[:, 1:]  # the output at i - 1 predicts input i
    noise: Tensor | None = None
    for _ in range(passes - 1):
        with torch.set_grad_enabled(through and torch.is_grad_enabled()), _autocast_without_cache(gold.device.type):
            rows = body.decode(inputs, memory).states[:, :-1][predicting]  # (R, D)
            if mix in TOKEN_MIXES:
                if mix == "sample" and noise is None:
                    noise = exponential_noise(rows.new_empty(len(rows), body.vocab_size), generator)
                inputs = put(gold, replaced, _predicted_tokens(body, rows, temperature, noise))
                continue
            if mix == "top_k":
                logits, ids = _best(body, rows, k, through)
            else:
                logits, ids = body.project(rows), torch.arange(body.vocab_size, device=rows.device)
        weights = softmax_of(logits, temperature)
        inputs = put(body.embed_target(gold), replaced, mean_embedding(body.embed_target(ids), weights))
    return _fed(body.decode(inputs, memory, attention=attention), inputs), _share(replaced, gold, pad_id)


def free_running_states(
    body: Seq2SeqBody,
    memory: Memory,
    target_ids: Tensor,
    probability: float,
    *,
    mix: Literal["argmax", "sample"] = "argmax",
    temperature: float = 1.0,
    attention: bool = False,
    pad_id: int = 0,
    generator: torch.Generator | None = None,
) -> tuple[DecodedMixture, Tensor]:
    """Decodes step by step, fed the gold token or, with `probability`, the model's own of the step before.

    The form for recurrent networks (Bengio et al. 2015): own tokens follow from own tokens. At probability 1 this is
    free running, at 0 `body.decode` of gold, which is then called. The gradient flows through the states, not through
    the choice of a token. A body with a preallocated cache has no gradient here: see `scheduled_sampling_states`.

    Args:
        target_ids: (N, T + 1) int64, BOS ... EOS, padded; the decoder's inputs are all but the last column.
        probability: of an input being replaced, drawn for each token.
        mix: feeds the likeliest token or one sampled from softmax(logits / temperature).
        attention: fills `Decoded.attention` and `Decoded.context`.

    Returns:
        States (N, T, D) and the ids fed (N, T) int64; the share of replaced as in `scheduled_sampling_states`.

    Raises:
        ValueError: a probability outside of [0, 1], a mix of embeddings.
    """
    if mix not in TOKEN_MIXES:
        raise ValueError(f"step by step, mix is argmax or sample, not {mix!r}")
    check_mix(mix, False, 1, temperature)
    gold = target_ids[:, :-1]
    if probability == 0:
        return _fed(body.decode(gold, memory, attention=attention), gold), torch.zeros((), device=gold.device)
    replaced = replacement_mask(gold, probability, pad_id=pad_id, generator=generator)
    state = body.start(memory, beams=1, max_length=gold.shape[1], attention=attention)
    steps: list[Decoded] = []
    fed: list[Tensor] = []
    for i in range(gold.shape[1]):
        ids = gold[:, i]
        if i:
            rows = steps[-1].states[:, 0].detach()[replaced[:, i]]  # (R, D)
            noise = None
            if mix == "sample":
                noise = exponential_noise(rows.new_empty(len(rows), body.vocab_size), generator)
            ids = put(ids, replaced[:, i], _predicted_tokens(body, rows, temperature, noise))
        fed.append(ids)
        steps.append(body.step(ids[:, None], state))
    decoded = Decoded(
        torch.cat([step.states for step in steps], dim=1),
        _concatenated([step.attention for step in steps]),
        _concatenated([step.context for step in steps]),
    )
    return _fed(decoded, torch.stack(fed, dim=1)), _share(replaced, gold, pad_id)


def _fed(decoded: Decoded, inputs: Tensor) -> DecodedMixture:
    return DecodedMixture(decoded.states, decoded.attention, decoded.context, inputs)


def _share(replaced: Tensor, gold: Tensor, pad_id: int) -> Tensor:
    return replaced.sum() / (gold[:, 1:] != pad_id).sum().clamp(min=1)


def _concatenated(parts: list[Tensor | None]) -> Tensor | None:
    tensors = [part for part in parts if part is not None]
    return torch.cat(tensors, dim=1) if tensors else None


def _chunk_rows(body: Seq2SeqBody) -> int:
    return max(1, LOGITS_LIMIT // body.vocab_size)


@torch.no_grad()
def _predicted_tokens(body: Seq2SeqBody, rows: Tensor, temperature: float, noise: Tensor | None) -> Tensor:
    """(R, D) states to (R,) ids, a chunk of logits at a time."""
    size = _chunk_rows(body)
    ids = rows.new_empty(len(rows), dtype=torch.int64)
    for start in range(0, len(rows), size):
        chunk = slice(start, start + size)
        ids[chunk] = tokens_of(body.project(rows[chunk]), temperature, None if noise is None else noise[chunk])
    return ids


def _best(body: Seq2SeqBody, rows: Tensor, k: int, through: bool) -> tuple[Tensor, Tensor]:
    """(R, D) states to the k largest logits and their ids, (R, k) each, a chunk of logits at a time."""
    with torch.no_grad():
        parts = [body.project(part).topk(min(k, body.vocab_size), dim=1) for part in rows.split(_chunk_rows(body))]
        logits, ids = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
    if not through:
        return logits, ids
    # those k once more, with graph: their gradient costs R·k·D, that of all logits a (R, V) of nearly all zeros
    weight, bias = body.output_layer()
    logits = (F.embedding(ids, weight) @ rows[:, :, None])[:, :, 0]
    return (logits if bias is None else logits + bias[ids]), ids


def _autocast_without_cache(device: str) -> torch.autocast:
    """Autocast as it is, but weights cast without gradient here are not kept for the last pass.

    Before https://github.com/pytorch/pytorch/pull/165068 (December 2025) they were, and the last pass then gave the
    decoder no gradient, silently.
    """
    enabled = torch.is_autocast_enabled(device)
    return torch.autocast(device, dtype=torch.get_autocast_dtype(device), enabled=enabled, cache_enabled=False)
