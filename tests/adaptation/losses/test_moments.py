"""MMD and CORAL against loops over pairs of rows."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lhy_lightning.adaptation.losses.moments import FACTORS, coral, mmd


def domains(n: int = 5, m: int = 3, size: int = 4, shift: float = 1.0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(n, size), torch.randn(m, size) + shift


def mmd_by_loops(source: list[list[float]], target: list[list[float]], bandwidth: float | None) -> float:
    def squared(x: list[float], y: list[float]) -> float:
        return sum((a - b) ** 2 for a, b in zip(x, y, strict=True))

    rows = source + target
    if bandwidth is None:
        pairs = [squared(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]
        bandwidth = sum(pairs) / len(pairs)

    def kernel(some: list[list[float]], others: list[list[float]]) -> float:
        values = [math.exp(-squared(x, y) / (f * bandwidth)) for x in some for y in others for f in FACTORS]
        return sum(values) / len(values)

    return kernel(source, source) + kernel(target, target) - 2 * kernel(source, target)


@pytest.mark.parametrize("bandwidth", [None, 3.0])
def test_mmd_is_the_mean_over_all_pairs_and_kernels(bandwidth: float | None) -> None:
    source, target = domains()
    expected = mmd_by_loops(source.tolist(), target.tolist(), bandwidth)
    assert mmd(source, target, bandwidth=bandwidth).item() == pytest.approx(expected, rel=1e-5)


def test_mmd_of_equal_samples_is_zero_and_grows_with_the_shift() -> None:
    source, _ = domains(40)
    assert mmd(source, source.clone()).item() == pytest.approx(0, abs=1e-6)
    values = [mmd(*domains(40, 30, shift=shift)).item() for shift in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values)
    assert values[0] > 0  # biased: above zero for two samples of one distribution


def test_mmd_is_not_changed_by_where_the_features_lie() -> None:
    source, target = domains()
    torch.testing.assert_close(mmd(source + 100, target + 100), mmd(source, target), rtol=1e-4, atol=1e-5)


def test_rows_that_are_all_equal_give_zero_and_finite_gradients() -> None:
    source, target = torch.ones(3, 2, requires_grad=True), torch.ones(4, 2, requires_grad=True)
    value = mmd(source, target)
    value.backward()
    assert value.item() == 0
    assert source.grad is not None
    assert source.grad.isfinite().all()


def test_coral_is_the_papers_formula() -> None:
    source, target = domains(6, 5, 3)
    covariances = [np.cov(x.double().numpy(), rowvar=False) for x in (source, target)]
    expected = ((covariances[0] - covariances[1]) ** 2).sum() / (4 * 3**2)
    assert coral(source, target).item() == pytest.approx(expected, rel=1e-5)
    assert coral(source, source + 7).item() == pytest.approx(0, abs=1e-9)  # means do not count


def test_gradients_match_finite_differences() -> None:
    source, target = (x.double().requires_grad_() for x in domains())
    assert torch.autograd.gradcheck(lambda s, t: mmd(s, t, bandwidth=2.0), (source, target))
    assert torch.autograd.gradcheck(coral, (source, target))


@pytest.mark.parametrize("distance", [mmd, coral])
def test_half_precision_and_autocast_give_float32(distance) -> None:  # type: ignore[no-untyped-def]
    source, target = domains()
    outside = distance(source, target)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(distance(source, target), outside)
        assert distance(source.bfloat16(), target.bfloat16()).dtype == torch.float32


def test_wrong_shapes_and_kernels_are_errors() -> None:
    source, target = domains()
    for distance in (mmd, coral):
        with pytest.raises(ValueError, match=r"not \(5, 4\) and \(3, 3\)"):
            distance(source, target[:, :3])
    with pytest.raises(ValueError, match="at least 2 rows, not 5 of source and 1 of target"):
        coral(source, target[:1])
    with pytest.raises(ValueError, match="at least 1 rows"):
        mmd(source, target[:0])
    for wrong in ({"factors": ()}, {"factors": (1.0, 0.0)}, {"bandwidth": 0.0}):
        with pytest.raises(ValueError, match="above zero"):
            mmd(source, target, **wrong)  # type: ignore[arg-type]
