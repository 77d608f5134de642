"""The paper's two schedules at literal values."""

import pytest

from lhy_lightning.adaptation.schedules import reversal_coefficient
from lhy_lightning.optim.schedules import annealed_rate


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.0, 0.0), (0.1, 0.46211716), (0.25, 0.84828364), (0.5, 0.98661430), (1.0, 0.99990920)]
)
def test_lambda_rises_from_zero(progress: float, expected: float) -> None:
    assert reversal_coefficient(progress) == pytest.approx(expected, abs=1e-8)
    assert reversal_coefficient(progress, maximum=0.3) == pytest.approx(0.3 * expected, abs=1e-8)


def test_gamma_is_how_steep_it_is() -> None:
    assert reversal_coefficient(0.5, gamma=2.0) == pytest.approx(0.46211716, abs=1e-8)
    assert reversal_coefficient(1.0, gamma=0.0) == 0.0


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.0, 1.0), (0.1, 0.59460356), (0.5, 0.26084743), (1.0, 0.16556003)]
)
def test_the_learning_rate_falls(progress: float, expected: float) -> None:
    assert annealed_rate(progress) == pytest.approx(expected, abs=1e-7)


def test_alpha_and_beta() -> None:
    assert annealed_rate(1.0, alpha=3.0, beta=0.5) == 0.5


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_progress_outside_of_training_is_an_error(progress: float) -> None:
    with pytest.raises(ValueError, match="share of training"):
        reversal_coefficient(progress)
    with pytest.raises(ValueError, match="share of training"):
        annealed_rate(progress)
