import pytest
import torch

from lhy_lightning.layers.dropout import add_dropped, dropout, kept


def test_values_are_dropped_at_the_rate_and_the_others_scaled_so_that_the_mean_stays():
    torch.manual_seed(0)
    x = torch.ones(1000, 1001)
    y = dropout(x, 0.1, training=True)
    assert (y == 0).float().mean().item() == pytest.approx(0.1, abs=0.001)
    assert y.mean().item() == pytest.approx(1, abs=0.001)
    assert y[y != 0].unique().tolist() == pytest.approx([1 / 0.9], rel=1e-4)


def test_draws_are_independent_of_their_neighbours_though_four_share_a_word():
    torch.manual_seed(0)
    kept_values, _ = kept(torch.empty(1 << 20), 0.3)
    centred = kept_values - 0.7
    for distance in (1, 2, 3, 4, 5, 8):
        correlation = (centred[distance:] * centred[:-distance]).mean() / 0.21
        assert abs(correlation.item()) < 0.005


def test_the_sum_in_one_pass_is_the_residual_plus_dropout_and_has_its_gradient():
    x, residual = torch.randn(7, 5, requires_grad=True), torch.randn(7, 5, requires_grad=True)
    torch.manual_seed(3)
    fused = add_dropped(residual, x, 0.4, training=True)
    torch.manual_seed(3)
    apart = residual + dropout(x, 0.4, training=True)
    assert torch.allclose(fused, apart, atol=1e-6)
    weight = torch.randn(7, 5)
    for a, b in zip(
        torch.autograd.grad(fused, (residual, x), weight),
        torch.autograd.grad(apart, (residual, x), weight),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_types_stay(dtype):
    x = torch.ones(5, 3, dtype=dtype)
    assert dropout(x, 0.5, training=True).dtype == dtype
    assert set(dropout(x, 0.5, training=True).flatten().tolist()) <= {0.0, 2.0}


def test_nothing_is_dropped_in_evaluation_nor_at_rate_zero():
    x = torch.randn(4, 4)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x
    assert torch.equal(add_dropped(x, x, 0.5, training=False), x + x)


def test_a_rate_outside_of_zero_to_one_is_an_error():
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        dropout(torch.ones(2), 1.0, training=True)
