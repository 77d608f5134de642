"""The diagonal loss, its figure and the coverage loss are the papers' sums, written out in loops."""

import math

import pytest
import torch
from torch import Tensor

from lhy_lightning.seq2seq.losses.guided_attention import coverage_loss, diagonality, guided_attention_loss

SOURCE, TARGET = [4, 2, 5], [3, 6, 1]  # tokens of each sentence


def masks() -> tuple[Tensor, Tensor]:
    return torch.arange(5) < torch.tensor(SOURCE)[:, None], torch.arange(6) < torch.tensor(TARGET)[:, None]


def random_attention(dtype: torch.dtype = torch.float32) -> Tensor:
    """(3, 6, 5) that sums to one over source tokens; rows of target padding hold numbers too, as networks give them."""
    torch.manual_seed(0)
    source_mask, _ = masks()
    return torch.randn(3, 6, 5, dtype=dtype).masked_fill(~source_mask[:, None], -math.inf).softmax(-1)


def test_guided_loss_is_tachibanas_mean_over_real_pairs() -> None:
    attention, total, pairs = random_attention(), 0.0, 0
    for row, (n_all, t_all) in enumerate(zip(SOURCE, TARGET, strict=True)):
        for t in range(t_all):
            for n in range(n_all):
                cost = 1 - math.exp(-((n / n_all - t / t_all) ** 2) / (2 * 0.3**2))
                total += attention[row, t, n].item() * cost
                pairs += 1
    assert guided_attention_loss(attention, *masks(), width=0.3).item() == pytest.approx(total / pairs, rel=1e-5)


def test_diagonality_is_the_share_of_attention_in_the_band() -> None:
    attention, total = random_attention(), 0.0
    for row, (n_all, t_all) in enumerate(zip(SOURCE, TARGET, strict=True)):
        for t in range(t_all):
            near = [n for n in range(n_all) if abs(n / n_all - t / t_all) <= 0.3]
            total += sum(attention[row, t, n].item() for n in near)
    assert diagonality(attention, *masks(), band=0.3).item() == pytest.approx(total / sum(TARGET), rel=1e-5)


def test_coverage_loss_is_the_overlap_with_what_was_attended_before() -> None:
    attention, total = random_attention(), 0.0
    for row, t_all in enumerate(TARGET):
        covered = [0.0] * 5
        for t in range(t_all):
            now = attention[row, t].tolist()
            total += sum(min(a, c) for a, c in zip(now, covered, strict=True))
            covered = [a + c for a, c in zip(now, covered, strict=True)]
    loss = coverage_loss(attention, masks()[1])
    assert loss.item() == pytest.approx(total / sum(TARGET), rel=1e-5)


def test_coverage_loss_of_a_small_case_by_hand() -> None:
    attention = torch.tensor([[[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]]])
    assert coverage_loss(attention, torch.ones(1, 3, dtype=torch.bool)).item() == pytest.approx((0 + 0.5 + 1.0) / 3)


def test_the_diagonal_costs_nothing_and_the_other_diagonal_much() -> None:
    mask, eye = torch.ones(1, 8, dtype=torch.bool), torch.eye(8)[None]
    assert guided_attention_loss(eye, mask, mask).item() == 0
    assert diagonality(eye, mask, mask).item() == 1
    assert guided_attention_loss(eye.flip(2), mask, mask) > 0.06  # half of 1/8
    assert diagonality(eye.flip(2), mask, mask) <= 0.25


def test_uniform_attention_over_long_sentences_has_the_stated_diagonality() -> None:
    mask = torch.ones(1, 400, dtype=torch.bool)
    assert diagonality(torch.full((1, 400, 400), 1 / 400), mask, mask).item() == pytest.approx(0.36, abs=0.01)


def test_more_padding_changes_nothing() -> None:
    attention, (source_mask, target_mask) = random_attention(), masks()
    wider = torch.nn.functional.pad(attention, (0, 3, 0, 2), value=0.7)
    wide_source = torch.nn.functional.pad(source_mask, (0, 3))
    wide_target = torch.nn.functional.pad(target_mask, (0, 2))
    for figure in (guided_attention_loss, diagonality):
        torch.testing.assert_close(figure(wider, wide_source, wide_target), figure(attention, source_mask, target_mask))


def test_a_batch_without_tokens_costs_zero() -> None:
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    attention = torch.full((2, 3, 3), 1 / 3)
    assert guided_attention_loss(attention, nothing, nothing).item() == 0
    assert diagonality(attention, nothing, nothing).item() == 0
    assert coverage_loss(attention, nothing).item() == 0


def test_gradients_match_finite_differences() -> None:
    attention = random_attention(torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: guided_attention_loss(a, *masks()), attention)
    assert torch.autograd.gradcheck(lambda a: coverage_loss(a, masks()[1]), attention)
