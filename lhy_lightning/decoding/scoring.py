"""How probable given translations are: forced decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from lhy_lightning.decoding.constraints import first_memory
from lhy_lightning.decoding.interface import Memory, StepDecoder


class TranslationScores(NamedTuple):
    """Scores of given translations; all (...) float32.

    Attributes:
        log_probability: sum over tokens, EOS among them.
        score: log-probability / length^alpha, the beam's score without coverage.
        perplexity: exp of minus the mean log-probability of a token.
    """

    log_probability: Tensor
    score: Tensor
    perplexity: Tensor


def token_log_probabilities(logits: Tensor, targets: Tensor) -> Tensor:
    """Log P of each target token: logits (..., T, V) and targets (..., T) int64 to (..., T) float32.

    Logits may be log-probabilities: normalising them again changes nothing.
    """
    logits = logits.float()
    return logits.gather(-1, targets[..., None])[..., 0] - logits.logsumexp(-1)


def score_tokens(log_probabilities: Tensor, mask: Tensor, *, length_penalty: float = 1.0) -> TranslationScores:
    """Scores of translations from those of their tokens.

    Args:
        log_probabilities: (..., T) of gold tokens; what stands at padding is not looked at.
        mask: (..., T) bool, True at tokens, EOS among them.
        length_penalty: alpha.
    """
    total = log_probabilities.float().masked_fill(~mask, 0).sum(-1)
    length = mask.sum(-1).clamp(min=1)
    return TranslationScores(total, total / length**length_penalty, (-total / length).exp())


@torch.no_grad()
def force_decode(
    decoder: StepDecoder,
    memory: Memory | Sequence[Memory],
    target_ids: Tensor,
    *,
    pad_id: int = 0,
) -> Tensor:
    """Log-probabilities of the tokens of given translations, step by step: the numbers that search itself adds up.

    A network's own teacher forcing gives the same in one pass (`token_log_probabilities` of its logits); this is for
    whatever search can use, an ensemble or a copying network.

    Args:
        decoder: in evaluation mode.
        memory: B encoded sentences, or an ensemble's list of them.
        target_ids: (B, T) int64, BOS + tokens + EOS, padded; or (B, K, T), several translations of each sentence.
        pad_id: padding.

    Returns:
        (B, T - 1) or (B, K, T - 1) float32, 0 at padding; `score_tokens` sums it up.

    Raises:
        ValueError: not as many rows of targets as sentences.
    """
    targets = target_ids if target_ids.dim() == 3 else target_ids[:, None]
    batch, hypotheses, length = targets.shape
    sentences = len(first_memory(memory).source_ids)
    if batch != sentences:
        raise ValueError(f"{batch} rows of targets for {sentences} sentences")
    state = decoder.start(cast(Memory, memory), beams=hypotheses, max_length=max(length - 1, 1))
    steps = []
    for step in range(length - 1):
        log_probabilities, _ = decoder.step(targets[:, :, step], state)
        steps.append(log_probabilities.float().gather(2, targets[:, :, step + 1, None]))
    each = torch.cat(steps, 2) if steps else torch.zeros(batch, hypotheses, 0, device=targets.device)
    each = each.masked_fill(targets[:, :, 1:] == pad_id, 0)
    return each if target_ids.dim() == 3 else each[:, 0]
