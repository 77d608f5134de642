"""What homework 6 hands in: a thousand faces as `images.tgz`."""

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from lhy_lightning.callbacks.images import picture_file, to_bytes
from lhy_lightning.core.atomic_files import atomic_write
from lhy_lightning.core.seeding import run_seed
from lhy_lightning.training.run_directory import run_directory

COUNT = 1000
LARGEST = 2_000_000
"""Bytes: the judge takes no more than 2 MB."""


def tar_gz(files: dict[str, bytes]) -> bytes:
    """Files with no folder around them as a .tgz; the same files give the same bytes."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)


def require_64_pixels(height: int, width: int) -> None:
    """What the judge takes; anything else is a ValueError."""
    if (height, width) != (64, 64):
        raise ValueError(
            f"pictures have {height} x {width} pixels, homework 6 wants 64 x 64: set data.image_size to 64."
        )


class Homework6Faces(Callback):
    """Draws 1,000 faces when testing or predicting ends and writes `faces/1.jpg` … and `images.tgz`.

    The judge's own FID and AFD (anime face detection) rates cannot be computed outside of it.

    Args:
        count: pictures to draw; the homework wants 1,000.
        quality: of the JPEG files.

    Raises:
        ValueError: pictures are not of 64 pixels (before training starts), or the archive is too large for the judge
            (when it is to be written).

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from lhy_lightning import Homework6Faces
        >>> trainer = Trainer(callbacks=[Homework6Faces(count=1000)], accelerator="cpu", logger=False)
    """

    def __init__(self, count: int = COUNT, quality: int = 75) -> None:
        self.count, self.quality = count, quality

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        require_64_pixels(*pl_module.image_size)  # type: ignore[misc]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.write(trainer, pl_module)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.write(trainer, pl_module)

    def write(self, trainer: Trainer, module: Any) -> None:
        if not trainer.is_global_zero:
            return
        pictures = to_bytes(module.sample(self.count, seed=run_seed()))
        require_64_pixels(*pictures.shape[1:3])
        files = {
            f"{number}.jpg": picture_file(picture, "JPEG", quality=self.quality)
            for number, picture in enumerate(pictures, 1)
        }
        archive = tar_gz(files)
        if len(archive) > LARGEST:
            raise ValueError(
                f"images.tgz would have {len(archive):,} bytes, the homework takes {LARGEST:,}: lower quality "
                f"(now {self.quality})."
            )
        folder = run_directory(trainer)
        for name, content in files.items():
            atomic_write(folder / "faces" / name, content)
        atomic_write(folder / "images.tgz", archive)
        print(f"{Path(folder / 'images.tgz')}: {len(files)} pictures, {len(archive):,} bytes")
