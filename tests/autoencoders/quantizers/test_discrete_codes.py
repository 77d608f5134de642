"""Binary and one-hot codes: what comes out, and the gradient that is sent."""

from __future__ import annotations

from math import exp

import pytest
import torch

from lhy_lightning.autoencoders.quantizers.codebook_usage import code_perplexity as perplexity
from lhy_lightning.autoencoders.quantizers.codebook_usage import collapse_warning, usage
from lhy_lightning.autoencoders.quantizers.discrete_codes import BinaryCodes, OneHotCodes, gumbel_temperature


@pytest.mark.parametrize("gradient", ["straight_through", "gumbel"])
def test_codes_are_hard_in_training_and_evaluation(gradient: str) -> None:
    torch.manual_seed(0)
    logits = torch.randn(50, 6)
    for training in (True, False):
        one_hot = OneHotCodes(gradient).train(training)(logits)  # type: ignore[arg-type]
        assert sorted(one_hot.unique().tolist()) == [0.0, 1.0]
        assert one_hot.sum(1).tolist() == [1.0] * 50
        bits = BinaryCodes(gradient).train(training)(logits)  # type: ignore[arg-type]
        assert sorted(bits.unique().tolist()) == [0.0, 1.0]
    assert torch.equal(one_hot.argmax(1), logits.argmax(1))
    assert torch.equal(bits, (logits > 0).float())


def test_the_straight_through_gradient_is_that_of_the_softmax_and_the_sigmoid() -> None:
    logits, weights = torch.randn(5, 4), torch.randn(5, 4)
    for codes, soft in (
        (OneHotCodes("straight_through", 0.7), lambda z: (z / 0.7).softmax(-1)),
        (BinaryCodes("straight_through", 0.7), lambda z: (z / 0.7).sigmoid()),
    ):
        one, other = logits.clone().requires_grad_(), logits.clone().requires_grad_()
        (codes.train()(one) * weights).sum().backward()
        (soft(other) * weights).sum().backward()
        torch.testing.assert_close(one.grad, other.grad)


def test_gumbel_noise_draws_from_the_softmax_and_from_the_sigmoid() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([1.0, 0.0, -1.0])
    drawn = OneHotCodes("gumbel").train()(logits.expand(40_000, 3)).mean(0)
    torch.testing.assert_close(drawn, logits.softmax(0), atol=0.01, rtol=0)
    bits = BinaryCodes("gumbel").train()(logits.expand(40_000, 3)).mean(0)
    torch.testing.assert_close(bits, logits.sigmoid(), atol=0.01, rtol=0)


def test_the_temperature_falls_to_its_end() -> None:
    assert gumbel_temperature(0) == 1.0
    assert gumbel_temperature(1_000) == pytest.approx(exp(-0.1))
    assert gumbel_temperature(10_000) == 0.5
    assert gumbel_temperature(100, start=2.0, end=0.1, rate=0.01) == pytest.approx(2 * exp(-1))


def test_an_unknown_gradient_is_named() -> None:
    for kind in (OneHotCodes, BinaryCodes):
        with pytest.raises(ValueError, match="gradient is one of straight_through, gumbel, not 'none'"):
            kind("none")  # type: ignore[arg-type]


def test_perplexity_and_usage_at_literal_counts() -> None:
    assert float(perplexity(torch.tensor([5, 5, 5, 5]))) == pytest.approx(4.0)
    assert float(perplexity(torch.tensor([7, 0, 0, 0]))) == pytest.approx(1.0)
    assert perplexity(torch.tensor([[1, 1], [2, 0]])).tolist() == pytest.approx([2.0, 1.0])
    assert usage(torch.tensor([3, 0, 1, 0])).item() == 0.5


def test_a_collapse_is_told_in_plain_words_and_nothing_else_is() -> None:
    counts = torch.zeros(64)
    counts[:3] = 100
    assert "3 of 64 codes are used, as if there were 3.0 of equal use" in (collapse_warning(counts) or "")
    assert collapse_warning(torch.ones(64)) is None
    assert "64 of 64" in (collapse_warning(torch.ones(64).index_fill(0, torch.tensor([0]), 1e6)) or "")
    assert collapse_warning(torch.tensor([1.0, 1.0])) is None
