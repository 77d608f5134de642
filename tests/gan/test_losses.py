"""The adversarial losses have the papers' values, at the optimum too, and the gradients that the lecture speaks of."""

import math

import pytest
import torch
from torch import Tensor

from lhy_lightning.gan.losses import LOSSES, discriminator_loss, generator_loss

REAL, FAKE = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])


def log_sigmoid(score: float) -> float:
    return -math.log(1 + math.exp(-score))


CROSS_ENTROPY = -(log_sigmoid(2) + log_sigmoid(-1)) / 2 - (log_sigmoid(-0.5) + log_sigmoid(3)) / 2
VALUES = {
    "minimax": (CROSS_ENTROPY, (log_sigmoid(-0.5) + log_sigmoid(3)) / 2),
    "non_saturating": (CROSS_ENTROPY, -(log_sigmoid(0.5) + log_sigmoid(-3)) / 2),
    "least_squares": ((1 + 4) / 4 + (0.25 + 9) / 4, (0.25 + 16) / 4),
    "hinge": ((0 + 2) / 2 + (1.5 + 0) / 2, 1.25),
    "wasserstein": (-1.25 - 0.5, 1.25),
}


@pytest.mark.parametrize("name", LOSSES)
def test_literal_values(name: str) -> None:
    discriminator, generator = VALUES[name]
    assert discriminator_loss(name, REAL, FAKE).item() == pytest.approx(discriminator)
    assert generator_loss(name, FAKE).item() == pytest.approx(generator)


@pytest.mark.parametrize("name", LOSSES)
def test_a_patch_map_costs_what_its_scores_cost_in_a_row(name: str) -> None:
    real, fake = REAL.repeat(6).view(3, 1, 2, 2), FAKE.repeat(6).view(3, 1, 2, 2)
    torch.testing.assert_close(discriminator_loss(name, real, fake), discriminator_loss(name, REAL, FAKE))
    torch.testing.assert_close(generator_loss(name, fake), generator_loss(name, FAKE))


@pytest.mark.parametrize("name", LOSSES)
def test_two_halves_of_a_batch_average_to_the_whole(name: str) -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(8), torch.randn(8)
    halves = [discriminator_loss(name, real[i::2], fake[i::2]) for i in range(2)]
    torch.testing.assert_close((halves[0] + halves[1]) / 2, discriminator_loss(name, real, fake))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_match_finite_differences(name: str) -> None:
    torch.manual_seed(0)
    real, fake = (torch.randn(6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda r, f: discriminator_loss(name, r, f), (real, fake))
    assert torch.autograd.gradcheck(lambda f: generator_loss(name, f), fake)


@pytest.mark.parametrize("name", LOSSES)
def test_sure_scores_cost_finite_amounts_and_half_precision_is_widened(name: str) -> None:
    sure = torch.tensor([3e4, -3e4]).half().requires_grad_()
    for loss in (discriminator_loss(name, sure, sure), generator_loss(name, sure)):
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        (gradient,) = torch.autograd.grad(loss, sure)
        assert gradient.isfinite().all()


def normal_quantiles(mean: float, deviation: float, count: int) -> Tensor:
    """Midpoints in probability: a mean over them is the integral by the density."""
    middle = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.distributions.Normal(mean, deviation).icdf(middle)


def test_at_the_optimal_discriminator_the_minimax_value_is_two_jsd_minus_log_4() -> None:
    p, q = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(1.5, 0.7)
    x = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    log_p, log_q = p.log_prob(x), q.log_prob(x)
    log_mean = torch.logaddexp(log_p, log_q) - math.log(2)
    divergence = torch.trapezoid(log_p.exp() * (log_p - log_mean) + log_q.exp() * (log_q - log_mean), x) / 2

    def optimal(x: Tensor) -> Tensor:  # the logit of p / (p + q)
        return p.log_prob(x) - q.log_prob(x)

    real, fake = normal_quantiles(0.0, 1.0, 20000), normal_quantiles(1.5, 0.7, 20000)
    value = -discriminator_loss("minimax", optimal(real), optimal(fake))
    assert value.item() == pytest.approx(2 * divergence.item() - math.log(4), abs=1e-4)
    for change in (0.1, -0.1):  # and it is the optimum
        assert discriminator_loss("minimax", optimal(real) + change, optimal(fake) + change) > -value


def test_two_points_moving_apart_stay_at_log_2_for_jensen_shannon_and_grow_for_wasserstein() -> None:
    for distance in (0.1, 1.0, 10.0):
        real, fake = torch.tensor([0.0]), torch.tensor([distance])
        # the best discriminator of disjoint points is sure; the best 1-Lipschitz critic falls along the line
        sure = 100 * torch.ones(1)
        divergence = (math.log(4) - discriminator_loss("minimax", sure, -sure)) / 2
        assert divergence.item() == pytest.approx(math.log(2))
        assert -discriminator_loss("wasserstein", -real, -fake).item() == pytest.approx(distance)


def test_a_sure_discriminator_stops_the_minimax_generator_and_not_the_non_saturating_one() -> None:
    scores = torch.tensor([-20.0], requires_grad=True)
    (flat,) = torch.autograd.grad(generator_loss("minimax", scores), scores)
    (steep,) = torch.autograd.grad(generator_loss("non_saturating", scores), scores)
    assert flat.abs().item() < 1e-8
    assert steep.item() == pytest.approx(-1.0)


def test_the_hinge_discriminator_learns_nothing_beyond_the_margin() -> None:
    real, fake = torch.tensor([1.5, 0.5], requires_grad=True), torch.tensor([-1.5, -0.5], requires_grad=True)
    discriminator_loss("hinge", real, fake).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.tolist() == [0.0, -0.5]
    assert fake.grad.tolist() == [0.0, 0.5]


def test_an_unknown_loss_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="no adversarial loss is called 'wassertein'; did you mean 'wasserstein'"):
        generator_loss("wassertein", FAKE)
    with pytest.raises(ValueError, match="one of minimax, non_saturating, least_squares, hinge, wasserstein"):
        discriminator_loss("xyz", REAL, FAKE)
