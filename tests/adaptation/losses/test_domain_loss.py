"""The domain classifier's loss and accuracy are means of the two domains' means."""

import math

import pytest
import torch

from lhy_lightning.adaptation.losses.domain_loss import domain_accuracy, domain_loss

SOURCE, TARGET = torch.tensor([-2.0, 1.0, 0.5]), torch.tensor([3.0, -1.0])


def test_it_is_cross_entropy_with_source_0_and_target_1() -> None:
    probability = [1 / (1 + math.exp(-score)) for score in (-2.0, 1.0, 0.5, 3.0, -1.0)]
    source = -sum(math.log(1 - p) for p in probability[:3]) / 3
    target = -sum(math.log(p) for p in probability[3:]) / 2
    assert domain_loss(SOURCE, TARGET).item() == pytest.approx((source + target) / 2)


def test_nothing_told_apart_costs_log_2_at_any_batch_sizes() -> None:
    assert domain_loss(torch.zeros(7), torch.zeros(2)).item() == pytest.approx(math.log(2))


def test_repeating_one_domains_rows_changes_nothing() -> None:
    torch.testing.assert_close(domain_loss(SOURCE.repeat(5), TARGET), domain_loss(SOURCE, TARGET))
    torch.testing.assert_close(domain_accuracy(SOURCE.repeat(5), TARGET), domain_accuracy(SOURCE, TARGET))


def test_weights_are_shares_in_their_own_domains_mean() -> None:
    weights = torch.tensor([0.0, 2.0, 2.0]), torch.tensor([3.0, 0.0])
    torch.testing.assert_close(domain_loss(SOURCE, TARGET, *weights), domain_loss(SOURCE[1:], TARGET[:1]))
    torch.testing.assert_close(
        domain_loss(SOURCE, TARGET, torch.full((3,), 4.0), torch.full((2,), 0.1)), domain_loss(SOURCE, TARGET)
    )


def test_gradients_match_finite_differences() -> None:
    torch.manual_seed(0)
    source, target = (torch.randn(n, dtype=torch.float64, requires_grad=True) for n in (5, 3))
    weights = torch.rand(5, dtype=torch.float64), torch.rand(3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s, t: domain_loss(s, t, *weights), (source, target))


def test_accuracy_is_the_mean_of_two_and_half_for_a_constant() -> None:
    assert domain_accuracy(SOURCE, TARGET).item() == pytest.approx((1 / 3 + 1 / 2) / 2)
    for constant in (-1.0, 0.0, 1.0):
        assert domain_accuracy(torch.full((9,), constant), torch.full((2,), constant)).item() == 0.5


def test_half_precision_gives_float32_and_sure_logits_finite_losses() -> None:
    sure = torch.tensor([3e4, -3e4]).half()
    assert domain_loss(sure, sure).dtype == torch.float32
    assert domain_loss(sure, sure).isfinite()
    assert domain_accuracy(sure, sure).dtype == torch.float32


def test_wrong_shapes_and_empty_domains_are_errors() -> None:
    with pytest.raises(ValueError, match=r"source_logits are \(N,\), one a row and at least one row, not \(3, 1\)"):
        domain_loss(SOURCE[:, None], TARGET)
    with pytest.raises(ValueError, match=r"target_logits .* not \(0,\)"):
        domain_accuracy(SOURCE, TARGET[:0])
    with pytest.raises(ValueError, match=r"\(2,\) weights for \(3,\) rows"):
        domain_loss(SOURCE, TARGET, TARGET)
