"""An image file is opened as what the folder listing takes, or not at all: EPS would start Ghostscript."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, UnidentifiedImageError

from lhy_lightning import (
    AnomalyDataModule,
    DomainDataModule,
    ImageClassifier,
    ImageDataModule,
    PairedImageDataModule,
    UnpairedImageDataModule,
)  # fmt: skip
from lhy_lightning.data.images.reading.image_files import FORMATS, open_image
from tests.picture_folders import Writer

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
%%EOF
"""


@pytest.fixture
def ghostscript_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """A `gs` program that leaves a file; says whether it was started."""
    marker, program = tmp_path / "gs-ran", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho ran > '{marker}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # PIL looks for it once

    def ran() -> bool:
        return marker.exists()

    (tmp_path / "control.png").write_bytes(EPS)
    with pytest.raises(Exception, match=r"."):  # it wrote no image
        Image.open(tmp_path / "control.png").load()
    assert ran(), "PIL starts the stand-in"
    marker.unlink()
    return ran


def folder_of(write: Writer, root: Path, *parts: str) -> Path:
    """Folders of eight images each; in each the fourth is an EPS file."""
    for place, part in enumerate(parts):
        for number in range(8):
            write(root / part / f"{number}.png", 100 * place + number)
        (root / part / "3.png").write_bytes(EPS)
    return root


def classes(write: Writer, root: Path, cache: Path) -> Any:
    return ImageDataModule(source=str(folder_of(write, root, "a", "b")), cache_dir=str(cache))


def table_of_paths(write: Writer, root: Path, cache: Path) -> Any:
    folder_of(write, root, "a", "b")
    rows = [f"{part}/{number}.png,{part}" for part in "ab" for number in range(8)]
    (root / "train.csv").write_text("\n".join(["image,label", *rows]))
    return ImageDataModule(source=str(root / "train.csv"), cache_dir=str(cache))


def table_of_bytes(write: Writer, root: Path, cache: Path) -> Any:
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as ImageFeature

    folder_of(write, root, "a", "b")
    files = sorted(root.rglob("*.png"))
    columns = {
        "image": [{"bytes": file.read_bytes(), "path": None} for file in files],
        "label": [file.parent.name for file in files],
    }
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=["a", "b"])})
    Dataset.from_dict(columns, features).to_parquet(root / "train.parquet")
    return ImageDataModule(source=str(root / "train.parquet"), cache_dir=str(cache))


def anomalies(write: Writer, root: Path, cache: Path) -> Any:
    return AnomalyDataModule(
        source=str(folder_of(write, root, "good", "bad")), normal_class="good", cache_dir=str(cache)
    )


def domains(write: Writer, root: Path, cache: Path) -> Any:
    source, target = (folder_of(write, root / domain, "a", "b") for domain in ("photo", "drawing"))
    return DomainDataModule(source=str(source), target=str(target), cache_dir=str(cache))


def pairs(write: Writer, root: Path, cache: Path) -> Any:
    for part in ("a", "b"):
        folder_of(write, root / "train", part)
    return PairedImageDataModule(source=str(root), cache_dir=str(cache))


def unpaired(write: Writer, root: Path, cache: Path) -> Any:
    folder_of(write, root, "trainA", "trainB")
    return UnpairedImageDataModule(source=str(root), cache_dir=str(cache))


@pytest.mark.parametrize("sets", [classes, table_of_paths, table_of_bytes, anomalies, domains, pairs, unpaired])
def test_a_postscript_file_named_as_an_image_starts_no_program(
    sets: Callable[..., Any], ghostscript_ran: Callable[[], bool], tmp_path: Path, write_picture: Writer
) -> None:
    module = sets(write_picture, tmp_path / "images", tmp_path / "cache")
    with pytest.warns(UserWarning, match="cannot be read"):
        module.setup("fit")
    assert not ghostscript_ran()


def test_a_classifier_asked_for_a_postscript_file_starts_no_program(
    ghostscript_ran: Callable[[], bool], tmp_path: Path
) -> None:
    (tmp_path / "3.png").write_bytes(EPS)
    module = ImageClassifier(network="vgg", width=4, num_classes=2, image_size=(8, 8), channels=3)
    with pytest.raises(UnidentifiedImageError):
        module.classify([tmp_path / "3.png"])
    assert not ghostscript_ran()


@pytest.mark.parametrize("ending", sorted(FORMATS))
def test_every_ending_that_folders_list_is_read_under_any_name(ending: str, tmp_path: Path) -> None:
    mode = "1" if ending == ".pbm" else "L"
    pixels = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).convert(mode)
    pixels.save(tmp_path / f"0{ending}")
    (tmp_path / f"0{ending}").rename(tmp_path / "other.png")
    with open_image(tmp_path / "other.png") as opened:
        assert opened.size == (8, 8)
        assert np.asarray(opened.convert("L")).std() > 0
