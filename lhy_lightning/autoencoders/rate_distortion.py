"""Bits a pixel against what is lost: an auto-encoder beside JPEG and principal components."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from PIL import Image
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from lhy_lightning.autoencoders.compression import bits_per_pixel, compress, decompress
from lhy_lightning.autoencoders.principal_components import PrincipalComponents
from lhy_lightning.autoencoders.reconstruction import picture_errors, psnr
from lhy_lightning.callbacks.images import picture_grid, save_picture, to_bytes
from lhy_lightning.core.atomic_files import atomic_write, csv_text
from lhy_lightning.data.images.image_datasets import PlainPictures
from lhy_lightning.data.images.reading.image_files import open_image
from lhy_lightning.training.run_directory import run_directory

QUALITIES = (1, 2, 3, 5, 7, 10, 14, 20, 27, 35, 45, 55, 65, 75, 85, 92)


@dataclass(frozen=True)
class Rate:
    """One way to keep a set of pictures: bits a pixel of its file, and mean PSNR (dB), SSIM and squared error."""

    name: str
    bits_per_pixel: float
    psnr: float
    ssim: float
    mse: float


def compression_rate(name: str, size: int, images: Tensor, others: Tensor) -> Rate:
    """Figures of pictures (N, C, H, W) in [-1, 1] that came back as `others` from a file of `size` bytes.

    Example:
        >>> import torch
        >>> from lhy_lightning import compression_rate
        >>> images = torch.rand(2, 1, 8, 8) * 2 - 1  # (N, C, H, W) in [-1, 1]
        >>> compression_rate("raw", images.numel(), images, images).mse
        0.0
    """
    errors = picture_errors(images, others)
    # the window of 11 pixels does not fit into smaller pictures
    sigma = 1.5 if min(images.shape[-2:]) > 11 else 0.5
    ssim = structural_similarity_index_measure(others.clamp(-1, 1), images, data_range=2.0, sigma=sigma)
    assert isinstance(ssim, Tensor)
    return Rate(name, bits_per_pixel(size, images), float(psnr(errors).mean()), float(ssim), float(errors.mean()))


def through_jpeg(images: Tensor, quality: int) -> tuple[int, Tensor]:
    """All pictures on one sheet as one JPEG file, so that its header counts once: its bytes, and what comes back.

    Each picture is brought to multiples of 8 by its own border, so that no block of the file holds two of them.

    Example:
        >>> import torch
        >>> from lhy_lightning import through_jpeg
        >>> size, back = through_jpeg(torch.zeros(2, 1, 8, 8), quality=50)
        >>> tuple(back.shape)
        (2, 1, 8, 8)
    """
    height, width = images.shape[2:]
    padded = torch.nn.functional.pad(images, (0, -width % 8, 0, -height % 8), mode="replicate")
    pixels = to_bytes(padded)  # (N, H, W, C)
    count, tall, wide, channels = pixels.shape
    columns = max(1, min(count, 65_000 // wide, round(count**0.5)))
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, tall, wide, channels), np.uint8)
    sheet[:count] = pixels
    whole = sheet.reshape(rows, columns, tall, wide, channels).swapaxes(1, 2).reshape(rows * tall, columns * wide, -1)
    file = io.BytesIO()
    Image.fromarray(whole.squeeze(-1) if channels == 1 else whole).save(
        file, "JPEG", quality=quality, optimize=True, subsampling=0
    )
    back = np.asarray(open_image(io.BytesIO(file.getvalue()))).reshape(rows, tall, columns, wide, channels)
    back = back.swapaxes(1, 2).reshape(-1, tall, wide, channels)[:count, :height, :width]
    return len(file.getvalue()), torch.from_numpy(back.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1


Way = Callable[[], tuple[int, Tensor]]
"""Keeps the pictures in some way: bytes of the file, and what comes back."""


def best_within(images: Tensor, wanted: float, ways: dict[str, Way]) -> Rate:
    """Of several ways the best that takes no more bits a pixel than wanted, or if none does the cheapest."""
    rates = []
    for name, way in ways.items():
        size, back = way()
        rates.append(compression_rate(name, size, images, back))
    within = [each for each in rates if each.bits_per_pixel <= wanted]
    return min(within, key=lambda each: each.mse) if within else min(rates, key=lambda each: each.bits_per_pixel)


def through_code_file(model: Any, images: Tensor, *, bits: int) -> tuple[int, Tensor]:
    """Bytes of the pictures' file, and what comes back from it.

    Example:
        >>> import torch
        >>> from lhy_lightning import PrincipalComponents, through_code_file
        >>> images = torch.rand(20, 1, 8, 8) * 2 - 1
        >>> baseline = PrincipalComponents(2, image_size=8, channels=1).fit([images])
        >>> size, back = through_code_file(baseline, images, bits=4)
        >>> tuple(back.shape)
        (20, 1, 8, 8)
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.lhy"
        return compress(model, images.split(256), path, bits=bits), decompress(model, path)


def compare_compression(model: Any, training: Tensor, images: Tensor, *, bits: int = 8) -> tuple[list[Rate], Tensor]:
    """The model's file, and the best JPEG and principal components that take no more room.

    Args:
        model: a `VQVAE` or an `AutoEncoder`.
        training: pictures that the components are fitted to, (M, C, H, W) in [-1, 1].
        images: held-out pictures, (N, C, H, W).
        bits: of each continuous latent of the model.

    Returns:
        Figures of the three, and what came back of `images` from the model's file.

    Example:
        >>> import torch
        >>> from lhy_lightning import AutoEncoder, compare_compression
        >>> model = AutoEncoder(image_size=8, channels=1, latent_dim=2, width=4, downsamplings=1)
        >>> images = torch.rand(20, 1, 8, 8) * 2 - 1
        >>> rates, _ = compare_compression(model, images, images[:5], bits=4)
        >>> len(rates) > 1
        True
    """
    size, back = through_code_file(model, images, bits=bits)
    own = compression_rate(type(model).__name__, size, images, back)
    largest = min(training[0].numel(), len(training) - 1)
    full = PrincipalComponents(largest, image_size=tuple(images.shape[2:]), channels=images.shape[1])  # type: ignore[arg-type]
    full.fit(training.split(1024))
    ways: dict[str, Way] = {}
    for depth in (2, 3, 4, 5, 6, 8):
        budget = own.bits_per_pixel * images.shape[2] * images.shape[3] / depth
        for share in (1.3, 1.15, 1.0, 0.85):  # LZMA makes some room for more of them
            count = min(largest, max(1, int(budget * share)))
            ways[f"{count} principal components of {depth} bits"] = partial(components_file, full, count, depth, images)
    components = best_within(images, own.bits_per_pixel, ways)
    jpegs: dict[str, Way] = {
        f"JPEG of quality {quality}": partial(through_jpeg, images, quality) for quality in QUALITIES
    }
    return [own, components, best_within(images, own.bits_per_pixel, jpegs)], back


def components_file(full: PrincipalComponents, count: int, bits: int, images: Tensor) -> tuple[int, Tensor]:
    """As `through_file`, of the first few components."""
    fewer = PrincipalComponents(count, image_size=full.shape[1:], channels=full.shape[0])
    fewer.mean.copy_(full.mean)
    fewer.components.copy_(full.components[:count])
    return through_code_file(fewer, images, bits=bits)


class CompressionTable(Callback):
    """At the end of a test: `compression.csv`, the test pictures' file beside JPEG and principal components.

    Also writes `samples/compression.png`, pictures and below them what came back, and `pictures.lhy`, the file itself.

    Args:
        bits: of each continuous latent.
        limit: test pictures at most.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from lhy_lightning import CompressionTable
        >>> trainer = Trainer(callbacks=[CompressionTable(bits=4)], accelerator="cpu", logger=False)
    """

    def __init__(self, bits: int = 8, limit: int = 2000) -> None:
        self.bits, self.limit = bits, limit

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        images, training = (first_pictures(data.pictures(name), self.limit) for name in ("test", "train"))
        rates, back = compare_compression(pl_module, training, images, bits=self.bits)
        folder = run_directory(trainer)
        rows = [
            [each.name, *(f"{v:.4f}" for v in (each.bits_per_pixel, each.psnr, each.ssim, each.mse))] for each in rates
        ]
        head = ["name", "bits_per_pixel", "psnr", "ssim", "mse"]
        atomic_write(folder / "compression.csv", csv_text([head, *rows]))
        compress(pl_module, images.split(256), folder / "pictures.lhy", bits=self.bits)
        save_picture(trainer, "compression", picture_grid(torch.cat((images[:16], back[:16])), columns=16))
        table = Table(*head, box=box.ROUNDED)
        for row in rows:
            table.add_row(*row)
        Console().print(table)


def first_pictures(pictures: PlainPictures, limit: int) -> Tensor:
    """The first pictures of a split, (N, C, H, W) in [-1, 1]."""
    return pictures.take(np.arange(min(limit, len(pictures))))
