"""CDAN's maps against loops, its randomized map against the product that it stands for, and its weights."""

import math

import pytest
import torch

from lhy_lightning.adaptation.losses.conditional_adversarial import (
    MultilinearMap,
    RandomizedMap,
    conditional_map,
    entropy_weights,
    multilinear_map,
)


def rows(count: int = 3, features: int = 4, classes: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(count, features), torch.randn(count, classes).softmax(1)


def test_the_map_is_every_feature_times_every_probability() -> None:
    features, probabilities = rows()
    result = multilinear_map(features, probabilities)
    assert result.shape == (3, 8)
    for n in range(3):
        for d in range(4):
            for k in range(2):
                assert result[n, d * 2 + k].item() == (features[n, d] * probabilities[n, k]).item()


def test_inner_products_of_the_randomized_map_are_those_of_the_whole_one() -> None:
    features, probabilities = rows(5, 6, 3)
    whole = multilinear_map(features, probabilities)
    short = RandomizedMap(6, 3, output_size=200_000)(features, probabilities)
    torch.testing.assert_close(short @ short.T, whole @ whole.T, atol=0.15, rtol=0.05)


def test_the_randomized_map_is_its_formula_and_is_kept_in_the_state() -> None:
    features, probabilities = rows()
    randomized = RandomizedMap(4, 2, output_size=5)
    expected = (features @ randomized.feature_projection) * (probabilities @ randomized.class_projection) / 5**0.5
    torch.testing.assert_close(randomized(features, probabilities), expected)
    assert not list(randomized.parameters())
    other = RandomizedMap(4, 2, output_size=5)
    assert not torch.equal(other(features, probabilities), expected)
    other.load_state_dict(randomized.state_dict())
    torch.testing.assert_close(other(features, probabilities), expected)


@pytest.mark.parametrize(("features", "classes", "kind", "size"), [
    (128, 32, MultilinearMap, 4096), (129, 32, RandomizedMap, 1024), (256, 31, RandomizedMap, 1024),
])  # fmt: skip
def test_the_randomized_map_is_taken_above_4096(features: int, classes: int, kind: type, size: int) -> None:
    chosen = conditional_map(features, classes)
    assert type(chosen) is kind
    assert chosen.output_size == size
    assert chosen(*rows(2, features, classes)).shape == (2, size)


def test_weights_follow_the_entropy_and_sum_to_the_rows() -> None:
    probabilities = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.9, 0.1]], requires_grad=True)
    entropies = [math.log(2), 0.0, -0.9 * math.log(0.9) - 0.1 * math.log(0.1)]
    raw = [1 + math.exp(-entropy) for entropy in entropies]
    weights = entropy_weights(probabilities)
    assert weights.tolist() == pytest.approx([3 * w / sum(raw) for w in raw])
    assert weights.sum().item() == pytest.approx(3)
    assert not weights.requires_grad


def test_gradients_reach_features_and_probabilities() -> None:
    features, probabilities = (x.double().requires_grad_() for x in rows())
    assert torch.autograd.gradcheck(multilinear_map, (features, probabilities))
    assert torch.autograd.gradcheck(RandomizedMap(4, 2, output_size=3), (features, probabilities))


def test_half_precision_and_autocast_give_float32() -> None:
    features, probabilities = rows()
    randomized = RandomizedMap(4, 2)
    outside = randomized(features, probabilities)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(randomized(features, probabilities), outside)
        for map_ in (randomized, multilinear_map):
            assert map_(features.bfloat16(), probabilities).dtype == torch.float32
    assert entropy_weights(probabilities.bfloat16()).dtype == torch.float32


def test_wrong_shapes_are_errors() -> None:
    features, probabilities = rows()
    for map_ in (RandomizedMap(4, 2), multilinear_map):
        with pytest.raises(ValueError, match=r"not \(3, 4\) and \(2, 2\)"):
            map_(features, probabilities[:2])
    with pytest.raises(ValueError, match=r"not \(2,\)"):
        entropy_weights(probabilities[0])
    with pytest.raises(ValueError, match="at least one"):
        RandomizedMap(4, 0)
