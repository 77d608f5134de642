"""What the decoder is fed in place of gold tokens, and how likely: Bengio et al. 2015, section 2.4.

Input i is gold token i, BOS at 0; the output at position i - 1 predicts it, and is what may take its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Mix = Literal["argmax", "sample", "top_k", "softmax"]
Schedule = Literal["linear", "exponential", "inverse_sigmoid", "constant"]

TOKEN_MIXES = ("argmax", "sample")
EMBEDDING_MIXES = ("top_k", "softmax")


def sampling_probability(
    step: int,
    *,
    schedule: Schedule = "linear",
    start: float = 0.0,
    end: float = 0.5,
    steps: int | None = None,
    k: float | None = None,
) -> float:
    """The probability with which an input is *replaced* by the model's own token, at a training step.

    It goes from `start` to `end` by 1 - ε_i, where ε_i is the decay of Bengio et al. 2015, section 2.4, who give the
    probability of *gold*:

    * "linear": ε_i = 1 - i / steps, down to 0;
    * "exponential": ε_i = kⁱ, 0 < k < 1;
    * "inverse_sigmoid": ε_i = k / (k + exp(i / k)), k >= 1; not quite 1 at step 0;
    * "constant": `end` from the first step on.

    Args:
        step: i, updates made; below 0 counts as 0.
        start, end: replacement probabilities before and after, in [0, 1].
        steps: after how many updates "linear" arrives.
        k: speed of the other two; after k · ln k updates "inverse_sigmoid" is half-way.

    Raises:
        ValueError: an unknown schedule, a probability outside of [0, 1], `steps` or `k` missing or out of range.

    Example:
        >>> from lhy_lightning import sampling_probability
        >>> sampling_probability(500, schedule="linear", end=0.5, steps=1000)
        0.25
    """
    if not (0 <= start <= 1 and 0 <= end <= 1):
        raise ValueError(f"sampling probabilities lie in [0, 1]: start {start}, end {end}")
    step = max(step, 0)
    if schedule == "constant":
        return end
    if schedule == "linear":
        if steps is None or steps < 1:
            raise ValueError(f"the linear schedule needs steps >= 1, not {steps}")
        gold = max(0.0, 1 - step / steps)
    elif schedule == "exponential":
        if k is None or not 0 < k < 1:
            raise ValueError(f"the exponential schedule needs 0 < k < 1, not {k}")
        gold = k**step
    elif schedule == "inverse_sigmoid":
        if k is None or k < 1:
            raise ValueError(f"the inverse sigmoid schedule needs k >= 1, not {k}")
        gold = 1 / (1 + math.exp(min(step / k - math.log(k), 700.0)))  # the same fraction, without overflow
    else:
        raise ValueError(f"schedule is constant, linear, exponential or inverse_sigmoid, not {schedule!r}")
    return start + (end - start) * (1 - gold)


def replacement_mask(
    gold_inputs: Tensor, probability: float, *, pad_id: int = 0, generator: torch.Generator | None = None
) -> Tensor:
    """Which inputs to replace: (N, T) bool, one independent draw per token, never BOS (position 0), never padding.

    Args:
        gold_inputs: (N, T) int64, BOS first.
        probability: of being replaced, in [0, 1]; 1 replaces every token.

    Raises:
        ValueError: a probability outside of [0, 1].
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"a sampling probability lies in [0, 1], not {probability}")
    drawn = torch.rand(gold_inputs.shape, device=gold_inputs.device, generator=generator) < probability
    drawn &= gold_inputs != pad_id
    drawn[:, :1] = False
    return drawn


def mix_inputs(
    gold_inputs: Tensor,
    logits: Tensor,
    probability: float,
    *,
    mix: Mix = "argmax",
    embed: Callable[[Tensor], Tensor] | Tensor | None = None,
    k: int = 5,
    temperature: float = 1.0,
    through: bool = False,
    pad_id: int = 0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Inputs of the second pass: gold, and with `probability` the prediction made one position before.

    Args:
        gold_inputs: (N, T) int64, BOS first.
        logits: (N, T, V) logits or log-probabilities of the pass before; those at position i - 1 predict input i.
        probability: of being replaced, drawn for each token.
        mix: what replaces a token. "argmax": the likeliest; "sample": one drawn from softmax(logits / temperature);
            "top_k": the embeddings of the k likeliest, weighted by their softmax; "softmax": those of all V.
        embed: for the last two, maps ids (...,) to embeddings (..., E), or the weight (V, E).
        through: lets the gradient of the last two flow through their weights into `logits`.

    Returns:
        Ids (N, T) int64 for "argmax" and "sample", else embeddings (N, T, E); and which were replaced, (N, T) bool.

    Raises:
        ValueError: `embed` missing, `through` with ids (they have no gradient), temperature not above 0, k below 1.

    Example:
        >>> import torch
        >>> from lhy_lightning import mix_inputs
        >>> gold = torch.tensor([[1, 5, 6]])
        >>> mixed, _ = mix_inputs(gold, torch.zeros(1, 3, 8), 0.0)
        >>> torch.equal(mixed, gold)
        True
    """
    check_mix(mix, through, k, temperature)
    if mix in EMBEDDING_MIXES and embed is None:
        raise ValueError(f"mix={mix!r} needs `embed`")
    replaced = replacement_mask(gold_inputs, probability, pad_id=pad_id, generator=generator)
    rows = logits[:, :-1][replaced[:, 1:]]  # (R, V): the prediction made at i - 1 for input i
    if not through:
        rows = rows.detach()
    if mix in TOKEN_MIXES:
        noise = exponential_noise(rows, generator) if mix == "sample" else None
        return put(gold_inputs, replaced, tokens_of(rows, temperature, noise)), replaced
    table = embed if not isinstance(embed, Tensor) else lambda ids: F.embedding(ids, embed)
    assert table is not None
    ids = torch.arange(rows.shape[1], device=rows.device)
    if mix == "top_k":
        rows, ids = rows.topk(min(k, rows.shape[1]), dim=1)
    mixed = mean_embedding(table(ids), softmax_of(rows, temperature))
    return put(table(gold_inputs), replaced, mixed), replaced


def check_mix(mix: str, through: bool, k: int, temperature: float) -> None:
    """Raises ValueError for a mix that does not exist, or a number that means nothing to it."""
    if mix not in TOKEN_MIXES + EMBEDDING_MIXES:
        raise ValueError(f"mix is one of {', '.join(TOKEN_MIXES + EMBEDDING_MIXES)}, not {mix!r}")
    if through and mix in TOKEN_MIXES:
        raise ValueError(f"no gradient flows through the choice of a token: mix={mix!r}; use top_k or softmax")
    if temperature <= 0:
        raise ValueError(f"temperature lies above 0, not {temperature}")
    if k < 1:
        raise ValueError(f"top_k mixes k >= 1 embeddings, not {k}")


def put(gold: Tensor, replaced: Tensor, rows: Tensor) -> Tensor:
    """`gold` with `rows` where `replaced`, in order."""
    return gold.index_put((replaced,), rows.to(gold.dtype))


def exponential_noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Independent Exp(1): argmax(p / noise) is a draw from p, and argmax(logits - log noise) the same (Gumbel)."""
    return torch.empty_like(like, dtype=torch.float32).exponential_(generator=generator)


def tokens_of(logits: Tensor, temperature: float, noise: Tensor | None) -> Tensor:
    """(R, V) logits to (R,) ids: the likeliest, or with noise a draw."""
    if noise is None:
        return logits.argmax(1)
    return (_at_least_float32(logits) / temperature - noise.log()).argmax(1)


def softmax_of(logits: Tensor, temperature: float) -> Tensor:
    """(R, V) logits to probabilities, at least float32."""
    return (_at_least_float32(logits) / temperature).softmax(1)


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def mean_embedding(embeddings: Tensor, weights: Tensor) -> Tensor:
    """Embeddings (R, k, E), or (V, E) of the whole vocabulary, weighted by (R, k) or (R, V): (R, E)."""
    weights = weights.to(embeddings.dtype)
    return weights @ embeddings if embeddings.dim() == 2 else (weights[:, None] @ embeddings)[:, 0]
