"""Projection and loss in one equal torch's on the full logits: values, gradients, dtypes, memory."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lhy_lightning.seq2seq.losses.sequence_losses import label_smoothed_cross_entropy, projected_cross_entropy

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
TARGETS = torch.tensor([0, 2])


def random_rows(rows: int = 13, vocabulary: int = 11, width: int = 5, dtype: torch.dtype = torch.float64) -> Any:
    torch.manual_seed(0)
    states = torch.randn(rows, width, dtype=dtype, requires_grad=True)
    weight = torch.randn(vocabulary, width, dtype=dtype, requires_grad=True)
    bias = torch.randn(vocabulary, dtype=dtype, requires_grad=True)
    return states, weight, bias, torch.randint(0, vocabulary, (rows,))


def full(states: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, smoothing: float) -> Tensor:
    logits = F.linear(states, weight, bias)
    return F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="sum")


def test_literal_values() -> None:
    first = math.log(1 + math.exp(-2) + math.exp(-3))  # -log p of the target; the others are 2 and 3 further
    loss, nll = label_smoothed_cross_entropy(LOGITS, TARGETS, 0.3)
    assert nll.item() == pytest.approx(first + math.log(3))
    spread = 0.1 * (first + (first + 2) + (first + 3)) + 0.3 * math.log(3)
    assert loss.item() == pytest.approx(0.7 * (first + math.log(3)) + spread)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_smoothing_is_torchs_and_not_fairseqs_nor_joeynmts(smoothing: float) -> None:
    loss, nll = label_smoothed_cross_entropy(LOGITS, TARGETS, smoothing)
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS, TARGETS, label_smoothing=smoothing, reduction="sum"))
    torch.testing.assert_close(nll, F.cross_entropy(LOGITS, TARGETS, reduction="sum"))
    if smoothing:
        log_p = LOGITS.log_softmax(1)
        others = (1 - smoothing) * nll - smoothing / 2 * (log_p.sum() - log_p[[0, 1], TARGETS].sum())
        assert abs(others - loss) > 0.01


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("limit", [None, 44, 11, 1], ids=["whole", "four_rows", "one_row", "less_than_a_row"])
def test_loss_and_gradients_are_those_of_the_full_logits(smoothing: float, with_bias: bool, limit: int | None) -> None:
    states, weight, bias, targets = random_rows()
    bias = bias if with_bias else None
    inputs = [states, weight] + ([bias] if with_bias else [])
    loss, nll = projected_cross_entropy(states, weight, bias, targets, smoothing=smoothing, limit=limit)
    expected = full(states, weight, bias, targets, smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(nll, full(states, weight, bias, targets, 0.0).detach(), rtol=1e-10, atol=1e-10)
    assert not nll.requires_grad
    got, wanted = torch.autograd.grad(loss * 3, inputs), torch.autograd.grad(expected * 3, inputs)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_gradients_match_finite_differences() -> None:
    states, weight, bias, targets = random_rows(rows=4, vocabulary=6, width=3)

    def loss(*tensors: Tensor) -> Tensor:
        return projected_cross_entropy(*tensors, targets, smoothing=0.1, limit=12)[0]

    assert torch.autograd.gradcheck(loss, (states, weight, bias))


def test_float32_agrees_with_torch_to_1e_6_over_many_chunks() -> None:
    states, weight, bias, targets = random_rows(300, 500, 32, torch.float32)
    weight = (weight.detach() * 0.2).requires_grad_()
    loss, _ = projected_cross_entropy(states, weight, bias, targets, smoothing=0.1, limit=16 * 500)
    expected = full(states, weight, bias, targets, 0.1)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    got = torch.autograd.grad(loss / 300, [states, weight, bias])
    for one, other in zip(got, torch.autograd.grad(expected / 300, [states, weight, bias]), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_large_logits_neither_overflow_nor_lose_the_target() -> None:
    states = torch.tensor([[1000.0], [-1000.0]], requires_grad=True)
    weight = torch.tensor([[1.0], [0.0], [-1.0]])
    loss, _ = projected_cross_entropy(states, weight, None, torch.tensor([2, 2]))
    assert loss.item() == pytest.approx(2000.0)
    (gradient,) = torch.autograd.grad(loss, states)
    assert gradient.tolist() == [[2.0], [0.0]]


def test_without_gradient_the_values_are_the_same_and_no_gradient_is_prepared() -> None:
    states, weight, bias, targets = random_rows()
    expected = projected_cross_entropy(states, weight, bias, targets, smoothing=0.1)
    with torch.no_grad():
        silent = projected_cross_entropy(states, weight, bias, targets, smoothing=0.1)
    assert silent[0].equal(expected[0])
    assert silent[1].equal(expected[1])
    assert not silent[0].requires_grad
    with torch.inference_mode():
        assert projected_cross_entropy(states, weight, bias, targets, smoothing=0.1)[0].item() == expected[0].item()


@pytest.mark.parametrize("frozen", ["states", "weight", "bias"])
def test_a_frozen_input_gets_no_gradient_and_the_others_keep_theirs(frozen: str) -> None:
    states, weight, bias, targets = random_rows()
    inputs = {"states": states, "weight": weight, "bias": bias}
    inputs[frozen].requires_grad_(False)
    learned = [tensor for name, tensor in inputs.items() if name != frozen]
    loss, _ = projected_cross_entropy(states, weight, bias, targets, smoothing=0.1, limit=44)
    loss.backward()
    assert inputs[frozen].grad is None
    wanted = torch.autograd.grad(full(states, weight, bias, targets, 0.1), learned)
    for tensor, other in zip(learned, wanted, strict=True):
        torch.testing.assert_close(tensor.grad, other)


def test_a_weight_shared_with_the_embeddings_gets_both_gradients() -> None:
    _, weight, _, targets = random_rows()
    ids = targets.flip(0)
    loss, _ = projected_cross_entropy(F.embedding(ids, weight).tanh(), weight, None, targets, smoothing=0.1)
    (got,) = torch.autograd.grad(loss, weight)
    (wanted,) = torch.autograd.grad(full(F.embedding(ids, weight).tanh(), weight, None, targets, 0.1), weight)
    torch.testing.assert_close(got, wanted)


def test_a_retained_graph_gives_the_same_gradient_twice() -> None:
    states, weight, bias, targets = random_rows()
    loss, _ = projected_cross_entropy(states, weight, bias, targets)
    (loss * 2).backward(retain_graph=True)
    first = weight.grad.clone()
    (loss * 2).backward()
    torch.testing.assert_close(weight.grad, 2 * first)


def test_a_second_derivative_is_refused() -> None:
    states, weight, bias, targets = random_rows()
    loss, _ = projected_cross_entropy(states, weight, bias, targets)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(loss, states, create_graph=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_products_are_low_and_the_loss_is_float32(dtype: torch.dtype) -> None:
    states, weight, bias, targets = random_rows(64, 50, 16, torch.float32)
    with torch.autocast("cpu", dtype=dtype):
        loss, nll = projected_cross_entropy(states, weight, bias, targets, smoothing=0.1, limit=1000)
        expected = full(states, weight, bias, targets, 0.1)
    assert loss.dtype == nll.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    exact = torch.autograd.grad(full(states, weight, bias, targets, 0.1), [states, weight, bias])
    theirs = torch.autograd.grad(expected, [states, weight, bias])
    ours = torch.autograd.grad(loss, [states, weight, bias])
    for one, other, reference in zip(ours, theirs, exact, strict=True):
        assert one.dtype == torch.float32
        # as near to the float32 gradient as torch's own under autocast
        assert (one - reference).norm() <= 1.2 * (other - reference).norm()


def test_bfloat16_weights_without_autocast_give_bfloat16_gradients_and_a_float32_loss() -> None:
    states, weight, bias, targets = random_rows(20, 30, 8, torch.bfloat16)
    loss, _ = projected_cross_entropy(states, weight, bias, targets, limit=90)
    loss.backward()
    assert loss.dtype == torch.float32
    assert states.grad.dtype == weight.grad.dtype == bias.grad.dtype == torch.bfloat16
    torch.testing.assert_close(
        loss, full(states.float(), weight.float(), bias.float(), targets, 0.0), rtol=1e-2, atol=0
    )


def test_no_rows_give_zero_loss_and_zero_gradients() -> None:
    states, weight, bias, targets = random_rows(rows=0)
    loss, nll = projected_cross_entropy(states, weight, bias, targets, smoothing=0.1)
    loss.backward()
    assert loss.item() == nll.item() == 0
    assert states.grad.shape == (0, 5)
    assert weight.grad.abs().sum() == bias.grad.abs().sum() == 0


def test_the_loss_of_a_batch_is_the_sum_over_its_rows() -> None:
    states, weight, bias, targets = random_rows()
    whole, _ = projected_cross_entropy(states, weight, bias, targets, smoothing=0.1)
    halves = [
        projected_cross_entropy(states[rows], weight, bias, targets[rows], smoothing=0.1)[0]
        for rows in (slice(0, 4), slice(4, 13))
    ]
    torch.testing.assert_close(halves[0] + halves[1], whole)


def test_it_never_holds_all_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    states, weight, bias, targets = random_rows(64, 100, 4, torch.float32)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            largest = max([largest, *(t.numel() for t in torch.utils._pytree.tree_leaves(out) if torch.is_tensor(t))])
            return out

    with Watch():
        loss, _ = projected_cross_entropy(states, weight, bias, targets, smoothing=0.1, limit=800)
        loss.backward()
    assert largest <= 800


def test_wrong_shapes_and_smoothing_are_refused() -> None:
    states, weight, bias, targets = random_rows()
    with pytest.raises(ValueError, match="do not fit"):
        projected_cross_entropy(states, weight, bias, targets[1:])
    with pytest.raises(ValueError, match="smoothing"):
        projected_cross_entropy(states, weight, bias, targets, smoothing=1.5)
