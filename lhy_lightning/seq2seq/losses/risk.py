"""Training on what is measured: expected sentence BLEU (or any reward), from samples of the model.

Both losses follow cross-entropy training; rewards have no gradient, the log-probabilities of the samples have.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def sequence_log_probability(token_log_probabilities: Tensor, mask: Tensor) -> Tensor:
    """Returns log P(y | x) = Σ_t log P(y_t | y_<t, x) over real tokens, EOS among them.

    Args:
        token_log_probabilities: (..., T); what stands at padding is not looked at, -inf and NaN included.
        mask: (..., T) bool, True at tokens.

    Returns:
        (...,) of the same dtype.
    """
    return token_log_probabilities.masked_fill(~mask, 0.0).sum(-1)


def distinct_samples(ids: Tensor) -> Tensor:
    """True at the first of each set of equal samples of a sentence: (N, K, T) padded ids to (N, K) bool."""
    equal = (ids[:, :, None] == ids[:, None]).all(-1)  # (N, K, K)
    return ~equal.tril(-1).any(-1)


def minimum_risk_loss(
    log_probabilities: Tensor,
    rewards: Tensor,
    *,
    sharpness: float = 0.005,
    mask: Tensor | None = None,
) -> Tensor:
    """Expected risk Σ_k Q_k (1 - r_k) with Q_k ∝ P(y_k | x)^α over the samples, summed over sentences.

    Minimum risk training, Shen et al. 2016, equations 9 to 11 (https://arxiv.org/abs/1512.02433), with risk 1 - reward.
    Q is renormalised over the sample set, in which a candidate counts once: pass `distinct_samples` as the mask. The
    paper draws 100 candidates with α = .005 and found that adding the reference to them helps.

    Args:
        log_probabilities: (N, K) log P(y_k | x) under the model, with gradient.
        rewards: (N, K) in 0 ... 1, say sentence BLEU.
        sharpness: α; towards 0 all samples weigh alike, at 1 in proportion to their probability.
        mask: (N, K) bool, which samples take part; all where None. A sentence without one counts 0.

    Returns:
        Scalar sum over the N sentences, to be divided by the sentences of the whole accumulated, all-rank batch.

    Raises:
        ValueError: shapes differ.
    """
    _check_shapes(log_probabilities, rewards)
    scores = sharpness * log_probabilities
    risks = 1 - rewards.detach().to(log_probabilities.dtype)
    if mask is None:
        return (scores.softmax(1) * risks).sum()
    # the lowest number and not -inf: a row without samples would be NaN
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(1)
    return (weights * risks).masked_fill(~mask, 0.0).sum()


def self_critical_loss(
    log_probabilities: Tensor,
    rewards: Tensor,
    baseline: Tensor | Literal["leave_one_out"] = "leave_one_out",
) -> Tensor:
    """-(1 / K) Σ_k (r_k - b) log P(y_k | x), summed over sentences: its expected gradient is that of -E[r].

    REINFORCE (Williams 1992) with the reward of the greedy translation as baseline: self-critical training, Rennie et
    al. 2017, equation 8 (https://arxiv.org/abs/1612.00563). "leave_one_out" takes the mean reward of the *other*
    samples of the sentence (Kool et al. 2019, https://openreview.net/forum?id=r1lgTGL5DE), which saves the greedy
    translation. Either is independent of the sample it is taken from, so the gradient stays unbiased; samples are
    kept with their duplicates for the same reason.

    Args:
        log_probabilities: (N, K) log P(y_k | x) of samples drawn from the model, with gradient.
        rewards: (N, K).
        baseline: (N,) rewards of the greedy translations, or "leave_one_out", which needs K >= 2.

    Returns:
        Scalar sum over the N sentences, to be divided by the sentences of the whole accumulated, all-rank batch. Its
        gradient is what matters: the value is no measure of anything.

    Raises:
        ValueError: shapes differ, one sample and "leave_one_out".
    """
    _check_shapes(log_probabilities, rewards)
    samples = rewards.shape[1]
    if isinstance(baseline, str):
        if baseline != "leave_one_out":
            raise ValueError(f"baseline is (N,) rewards or 'leave_one_out', not {baseline!r}")
        if samples < 2:
            raise ValueError("a leave-one-out baseline needs two samples of each sentence")
        subtracted = (rewards.sum(1, keepdim=True) - rewards) / (samples - 1)  # (N, K)
    else:
        if baseline.shape != rewards.shape[:1]:
            raise ValueError(f"baseline {tuple(baseline.shape)} for {len(rewards)} sentences")
        subtracted = baseline[:, None]
    advantages = (rewards - subtracted).detach().to(log_probabilities.dtype)
    return -(advantages * log_probabilities).sum() / samples


def _check_shapes(log_probabilities: Tensor, rewards: Tensor) -> None:
    if log_probabilities.dim() != 2 or log_probabilities.shape != rewards.shape:
        raise ValueError(
            f"log-probabilities and rewards are (N, K): {tuple(log_probabilities.shape)}, {tuple(rewards.shape)}"
        )
