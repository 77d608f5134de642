"""The losses have the lecture's values, torch's where torch has them, and the right gradients."""

import math

import pytest
import torch
import torch.nn.functional as F

from lhy_lightning.cnn.fixmatch import fixmatch_loss
from lhy_lightning.cnn.losses import LOSSES, balanced_class_weights, cross_entropy, soft_targets, squared_error

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
LABELS = torch.tensor([0, 2])


def test_literal_values() -> None:
    first = math.log(1 + math.exp(-2) + math.exp(-3))
    assert cross_entropy(LOGITS, LABELS).item() == pytest.approx((first + math.log(3)) / 2)
    p = [math.exp(-first), math.exp(-2 - first), math.exp(-3 - first)]
    squares = (1 - p[0]) ** 2 + p[1] ** 2 + p[2] ** 2
    assert squared_error(LOGITS, LABELS).item() == pytest.approx((squares + 4 / 9 + 2 / 9) / 2)


def test_cross_entropy_is_torchs_with_smoothing() -> None:
    expected = F.cross_entropy(LOGITS, LABELS, label_smoothing=0.1)
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS, label_smoothing=0.1), expected)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients_match_finite_differences(loss) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    options = {
        "label_smoothing": 0.1,
        "class_weights": torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64),
        "mixed_label": torch.tensor([2, 2, 0, 1]),
        "mix": torch.tensor([0.3, 1.0, 0.0, 0.6], dtype=torch.float64),
    }
    if loss is squared_error:  # targets and softmax are float32 there
        options["class_weights"], options["mix"] = options["class_weights"].float(), options["mix"].float()
        assert torch.autograd.gradcheck(
            lambda x: loss(x, torch.tensor([0, 1, 2, 1]), **options), logits, eps=1e-2, atol=1e-3
        )
    else:
        assert torch.autograd.gradcheck(lambda x: loss(x, torch.tensor([0, 1, 2, 1]), **options), logits)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_mixed_labels_meet_in_the_middle(loss) -> None:  # type: ignore[no-untyped-def]
    mixed = torch.tensor([1, 0])
    all_first = loss(LOGITS, LABELS, mixed_label=mixed, mix=torch.ones(2))
    torch.testing.assert_close(all_first, loss(LOGITS, LABELS))
    all_second = loss(LOGITS, LABELS, mixed_label=mixed, mix=torch.zeros(2))
    torch.testing.assert_close(all_second, loss(LOGITS, mixed))
    target = soft_targets(LABELS, 3, mixed_label=mixed, mix=torch.full((2,), 0.25))
    assert target.tolist() == [[0.25, 0.75, 0.0], [0.75, 0.0, 0.25]]
    half = cross_entropy(LOGITS, LABELS, mixed_label=mixed, mix=torch.full((2,), 0.25))
    torch.testing.assert_close(half, F.cross_entropy(LOGITS, target))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_two_halves_of_a_batch_average_to_the_whole_with_class_weights(loss) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 3), torch.randint(0, 3, (8,))
    weights = torch.tensor([0.2, 1.0, 3.0])
    halves = [loss(logits[half], labels[half], class_weights=weights) for half in (slice(0, 4), slice(4, 8))]
    torch.testing.assert_close(sum(halves) / 2, loss(logits, labels, class_weights=weights))


def test_far_from_the_target_the_squared_error_is_flat_and_cross_entropy_is_not() -> None:
    logits = torch.tensor([[-10.0, 10.0]], requires_grad=True)
    (flat,) = torch.autograd.grad(squared_error(logits, torch.tensor([0])), logits)
    (steep,) = torch.autograd.grad(cross_entropy(logits, torch.tensor([0])), logits)
    assert flat.abs().max() < 1e-7
    assert steep.abs().max() > 0.99


def test_balanced_class_weights_average_to_one_over_rows() -> None:
    weights = balanced_class_weights((10, 30, 60))
    torch.testing.assert_close(weights, torch.tensor([100 / 30, 100 / 90, 100 / 180]))
    assert (weights * torch.tensor([10, 30, 60])).sum().item() == pytest.approx(100)
    with pytest.raises(ValueError, match="rows of every class"):
        balanced_class_weights((3, 0))


def test_fixmatch_averages_over_all_rows_and_only_confident_ones_count() -> None:
    weak = torch.tensor([[9.0, 0.0], [0.1, 0.0]], requires_grad=True)
    strong = torch.tensor([[0.0, 0.0], [3.0, 0.0]], requires_grad=True)
    loss, label, confident = fixmatch_loss(weak, strong, 0.95)
    assert loss.item() == pytest.approx(math.log(2) / 2)
    assert label.tolist() == [0, 0]
    assert confident.tolist() == [True, False]
    loss.backward()
    assert weak.grad is None
    assert strong.grad is not None
    assert strong.grad[1].tolist() == [0, 0]
