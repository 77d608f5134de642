"""`AutoEncoder`: plain, denoising, variational; principal components; the homework's networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import seed_everything

from lhy_lightning import AutoEncoder
from lhy_lightning.autoencoders.autoencoder import kl_to_normal
from lhy_lightning.autoencoders.denoising import corrupt_images as corrupt
from lhy_lightning.autoencoders.networks import parameters_of
from lhy_lightning.autoencoders.principal_components import PrincipalComponents
from lhy_lightning.autoencoders.reconstruction import psnr
from tests.cnn.pictures_to_fit import fit


def small(**settings: Any) -> AutoEncoder:
    return AutoEncoder(**{"latent_dim": 3, "width": 8, "downsamplings": 1, "plot_every_n_validations": 0, **settings})  # type: ignore[arg-type]


KNOWN: dict[str, Any] = {"image_size": (8, 8), "channels": 1}


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({"network": "linear", "hidden": (128, 64, 12), "latent_dim": 3}, 3_176_419),
        ({"network": "homework"}, 47_355),
        ({"network": "homework_batch_norm"}, 47_595),
    ],
)
def test_the_homeworks_networks_have_its_parameters(settings: Any, parameters: int) -> None:
    module = AutoEncoder(image_size=(64, 64), channels=3, **settings)
    assert parameters_of(module.built()) == parameters
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    assert module(images).shape == images.shape
    assert float(module(images).detach().abs().max()) <= 1


@pytest.mark.parametrize("network", ["linear", "conv"])
def test_a_latent_has_the_numbers_asked_for_and_decodes_to_the_reconstruction(network: Any) -> None:
    module = small(network=network, **KNOWN).eval()
    images = torch.rand(5, 1, 8, 8) * 2 - 1
    latents = module.encode(images)
    assert latents.shape == (5, 3)
    torch.testing.assert_close(module.decode(latents), module.reconstruct(images))


def test_training_makes_reconstructions_better(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    module = small(lr=1e-2)
    first = float(fit(module, tmp_path, max_epochs=1).callback_metrics["val/mse"])
    last = fit(module, tmp_path, max_epochs=15).callback_metrics
    assert float(last["val/mse"]) < 0.8 * first
    assert float(last["val/loss"]) == pytest.approx(float(last["val/mse"]), rel=1e-5)


def test_a_denoising_encoder_sees_noise_and_black_pixels_in_training_only() -> None:
    torch.manual_seed(0)
    images = torch.rand(50, 3, 20, 20) * 2 - 1
    assert torch.equal(corrupt(images, noise=0.0, masking=0.0), images)
    assert float((corrupt(images, noise=0.3, masking=0.0) - images).std()) == pytest.approx(0.3, rel=0.02)
    masked = corrupt(images, noise=0.0, masking=0.25)
    hidden = (masked == -1).all(1)
    assert float(hidden.float().mean()) == pytest.approx(0.25, abs=0.01)
    torch.testing.assert_close(masked[~hidden[:, None].expand_as(images)], images[~hidden[:, None].expand_as(images)])
    module = small(noise=0.5, masking=0.5, **KNOWN)
    pictures = torch.rand(4, 1, 8, 8)
    assert not torch.equal(module.train().losses(pictures)[0], module.losses(pictures)[0])
    assert torch.equal(module.eval().losses(pictures)[0], module.losses(pictures)[0])


def test_a_denoising_auto_encoder_is_measured_on_pictures_corrupted_by_their_row(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    module = small(noise=0.3, masking=0.2, lr=1e-2, plot_every_n_validations=1)
    figures = fit(module, tmp_path, max_epochs=20).callback_metrics
    assert float(figures["val/denoised_mse"]) < float(figures["val/corrupted_mse"])
    images, rows = torch.zeros(6, 1, 8, 8), torch.tensor([4, 0, 9, 2, 3, 77])
    seen = module.corrupted(images, rows)
    assert torch.equal(module.corrupted(images[2:5], rows[2:5]), seen[2:5])
    assert float((seen[0] - seen[1]).abs().max()) > 0
    assert (tmp_path / "samples/denoised.png").is_file()
    assert not [name for name in fit(small(), tmp_path / "plain", max_epochs=1).callback_metrics if "denoised" in name]


def test_the_divergence_is_that_of_two_normal_distributions() -> None:
    mean, log_variance = torch.randn(4, 3), torch.randn(4, 3)
    normal, prior = torch.distributions.Normal(mean, (log_variance / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(normal, prior).sum(1)
    torch.testing.assert_close(kl_to_normal(mean, log_variance), expected)


def test_the_variational_loss_is_the_error_and_beta_times_the_divergence_an_element() -> None:
    module = small(beta=0.7, **KNOWN).eval()
    images = torch.rand(6, 1, 8, 8) * 2 - 1
    result, figures = module.losses(images)
    mean, log_variance = module.built().encoder(images).chunk(2, 1)
    torch.testing.assert_close(result, module.decode(mean))
    expected = sum(
        ((images[i] - result[i]).square().sum() + 0.7 * kl_to_normal(mean[i : i + 1], log_variance[i : i + 1])[0]) / 64
        for i in range(6)
    )
    torch.testing.assert_close(figures["loss"], expected / 6)
    torch.manual_seed(0)
    assert not torch.equal(module.train().losses(images)[0], module.losses(images)[0])  # latents are drawn


def test_samples_are_of_the_seed_and_of_the_latents_that_validation_saw(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    module = small()
    trainer = fit(module, tmp_path, max_epochs=2)
    batches = [batch["image"] for batch in trainer.datamodule.val_dataloader()]  # type: ignore[attr-defined]
    latents = module.encode(torch.cat(batches)).detach()
    torch.testing.assert_close(module.latent_mean, latents.mean(0))
    factor = module.latent_factor
    torch.testing.assert_close(factor @ factor.T, latents.T.cov() + 1e-6 * torch.eye(3), atol=1e-6, rtol=1e-3)
    assert torch.equal(module.sample(4, seed=1), module.sample(4, seed=1))
    assert not torch.equal(module.sample(4, seed=1), module.sample(4, seed=2))
    way = module.interpolate(batches[0][:2], batches[0][2:4], steps=5)
    assert way.shape == (2, 5, 1, 8, 8)
    torch.testing.assert_close(way[:, 0], module.reconstruct(batches[0][:2]))
    torch.testing.assert_close(way[:, -1], module.reconstruct(batches[0][2:4]))


def test_samples_and_interpolations_are_drawn_when_training_ends(tmp_path: Path) -> None:
    fit(small(plot_every_n_validations=1), tmp_path, max_epochs=1)
    names = {path.name for path in (tmp_path / "samples").iterdir()}
    assert names == {"reconstructions.png", "samples.png", "interpolation.png"}


def test_a_checkpoint_rebuilds_network_and_latents(tmp_path: Path) -> None:
    module = small(beta=0.1, hidden=[5], network="linear", **KNOWN)
    trainer = fit(module, tmp_path, max_epochs=1)
    module.latent_mean.fill_(3.0)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = AutoEncoder.load_from_checkpoint(tmp_path / "a.ckpt")
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(again.reconstruct(images), module.reconstruct(images))
    assert torch.equal(again.latent_mean, module.latent_mean)


def test_principal_components_are_those_of_the_covariance_and_the_best_linear_way_back() -> None:
    torch.manual_seed(0)
    images = torch.randn(200, 1, 3, 4) @ torch.randn(4, 4)
    model = PrincipalComponents(5, image_size=(3, 4), channels=1).fit(images.split(32))
    flat = images.flatten(1).double()
    centred = flat - flat.mean(0)
    _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
    torch.testing.assert_close(model.variances.double(), singular[:5].square() / 199, rtol=1e-5, atol=1e-6)
    expected = centred @ directions[:5].T @ directions[:5] + flat.mean(0)
    torch.testing.assert_close(model.reconstruct(images).flatten(1).double(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.decode(model.encode(images)), model.reconstruct(images))
    assert model.sample(7, seed=0).shape == (7, 1, 3, 4)


def test_psnr_at_literal_errors() -> None:
    assert psnr(torch.tensor([4.0, 0.04, 0.0004])).tolist() == pytest.approx([0.0, 20.0, 40.0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "fcn"}, "network is one of linear, conv, homework, homework_batch_norm, not 'fcn'"),
        ({"latent_dim": 0}, "latent_dim=0: must be at least 1"),
        ({"masking": 1.0}, "masking=1.0: must be at least 0 and below 1"),
        ({"beta": 1.0, "network": "homework"}, "network='homework' has no latent vector"),
        ({"image_size": (9, 8), "channels": 1}, "pictures of 9 x 8 cannot be halved 1 times"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**settings)


def test_maps_are_no_vectors_to_draw() -> None:
    with pytest.raises(ValueError, match="has no latent vector to draw"):
        small(network="homework", **KNOWN).sample(2)
    with pytest.raises(ValueError, match="latent_dim=13: pictures of 12 elements"):
        PrincipalComponents(13, image_size=(3, 4), channels=1)
