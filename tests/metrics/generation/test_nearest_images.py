"""The nearest training picture is found, whatever the chunks, in pixels and in features."""

import pytest
import torch

from lhy_lightning.metrics.generation.nearest_images import memorisation_ratio, nearest_pictures

GENERATOR = torch.Generator().manual_seed(0)
TRAINING = torch.rand(50, 1, 4, 4, generator=GENERATOR) * 2 - 1
SAMPLES = torch.rand(9, 1, 4, 4, generator=GENERATOR) * 2 - 1


@pytest.mark.parametrize("chunk", [4, 1024])
def test_it_is_the_smallest_of_all_distances(chunk: int) -> None:
    distances = (SAMPLES[:, None] - TRAINING[None]).flatten(2).square().mean(2).sqrt()  # (9, 50)
    expected = distances.topk(3, dim=1, largest=False)
    found = nearest_pictures(SAMPLES, TRAINING, k=3, chunk=chunk)
    assert torch.equal(found.rows, expected.indices)
    torch.testing.assert_close(found.distance, expected.values)


def test_training_pictures_come_in_batches_of_any_size() -> None:
    whole = nearest_pictures(SAMPLES, TRAINING, k=2)
    parts = nearest_pictures(SAMPLES, iter(TRAINING.split([1, 30, 19])), k=2)
    assert torch.equal(whole.rows, parts.rows)
    torch.testing.assert_close(whole.distance, parts.distance)


def test_a_copy_has_distance_zero_and_black_is_two_from_white() -> None:
    found = nearest_pictures(TRAINING[[7, 3]], TRAINING)
    assert found.rows.tolist() == [[7], [3]]
    torch.testing.assert_close(found.distance, torch.zeros(2, 1), atol=1e-6, rtol=0)
    white, black = torch.ones(1, 3, 8, 8), -torch.ones(1, 3, 8, 8)
    assert nearest_pictures(white, black).distance.item() == pytest.approx(2.0)


def test_features_are_compared_by_their_euclidean_distance() -> None:
    found = nearest_pictures(SAMPLES, TRAINING, features=lambda x: x.mean((2, 3)) * 5)
    gaps = (SAMPLES.mean((1, 2, 3))[:, None] - TRAINING.mean((1, 2, 3))).abs() * 5
    assert torch.equal(found.rows[:, 0], gaps.argmin(1))
    torch.testing.assert_close(found.distance[:, 0], gaps.amin(1))


def test_copies_are_memorised_and_other_pictures_are_not() -> None:
    held_out = nearest_pictures(SAMPLES[:4], TRAINING)
    copies = nearest_pictures(TRAINING[:5] + 0.01, TRAINING)
    assert memorisation_ratio(copies, held_out).item() < 0.1
    assert memorisation_ratio(nearest_pictures(SAMPLES[4:], TRAINING), held_out).item() > 0.7


def test_fewer_training_pictures_than_asked_for_are_all_found() -> None:
    assert nearest_pictures(SAMPLES, TRAINING[:2], k=5).rows.shape == (9, 2)


def test_no_or_other_training_pictures_are_an_error() -> None:
    with pytest.raises(ValueError, match="no training picture"):
        nearest_pictures(SAMPLES, [])
    with pytest.raises(ValueError, match=r"training pictures are \(1, 8, 8\), samples \(1, 4, 4\)"):
        nearest_pictures(SAMPLES, torch.zeros(3, 1, 8, 8))
