"""What each score is, on numbers that one can work out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lhy_lightning.autoencoders.anomaly.anomaly_networks import NETWORKS, encoder_and_decoder
from lhy_lightning.autoencoders.anomaly.anomaly_scores import (
    activations,
    classifier_score,
    error_map,
    feature_score,
    latent_score,
    latent_statistics,
    patch_score,
    pixel_score,
    smoothed,
)
from lhy_lightning.autoencoders.networks import parameters_of

SETTINGS = {"latent_dim": 3, "hidden": (128, 64, 12), "width": 8, "downsamplings": 2}


def one_bad_pixel() -> torch.Tensor:
    errors = torch.zeros(1, 10, 10)
    errors[0, 4, 4] = 9.0
    return errors


def test_an_error_map_is_the_mean_square_over_channels() -> None:
    images, results = torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    results[0, 0] = 1.0
    assert error_map(images, results)[:, 0, 0].tolist() == pytest.approx([2 / 3, 1.0])


def test_a_small_defect_weighs_more_in_its_square_than_in_the_picture() -> None:
    assert float(pixel_score(one_bad_pixel())) == pytest.approx(0.09)
    assert float(patch_score(one_bad_pixel(), 3)) == pytest.approx(1.0)
    assert torch.allclose(smoothed(torch.ones(1, 5, 5), 3), torch.ones(1, 5, 5))


def test_the_latent_score_is_the_mahalanobis_distance() -> None:
    latents = torch.randn(5000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10.0]) + 3
    mean, precision = latent_statistics(latents)
    found = latent_score(torch.tensor([[3.0, 3.0], [5.0, 3.0], [3.0, 23.0]]), mean, precision)
    assert found.tolist() == pytest.approx([0.0, 2.0, 2.0], abs=0.15)  # two standard deviations: 4, over two numbers


def test_latent_statistics_of_fewer_pictures_than_numbers_and_of_dead_ones_are_finite() -> None:
    latents = torch.cat((torch.randn(4, 8), torch.zeros(4, 2)), 1)
    mean, precision = latent_statistics(latents)
    assert latent_score(latents, mean, precision).isfinite().all()


def test_activations_are_those_of_every_relu_and_equal_ones_are_no_distance_apart() -> None:
    encoder = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5), nn.ReLU())
    found = activations(encoder, torch.rand(3, 1, 8, 8))
    assert [value.shape for value in found] == [(3, 4, 6, 6), (3, 5)]
    assert not [module for module in encoder if module._forward_hooks]
    assert feature_score(found, found).tolist() == [0.0, 0.0, 0.0]


def test_a_classifier_that_is_sure_of_no_change_finds_nothing_strange() -> None:
    logits = torch.tensor([[20.0, 0.0], [0.0, 0.0], [0.0, 20.0]])
    assert classifier_score(logits, 0).tolist() == pytest.approx([0.0, 0.6931, 20.0], abs=1e-3)


@pytest.mark.parametrize(
    ("network", "parameters"), [("linear", 3_176_419), ("homework", 47_355), ("homework_batch_norm", 47_595)]
)
def test_the_homeworks_networks_have_the_homeworks_number_of_parameters(network: str, parameters: int) -> None:
    assert parameters_of(*encoder_and_decoder(network, (3, 64, 64), **SETTINGS)) == parameters  # type: ignore[arg-type]


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_gives_pictures_of_the_shape_that_it_takes(network: str) -> None:
    encoder, decoder = encoder_and_decoder(network, (1, 16, 24), **SETTINGS)  # type: ignore[arg-type]
    images = torch.rand(2, 1, 16, 24)
    assert decoder(encoder(images)).shape == images.shape
