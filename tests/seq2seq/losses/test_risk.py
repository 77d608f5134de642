"""Losses on rewards: literal values, exact expectations on a model small enough to enumerate."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from lhy_lightning.seq2seq.losses.risk import (
    distinct_samples,
    minimum_risk_loss,
    self_critical_loss,
    sequence_log_probability,
)

SEQUENCES = torch.tensor(list(itertools.product(range(3), repeat=2)))  # (9, 2): all there are
REWARDS = torch.tensor([0.0, 0.1, 0.9, 0.3, 1.0, 0.2, 0.0, 0.5, 0.7], dtype=torch.float64)


def model() -> Tensor:
    """Logits (1 + 3, 3): of the first token, and of the second given each first."""
    torch.manual_seed(0)
    return torch.randn(4, 3, dtype=torch.float64, requires_grad=True)


def all_log_probabilities(logits: Tensor) -> Tensor:
    """(9,) log P of every sequence."""
    log_p = logits.log_softmax(1)
    first, second = SEQUENCES.unbind(1)
    tokens = torch.stack([log_p[0, first], log_p[1 + first, second]], dim=1)
    return sequence_log_probability(tokens, torch.ones(9, 2, dtype=torch.bool))


def exact_gradient(logits: Tensor) -> Tensor:
    """Gradient of -E[r]."""
    return torch.autograd.grad(-(all_log_probabilities(logits).exp() * REWARDS).sum(), logits)[0]


def test_a_sequences_log_probability_sums_its_tokens_and_never_looks_at_padding() -> None:
    tokens = torch.tensor([[-1.0, -2.0, -math.inf], [-0.5, math.nan, 7.0]], requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    sums = sequence_log_probability(tokens, mask)
    assert sums.tolist() == [-3.0, -0.5]
    sums.sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.tolist() == [[1, 1, 0], [1, 0, 0]]


def test_minimum_risk_is_literal() -> None:
    log_p = torch.tensor([[math.log(0.4), math.log(0.1)]])
    rewards = torch.tensor([[1.0, 0.0]])
    assert minimum_risk_loss(log_p, rewards, sharpness=1.0).item() == pytest.approx(0.2)
    assert minimum_risk_loss(log_p, rewards, sharpness=0.5).item() == pytest.approx(1 / 3)  # 0.4 and 0.1 to 2 : 1
    assert minimum_risk_loss(log_p, rewards, sharpness=0.0).item() == pytest.approx(0.5)


def test_minimum_risk_over_all_sequences_is_the_exact_expected_risk_and_has_its_gradient() -> None:
    logits = model()
    log_p = all_log_probabilities(logits)
    loss = minimum_risk_loss(log_p[None], REWARDS[None], sharpness=1.0)
    torch.testing.assert_close(loss, 1 - (log_p.exp() * REWARDS).sum())
    torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], exact_gradient(logits))


def test_minimum_risk_matches_finite_differences() -> None:
    torch.manual_seed(1)
    log_p = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    rewards, mask = torch.rand(3, 5, dtype=torch.float64), torch.rand(3, 5) < 0.7
    assert torch.autograd.gradcheck(lambda x: minimum_risk_loss(x, rewards, sharpness=0.5, mask=mask), log_p)


def test_a_candidate_counts_once_however_often_it_was_sampled() -> None:
    ids = torch.tensor([[[4, 2, 0], [5, 2, 0], [4, 2, 0], [4, 4, 2]]])
    mask = distinct_samples(ids)
    assert mask.tolist() == [[True, True, False, True]]
    log_p, rewards = torch.tensor([[-1.0, -2.0, -1.0, -3.0]]), torch.tensor([[0.2, 0.5, 0.2, 0.9]])
    once = minimum_risk_loss(log_p[:, [0, 1, 3]], rewards[:, [0, 1, 3]], sharpness=0.7)
    torch.testing.assert_close(minimum_risk_loss(log_p, rewards, sharpness=0.7, mask=mask), once)


def test_a_sentence_without_samples_counts_nothing_and_is_not_nan() -> None:
    log_p = torch.tensor([[-1.0, -2.0], [-1.0, -math.inf]], requires_grad=True)
    rewards = torch.tensor([[1.0, 0.0], [0.3, 0.3]])
    mask = torch.tensor([[True, True], [False, False]])
    loss = minimum_risk_loss(log_p, rewards, sharpness=1.0, mask=mask)
    torch.testing.assert_close(loss, minimum_risk_loss(log_p[:1], rewards[:1], sharpness=1.0))
    loss.backward()
    assert log_p.grad is not None
    assert log_p.grad[1].tolist() == [0, 0]


def test_both_losses_sum_over_sentences() -> None:
    torch.manual_seed(2)
    log_p, rewards = torch.randn(4, 3), torch.rand(4, 3)
    for loss in (minimum_risk_loss, self_critical_loss):
        torch.testing.assert_close(loss(log_p[:1], rewards[:1]) + loss(log_p[1:], rewards[1:]), loss(log_p, rewards))


def test_self_critical_is_literal() -> None:
    log_p = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    loss = self_critical_loss(log_p, torch.tensor([[0.9, 0.2]]), torch.tensor([0.5]))
    assert loss.item() == pytest.approx(-(0.4 * -1 + -0.3 * -2) / 2)
    loss.backward()
    assert log_p.grad is not None
    # a sample better than the greedy translation is made likelier, a worse one less likely
    assert log_p.grad[0].tolist() == pytest.approx([-0.2, 0.15])


def test_leave_one_out_takes_the_mean_of_the_other_samples() -> None:
    rewards = torch.tensor([[1.0, 0.4, 0.1]])
    log_p = torch.tensor([[-1.0, -2.0, -3.0]], requires_grad=True)
    self_critical_loss(log_p, rewards).backward()
    assert log_p.grad is not None
    advantages = [1.0 - 0.25, 0.4 - 0.55, 0.1 - 0.7]
    assert log_p.grad[0].tolist() == pytest.approx([-a / 3 for a in advantages])


def test_equal_rewards_teach_nothing() -> None:
    log_p = torch.randn(2, 4, requires_grad=True)
    self_critical_loss(log_p, torch.full((2, 4), 0.5)).backward()
    assert log_p.grad is not None
    assert log_p.grad.abs().max() == 0


@pytest.mark.parametrize("baseline", ["greedy", "leave_one_out"])
def test_its_expected_gradient_over_every_pair_of_samples_is_exactly_that_of_the_expected_reward(baseline: str) -> None:
    logits = model()
    log_p = all_log_probabilities(logits)
    pairs = torch.tensor(list(itertools.product(range(9), repeat=2)))  # (81, 2): every draw of two samples
    chance = log_p.detach().exp()[pairs].prod(1)
    assert chance.sum().item() == pytest.approx(1)
    greedy = REWARDS[log_p.argmax()].reshape(1)
    total = torch.zeros_like(logits)
    for pair, weight in zip(pairs, chance, strict=True):
        chosen = greedy if baseline == "greedy" else "leave_one_out"
        loss = self_critical_loss(log_p[pair][None], REWARDS[pair][None], chosen)
        total += weight * torch.autograd.grad(loss, logits, retain_graph=True)[0]
    torch.testing.assert_close(total, exact_gradient(logits))


def test_self_critical_matches_finite_differences() -> None:
    torch.manual_seed(1)
    log_p = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    rewards = torch.rand(3, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: self_critical_loss(x, rewards), log_p)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="two samples"):
        self_critical_loss(torch.zeros(2, 1), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="2 sentences"):
        self_critical_loss(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3))
    for loss in (minimum_risk_loss, self_critical_loss):
        with pytest.raises(ValueError, match=r"\(N, K\)"):
            loss(torch.zeros(2, 3), torch.zeros(3, 2))
