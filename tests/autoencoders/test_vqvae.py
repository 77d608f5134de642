"""`VQVAE`: what it learns from, what its checkpoint rebuilds, what it says of its codebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import seed_everything

from lhy_lightning import VQVAE, ImageDataModule
from lhy_lightning.autoencoders.networks import ConvDecoder, ConvEncoder, check_halving
from tests.cnn.pictures_to_fit import fit, silent_trainer


def small(**settings: Any) -> VQVAE:
    numbers = {
        "codebook_size": 8,
        "dim": 4,
        "width": 8,
        "residual_width": 4,
        "downsamplings": 1,
        "plot_every_n_validations": 0,
    }
    return VQVAE(**{**numbers, **settings})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> VQVAE:
    seed_everything(0, verbose=False)
    module = small(lr=1e-2)
    fit(module, tmp_path_factory.mktemp("run"), max_epochs=20)
    return module.eval()


@pytest.mark.parametrize("downsamplings", [1, 2, 3])
def test_each_downsampling_halves_the_sides_and_the_decoder_doubles_them(downsamplings: int) -> None:
    images = torch.randn(2, 3, 16, 24)
    latents = ConvEncoder(3, 5, width=8, inner=4, downsamplings=downsamplings)(images)
    assert latents.shape == (2, 5, 16 // 2**downsamplings, 24 // 2**downsamplings)
    assert ConvDecoder(3, 5, width=8, inner=4, downsamplings=downsamplings)(latents).shape == images.shape


def test_the_loss_is_the_mean_squared_error_and_the_quantizers(trained: VQVAE) -> None:
    images = torch.rand(6, 1, 8, 8) * 2 - 1
    result, figures = trained.losses(images)
    vectors = trained.built().encoder(images).permute(0, 2, 3, 1)
    codes = trained.codes_of(images)
    commitment = 0.25 * (vectors - trained.built().quantizer.decode(codes)).square().mean()
    torch.testing.assert_close(figures["loss"], (result - images).square().mean() + commitment)
    trained.code_counts.reset()


def test_the_loss_does_not_change_when_the_batch_is_doubled_by_repetition(trained: VQVAE) -> None:
    images = torch.rand(6, 1, 8, 8) * 2 - 1
    once, twice = (trained.losses(pictures)[1]["loss"] for pictures in (images, torch.cat((images, images))))
    torch.testing.assert_close(once, twice)
    trained.code_counts.reset()


def test_drawing_the_codes_of_pictures_gives_their_reconstruction(trained: VQVAE) -> None:
    images = torch.rand(6, 1, 8, 8) * 2 - 1
    codes = trained.codes_of(images)
    assert codes.shape == (6, 4, 4)
    assert codes.dtype == torch.int64
    torch.testing.assert_close(trained.draw(codes), trained.reconstruct(images), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="codes from 0 to 8: expected 0 to 7"):
        trained.draw(torch.tensor([[[0, 8]]]))


def test_training_makes_reconstructions_better_and_logs_the_use_of_codes(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    module = small(lr=1e-2)
    first = fit(module, tmp_path, max_epochs=1).callback_metrics
    errors = [float(first["val/mse"]), float(fit(module, tmp_path, max_epochs=20).callback_metrics["val/mse"])]
    assert errors[1] < 0.8 * errors[0]
    assert {"val/loss", "val/psnr", "val/perplexity", "val/codes_used", "val/quantizer_loss"} <= set(first)
    assert {"train/loss", "train/perplexity", "train/codes_used", "train/restarts"} <= set(first)


def test_a_checkpoint_rebuilds_network_and_codebook(trained: VQVAE, tmp_path: Path) -> None:
    trainer = silent_trainer(tmp_path)
    trainer.strategy.connect(trained)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = VQVAE.load_from_checkpoint(tmp_path / "a.ckpt").eval()
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(again.codes_of(images), trained.codes_of(images))
    trained.save_pretrained(tmp_path / "saved")
    assert torch.equal(VQVAE.from_pretrained(tmp_path / "saved").codes_of(images), trained.codes_of(images))


def test_a_collapsed_codebook_is_told_in_plain_words(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="the codebook has collapsed: . of 64 codes are used"):
        fit(small(codebook_size=64, codebook_init="random", restart_below=0.0, lr=1e-6), tmp_path, max_epochs=1)


def test_pictures_of_reconstructions_codes_and_codebook_are_drawn(tmp_path: Path) -> None:
    fit(small(plot_every_n_validations=1), tmp_path, max_epochs=1)
    assert {path.name for path in (tmp_path / "samples").iterdir()} == {
        "reconstructions.png", "codes.png", "codebook.png",
    }  # fmt: skip


def test_two_levels_have_a_coarse_map_that_the_fine_one_is_encoded_with(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    module = small(levels=2, lr=1e-2, plot_every_n_validations=1)
    figures = fit(module, tmp_path, max_epochs=10).callback_metrics
    names = {f"{stage}/{name}_{level}" for stage in ("train", "val") for name in ("perplexity", "codes_used")
             for level in ("top", "bottom")}  # fmt: skip
    assert names <= set(figures)
    images = torch.rand(5, 1, 8, 8) * 2 - 1
    codes = module.codes_of(images)
    assert codes.shape == (5, *module.codes_shape) == (5, 4 + 16)
    torch.testing.assert_close(module.draw(codes), module.reconstruct(images), atol=1e-5, rtol=1e-5)
    network, changed = module.built(), codes.clone()
    changed[:, 0] = (changed[:, 0] + 1) % 8  # a coarse code reaches the picture
    assert not torch.equal(module.draw(changed), module.draw(codes))
    assert len(network.quantizers) == 2
    with pytest.raises(ValueError, match="a map of 3 x 4 codes has no half"):
        small(levels=2, image_size=(6, 8), channels=1)


def test_a_quantizer_of_ones_own_is_one_method(tmp_path: Path) -> None:
    from lhy_lightning.autoencoders.quantizers.finite_scalar import FiniteScalarQuantizer

    class Scalars(VQVAE):
        def build_quantizer(self) -> torch.nn.Module:
            return FiniteScalarQuantizer((2, 2, 2, 3))

    module = Scalars(codebook_size=24, dim=4, width=8, residual_width=4, downsamplings=1, plot_every_n_validations=0)
    assert "val/perplexity" in fit(module, tmp_path, max_epochs=1).callback_metrics


def test_pictures_that_cannot_be_halved_are_named() -> None:
    with pytest.raises(ValueError, match="pictures of 30 x 28 cannot be halved 3 times: give image_size 32 x 32"):
        check_halving((30, 28), 3)
    with pytest.raises(ValueError, match="cannot be halved 2 times"):
        VQVAE(image_size=(30, 30), channels=1)


def test_fewer_vectors_than_codes_in_the_first_batch_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="codebook_size=4096 codes cannot start by k-means"):
        fit(small(codebook_size=4096), tmp_path)


def test_the_digits_are_read_without_any_argument_about_them(tmp_path: Path) -> None:
    module = small()
    trainer = silent_trainer(tmp_path, max_steps=2, limit_val_batches=1)
    trainer.fit(module, datamodule=ImageDataModule(cache_dir=str(tmp_path)))
    assert module.hparams["image_size"] == (8, 8)
