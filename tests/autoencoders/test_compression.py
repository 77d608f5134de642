"""Compression: lossless over codes, every byte counted, nothing read that was not written for this model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lhy_lightning import VQVAE, AutoEncoder
from lhy_lightning.autoencoders.compression import (
    bits_per_pixel,
    compress,
    decompress,
    pack,
    read_latents,
    unpack,
)
from lhy_lightning.autoencoders.principal_components import PrincipalComponents
from lhy_lightning.autoencoders.rate_distortion import compare_compression as compare
from lhy_lightning.autoencoders.rate_distortion import compression_rate as rate
from lhy_lightning.autoencoders.rate_distortion import through_jpeg as jpeg

KNOWN = {"image_size": (8, 8), "channels": 1}


def model(seed: int = 0, size: int = 11) -> VQVAE:
    torch.manual_seed(seed)
    made = VQVAE(codebook_size=size, dim=4, width=8, residual_width=4, downsamplings=1, **KNOWN)  # type: ignore[arg-type]
    made.built().quantizer.codebook.copy_(torch.randn(size, 4))
    return made.eval()


def pictures(count: int = 20, size: int = 8) -> Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("bits", [1, 3, 6, 9, 16])
def test_packed_numbers_take_their_bits_and_come_back(bits: int) -> None:
    numbers = np.random.default_rng(0).integers(0, 2**bits, 101)
    content = pack(numbers, bits)
    assert len(content) == -(-101 * bits // 8)
    assert unpack(content, bits, 101).tolist() == numbers.tolist()


def test_packing_at_literal_bytes() -> None:
    assert pack(np.array([1, 2, 3]), 3) == bytes([0b00101001, 0b10000000])


@pytest.mark.parametrize("size", [2, 11, 300])
def test_codes_come_back_without_loss_and_pictures_are_the_reconstruction(size: int, tmp_path: Path) -> None:
    made, images = model(size=size), pictures()
    written = compress(made, images.split(7), tmp_path / "a.lhy")
    assert written == (tmp_path / "a.lhy").stat().st_size
    assert torch.equal(read_latents(made, tmp_path / "a.lhy"), made.codes_of(images))
    torch.testing.assert_close(decompress(made, tmp_path / "a.lhy"), made.reconstruct(images), atol=1e-5, rtol=1e-5)


def test_codes_that_are_all_alike_take_less_than_their_bits(tmp_path: Path) -> None:
    made, images = model(), pictures(1).repeat(500, 1, 1, 1)
    assert compress(made, [images], tmp_path / "a.lhy") < 500 * 16 * 4 / 8 / 4
    assert torch.equal(read_latents(made, tmp_path / "a.lhy"), made.codes_of(images))


@pytest.mark.parametrize("bits", [4, 12])
def test_continuous_latents_are_rounded_to_their_bits(bits: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = pictures()
    for made in (
        AutoEncoder(latent_dim=3, width=8, downsamplings=1, **KNOWN).eval(),  # type: ignore[arg-type]
        PrincipalComponents(3, **KNOWN).fit([images]),  # type: ignore[arg-type]
    ):
        compress(made, images.split(7), tmp_path / "a.lhy", bits=bits)
        latents, back = made.encode(images).detach(), read_latents(made, tmp_path / "a.lhy")
        half = (latents.amax(0) - latents.amin(0)) / (2**bits - 1) / 2
        assert bool(((latents - back).abs() <= half * 1.001 + 1e-6).all())
        torch.testing.assert_close(decompress(made, tmp_path / "a.lhy"), made.decode(back))


def test_files_of_something_else_another_version_or_model_or_cut_short_are_refused(tmp_path: Path) -> None:
    made, path = model(), tmp_path / "a.lhy"
    compress(made, [pictures()], path)
    content = path.read_bytes()
    with pytest.raises(ValueError, match=r"was written with the model \w+, this is \w+: load that checkpoint"):
        decompress(model(seed=1), path)
    for wrong, message in (
        (b"PNG" + content, "is no file of compressed pictures"),
        (content[:8] + b"\x02\x00" + content[10:], "is of version 2, this package reads version 1"),
        (content[:-3], "is damaged or cut short"),
        (content[:20], "is damaged or cut short"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=message):
            decompress(made, path)


def test_nothing_is_written_where_there_is_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no pictures to compress"):
        compress(model(), [], tmp_path / "a.lhy")
    with pytest.raises(ValueError, match="bits=17: 1 to 16"):
        compress(model(), [pictures()], tmp_path / "a.lhy", bits=17)
    broken = AutoEncoder(latent_dim=3, width=8, downsamplings=1, **KNOWN)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not finite"):
        compress(broken, [pictures() * float("nan")], tmp_path / "a.lhy")
    assert not list(tmp_path.iterdir())


def test_bits_per_pixel_count_every_byte_and_each_pixel_once() -> None:
    assert bits_per_pixel(100, (5, 3, 4, 8)) == 8 * 100 / (5 * 4 * 8)


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 28)])
def test_jpeg_gives_back_every_picture_in_its_place(channels: int, size: int) -> None:
    smooth = torch.linspace(-1, 1, 10)[:, None, None, None].expand(10, channels, size, size)
    small, back = jpeg(smooth, 90)
    assert back.shape == smooth.shape
    torch.testing.assert_close(back, smooth.contiguous(), atol=0.03, rtol=0)
    assert jpeg(torch.rand(10, channels, size, size), 90)[0] > small


def test_the_comparison_is_at_no_more_bits_than_the_models() -> None:
    made = model()
    own, components, jpegs = compare(made, pictures(60), pictures(400))[0]
    assert own.name == "VQVAE"
    assert components.bits_per_pixel <= own.bits_per_pixel
    assert jpegs.name.startswith("JPEG of quality")
    same = rate("same", 10, pictures(), pictures())
    assert same.ssim == pytest.approx(1.0)
    assert same.mse == 0.0
