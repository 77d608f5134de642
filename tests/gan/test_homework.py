"""Homework 6's archive as the judge unpacks it."""

import io
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from lhy_lightning.gan import homework
from lhy_lightning.gan.homework import Homework6Faces


def write(folder: Path, size: int = 64, count: int = 12) -> None:
    def sample(number: int, *, seed: int) -> Tensor:
        shades = torch.linspace(-1, 1, number)[:, None, None, None]
        return shades.expand(number, 3, size, size)

    trainer: Any = SimpleNamespace(is_global_zero=True, loggers=[], default_root_dir=str(folder))
    Homework6Faces(count).on_predict_end(trainer, SimpleNamespace(sample=sample))  # type: ignore[arg-type]


def test_the_archive_holds_numbered_jpg_pictures_of_64_pixels_and_no_folder(tmp_path: Path) -> None:
    write(tmp_path)
    with tarfile.open(tmp_path / "images.tgz", "r:gz") as archive:
        files = {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
    assert list(files) == [f"{number}.jpg" for number in range(1, 13)]
    content = files["12.jpg"]
    picture = Image.open(io.BytesIO(content))
    assert (picture.format, picture.size, picture.mode) == ("JPEG", (64, 64), "RGB")
    assert picture.getpixel((5, 5)) == (255, 255, 255)
    assert (tmp_path / "faces" / "12.jpg").read_bytes() == content


def test_the_same_pictures_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name)
    assert (tmp_path / "a/images.tgz").read_bytes() == (tmp_path / "b/images.tgz").read_bytes()


def test_an_archive_too_large_for_the_judge_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homework, "LARGEST", 100)
    with pytest.raises(ValueError, match=r"images\.tgz would have .* the homework takes 100: lower quality"):
        write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_faces_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pictures have 32 x 32 pixels, homework 6 wants 64 x 64"):
        write(tmp_path, size=32)


def test_they_are_refused_before_training_too() -> None:
    trainer: Any = SimpleNamespace()
    with pytest.raises(ValueError, match="pictures have 32 x 32 pixels, homework 6 wants 64 x 64"):
        Homework6Faces().on_fit_start(trainer, SimpleNamespace(image_size=(32, 32)))  # type: ignore[arg-type]
    Homework6Faces().on_fit_start(trainer, SimpleNamespace(image_size=(64, 64)))  # type: ignore[arg-type]
