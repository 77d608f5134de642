from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from lhy_lightning.layers.gradient_reversal import GradientReversal, gradient_reversal


def features(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def finite_difference(function: Any, at: Tensor, step: float = 1e-6) -> Tensor:
    result = torch.zeros_like(at)
    for place in range(at.numel()):
        shift = torch.zeros(at.numel(), dtype=at.dtype)
        shift[place] = step
        shift = shift.view_as(at)
        result.view(-1)[place] = (function(at.detach() + shift) - function(at.detach() - shift)) / (2 * step)
    return result


@pytest.mark.parametrize("coefficient", [0.0, 0.3, 1.0, 2.5])
def test_the_gradient_is_minus_lambda_times_the_finite_difference(coefficient: float) -> None:
    torch.manual_seed(0)
    x = features(4, 3)
    head = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)).double()

    def loss(x: Tensor) -> Tensor:
        return torch.nn.functional.softplus(head(x)).mean()

    loss(gradient_reversal(x, coefficient)).backward()
    assert torch.allclose(x.grad, -coefficient * finite_difference(loss, x), atol=1e-8)  # type: ignore[arg-type]


def test_forward_is_a_view_and_not_a_copy() -> None:
    x = torch.randn(3, 2)
    assert gradient_reversal(x, 0.5).data_ptr() == x.data_ptr()


def test_what_follows_takes_its_gradient_as_it_is() -> None:
    x, head = features(6, 3), nn.Linear(3, 1).double()
    head(gradient_reversal(x, 0.7)).sum().backward()
    assert torch.allclose(head.weight.grad, x.detach().sum(0, keepdim=True))  # type: ignore[arg-type]


def test_the_second_derivative_has_the_factor_again() -> None:
    """The gradient with respect to x is -λ f'(x), and that of its sum is -λ f''(x)."""
    x = features(5)
    (first,) = torch.autograd.grad(gradient_reversal(x, 0.4).pow(3).sum(), x, create_graph=True)
    assert torch.allclose(first, -0.4 * 3 * x**2)
    # the reversal stands between x and f' too, so that its factor comes in once more
    (second,) = torch.autograd.grad(first.sum(), x)
    assert torch.allclose(second, (-0.4) ** 2 * 6 * x)


def test_a_layer_whose_coefficient_changes_every_step() -> None:
    layer = GradientReversal()
    for coefficient in (0.0, 0.25, 1.0):
        layer.coefficient.fill_(coefficient)
        x = torch.ones(3, requires_grad=True)
        layer(x).sum().backward()
        assert torch.equal(x.grad, torch.full((3,), -coefficient))  # type: ignore[arg-type]
    assert not layer.state_dict()
    assert repr(layer) == "GradientReversal(coefficient=1)"


def test_a_coefficient_that_changes_before_the_backward_is_refused() -> None:
    layer, x = GradientReversal(1.0), torch.ones(3, requires_grad=True)
    out = layer(x).sum()
    layer.coefficient.fill_(0.5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_half_precision_gradients_are_rounded_once() -> None:
    """Under autocast the coefficient stays float32: 0.3 in bfloat16 would be 0.30078."""
    gradient = torch.randn(1000).bfloat16()
    x = torch.zeros(1000, dtype=torch.bfloat16, requires_grad=True)
    gradient_reversal(x, torch.tensor(0.3)).backward(gradient)
    assert torch.equal(x.grad, (gradient.float() * -0.3).bfloat16())  # type: ignore[arg-type]


def test_autocast_changes_nothing_but_the_precision_of_the_layers() -> None:
    torch.manual_seed(0)
    body, head, layer = nn.Linear(8, 8), nn.Linear(8, 1), GradientReversal(0.3)
    x, gradients = torch.randn(16, 8), []
    for reverse in (True, False):
        body.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            hidden = body(x)
            out = head(layer(hidden) if reverse else hidden).float().mean()
        out.backward()
        gradients.append(body.weight.grad.clone())  # type: ignore[union-attr]
    assert torch.allclose(gradients[0], -0.3 * gradients[1], rtol=0.02, atol=1e-5)


def test_compiled_once_for_all_coefficients() -> None:
    torch._dynamo.reset()
    layer, compiled = GradientReversal(), CompileCounterWithBackend("aot_eager")
    first = nn.Linear(4, 4)
    network = torch.compile(nn.Sequential(first, layer, nn.Linear(4, 1)), backend=compiled)
    x = torch.randn(8, 4)
    gradients = []
    for coefficient in (0.0, 0.1, 0.5, 1.0):
        layer.coefficient.fill_(coefficient)
        first.zero_grad()
        network(x).sum().backward()
        gradients.append(first.weight.grad.clone())  # type: ignore[union-attr]
    assert compiled.frame_count == 1
    assert torch.equal(gradients[0], torch.zeros(4, 4))
    assert torch.allclose(gradients[1], 0.1 * gradients[3])
    assert torch.allclose(gradients[2], 0.5 * gradients[3])


def test_one_step_is_the_minimax_update_by_hand() -> None:
    """f = a x, d = b f, L = softplus(-d) on a source row: a goes up the loss by λ, b goes down."""
    a, b, x, rate, coefficient = 0.7, -0.4, 1.3, 0.1, 0.5
    first, second = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (a, b))
    torch.nn.functional.softplus(-second * gradient_reversal(first * x, coefficient)).backward()
    with torch.no_grad():
        first -= rate * first.grad  # type: ignore[operator]
        second -= rate * second.grad  # type: ignore[operator]
    slope = -1 / (1 + torch.exp(torch.tensor(b * a * x, dtype=torch.float64)))  # dL/dd
    assert float(first.detach()) == pytest.approx(float(a + rate * coefficient * slope * b * x), abs=1e-12)
    assert float(second.detach()) == pytest.approx(float(b - rate * slope * a * x), abs=1e-12)
