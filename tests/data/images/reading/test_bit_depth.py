"""Images of more than 8 bits and with transparency, in every container: read as meant, or refused with the flag."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lhy_lightning import (
    AnomalyDataModule,
    DomainDataModule,
    ImageDataModule,
    PairedImageDataModule,
    UnpairedImageDataModule,
)
from lhy_lightning.data.images.reading.readers import decode

Save = Callable[[np.ndarray, Path], object]


def bars(folder: Path, save: Save, rows: int = 12) -> None:
    """Two class folders: a lying and a standing bar, (16, 16) float32 in [0, 1]."""
    generator = np.random.default_rng(0)
    for number, name in enumerate(("bar", "column")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for row in range(rows):
            image = np.zeros((16, 16), np.float32)
            y, x = generator.integers(2, 6, 2)
            image[y : y + (8 if number else 3), x : x + (3 if number else 8)] = 1
            image = image * generator.uniform(0.8, 1) + generator.uniform(0, 0.1, (16, 16))
            save(np.clip(image, 0, 1).astype(np.float32), folder / name / str(row))


def png_of(values: np.ndarray) -> bytes:
    """A PNG file of 16 bits: (H, W, C) of 0 … 65535, C 1, 2, 3 or 4. PIL writes grey ones only."""
    height, width, channels = values.shape
    lines = b"".join(b"\0" + values[line].astype(">u2").tobytes() for line in range(height))
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def scaled(most: int, channels: int = 1) -> Save:
    def save(image: np.ndarray, path: Path) -> None:
        values = np.rint(image * most)[..., None].repeat(channels, 2)
        if channels in (2, 4):
            values[..., -1] = 65535
        path.with_suffix(".png").write_bytes(png_of(values))

    return save


def tiff(image: np.ndarray, path: Path) -> None:
    Image.fromarray(image).save(path.with_suffix(".tif"))


def tiff_int32(image: np.ndarray, path: Path) -> None:
    Image.fromarray((image * 255).astype(np.int32)).save(path.with_suffix(".tif"))


def png(image: np.ndarray, path: Path) -> None:
    Image.fromarray((image * 255).astype(np.uint8)).save(path.with_suffix(".png"))


def images_of(source: Path, **arguments: Any) -> torch.Tensor:
    """All training images as bytes, by path."""
    data = ImageDataModule(str(source), **{"val_fraction": 0.25, "test_fraction": 0.0, **arguments})
    data.setup("predict")
    batches = [data.prepare_batch(batch, training=False)["image"] for batch in data.predict_dataloader()]
    return ((torch.cat(batches) + 1) * 127.5).round()


@pytest.fixture
def plain(tmp_path: Path) -> torch.Tensor:
    bars(tmp_path / "plain", png)
    return images_of(tmp_path / "plain")


@pytest.mark.parametrize(
    ("save", "value_range"),
    [
        (tiff, [0, 1]), (tiff_int32, [0, 255]), (scaled(4095), [0, 4095]), (scaled(4095, 3), [0, 4095]),
        (scaled(4095, 4), [0, 4095]), (scaled(65535), None), (scaled(65535, 3), None), (scaled(65535, 4), None),
        (scaled(65535, 2), None),
    ],
    ids=["float", "int32", "12", "12-rgb", "12-rgba", "16", "16-rgb", "16-rgba", "16-la"],
)  # fmt: skip
def test_deep_images_are_those_of_8_bits_by_a_stated_or_evident_range(
    tmp_path: Path, plain: torch.Tensor, save: Save, value_range: Any
) -> None:
    bars(tmp_path / "deep", save)
    found = images_of(tmp_path / "deep", value_range=value_range)
    assert (found - plain).abs().max() <= 1


@pytest.mark.parametrize(
    ("save", "mode", "says"),
    [
        (tiff, "F", r"0(\.0\d*|)e?.* to (0\.9\d*|1)\. .*value_range, such as \[0, 1\]"),
        (tiff_int32, "I", r"0 to 25\d\. .*such as \[0, 255\]"),
        (scaled(4095), "I;16", r"such as \[0, 4095\]"),
        (scaled(4095, 3), "RGB;16", r"such as \[0, 4095\]"),
    ],
    ids=["float", "int32", "12", "12-rgb"],
)
def test_deep_images_of_an_unknown_range_are_refused_by_every_module(
    tmp_path: Path, save: Save, mode: str, says: str
) -> None:
    bars(tmp_path / "deep", save)
    bars(tmp_path / "pairs/A", save, 6)
    bars(tmp_path / "pairs/B", save, 6)
    source = str(tmp_path / "deep")
    modules = [
        ImageDataModule(source),
        ImageDataModule(source, image_size=8, channels=3, cache_limit_gb=0.0),
        AnomalyDataModule(source, normal_class="bar"),
        DomainDataModule("embedded:plain_digits", source, image_size=8, channels=3),
        UnpairedImageDataModule(source_a=source, source_b=source),
        PairedImageDataModule(str(tmp_path / "pairs")),
        PairedImageDataModule(source, direction="AtoB"),  # halves side by side
    ]
    for data in modules:
        with pytest.raises(ValueError, match=rf"images of mode {mode} hold values from .*{says}"):
            data.setup("fit")


def test_halves_of_deep_images_are_cut_before_they_are_scaled(tmp_path: Path) -> None:
    bars(tmp_path / "deep", scaled(4095, 3))
    bars(tmp_path / "plain", png)
    made = []
    for name, value_range in (("deep", [0, 4095]), ("plain", None)):
        data = PairedImageDataModule(str(tmp_path / name), value_range=value_range, input_channels=1, target_channels=1)  # type: ignore[arg-type]
        data.setup("fit")
        made.append(torch.cat([batch["target"] for batch in data.pictures("val")]))
    torch.testing.assert_close(made[0], made[1], atol=0.01, rtol=0)


def test_a_value_outside_of_the_stated_range_is_named_with_its_file(tmp_path: Path) -> None:
    bars(tmp_path / "deep", tiff)
    Image.fromarray(np.full((16, 16), 1.5, np.float32)).save(tmp_path / "deep/bar/3.tif")
    with pytest.raises(ValueError, match=r"bar/3\.tif holds 1\.5, outside of value_range \(0, 1\)"):
        ImageDataModule(str(tmp_path / "deep"), value_range=(0, 1)).setup("fit")


def test_what_was_evident_in_training_holds_for_prediction(tmp_path: Path) -> None:
    bars(tmp_path / "deep", scaled(65535))
    data = ImageDataModule(str(tmp_path / "deep"))
    data.setup("fit")
    assert data.hparams["value_range"] == (0.0, 65535.0)
    dark = np.zeros((16, 16, 1), int)
    dark[3:5] = 257 * 20
    (tmp_path / "dark").mkdir()
    (tmp_path / "dark/1.png").write_bytes(png_of(dark))
    learnt = {name: data.hparams[name] for name in ("value_range", "image_size", "channels")}
    assert images_of(tmp_path / "dark", **learnt).max() == 20


@pytest.mark.parametrize("kind", ["uint16", "int64", "float32", "bool"])
def test_arrays_and_lists_of_other_numbers_follow_the_same_rule(tmp_path: Path, kind: str, plain: torch.Tensor) -> None:
    pixels = plain[:, 0].numpy()
    most = {"uint16": 65535, "int64": 4095, "float32": 1, "bool": 1}[kind]
    values = (pixels / 255 * most).round(6 if kind == "float32" else 0).astype(kind)
    np.save(tmp_path / "some.npy", values)
    value_range = None if kind in ("uint16", "bool") else (0, most)
    if value_range:
        with pytest.raises(ValueError, match=r"value_range, such as"):
            images_of(tmp_path / "some.npy")
    expected = np.where(pixels > 127, 255, 0) if kind == "bool" else pixels
    found = images_of(tmp_path / "some.npy", value_range=value_range)[:, 0].numpy()
    assert np.abs(found - expected).max() <= 1
    if kind in ("int64", "float32"):
        rows = [json.dumps({"image": image.tolist()}) for image in values]
        (tmp_path / "some.jsonl").write_text("\n".join(rows))
        with pytest.raises(ValueError, match=rf"images of mode {kind[:3]}.* hold values from .*value_range, such as"):
            images_of(tmp_path / "some.jsonl")
        listed = images_of(tmp_path / "some.jsonl", value_range=value_range)[:, 0].numpy()
        assert np.array_equal(listed, found)


def test_lists_of_bytes_need_no_range(tmp_path: Path, plain: torch.Tensor) -> None:
    rows = [json.dumps({"image": image.int().tolist()}) for image in plain[:, 0]]
    (tmp_path / "some.jsonl").write_text("\n".join(rows))
    assert torch.equal(images_of(tmp_path / "some.jsonl"), plain)


# --- transparency -----------------------------------------------------------------------------------------------------


def test_what_is_transparent_becomes_white_in_every_mode() -> None:
    colours = np.zeros((1, 3, 4), np.uint8)
    colours[0, :, :3] = (200, 100, 50)
    colours[0, :, 3] = (255, 0, 51)
    image = Image.fromarray(colours)
    expected = [[200, 100, 50], [255, 255, 255], [244, 224, 214]]
    assert decode(image, (1, 3), 3, "stretch")[0].tolist() == expected
    grey = Image.fromarray(np.array([[[200, 255], [0, 0], [0, 51]]], np.uint8))
    assert decode(grey, (1, 3), 1, "stretch")[0, :, 0].tolist() == [200, 255, 204]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    for stored in ("file", "bytes"):
        file = io.BytesIO()
        palette.save(file, "PNG", transparency=1)
        assert decode(Image.open(file), (1, 2), 3, "stretch")[0].tolist() == [[10, 20, 30], [255] * 3], stored
    keyed = io.BytesIO()
    Image.fromarray(np.array([[7, 9]], np.uint8)).save(keyed, "PNG", transparency=9)
    assert decode(Image.open(keyed), (1, 2), 1, "stretch")[0, :, 0].tolist() == [7, 255]


def test_opaque_alpha_changes_no_pixel() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
    colours[..., 3] = 255
    for channels, mode in ((3, "RGB"), (1, "L")):
        plain = np.asarray(Image.fromarray(colours).convert(mode)).reshape(6, 5, channels)
        assert np.array_equal(decode(Image.fromarray(colours), (6, 5), channels, "stretch"), plain)


def test_shapes_that_are_in_the_alpha_channel_alone_are_seen(tmp_path: Path, plain: torch.Tensor) -> None:
    def sprite(image: np.ndarray, path: Path) -> None:
        layers = np.dstack([np.zeros((16, 16, 3), np.uint8), (image * 255).astype(np.uint8)])
        Image.fromarray(layers).save(path.with_suffix(".png"))

    bars(tmp_path / "sprites", sprite)
    assert (255 - images_of(tmp_path / "sprites") - plain).abs().max() <= 1


# --- what looks wrong -------------------------------------------------------------------------------------------------


def test_images_that_show_nothing_are_remarked_on_before_training(tmp_path: Path) -> None:
    bars(tmp_path / "dark", lambda image, path: png(image / 10, path))
    with pytest.warns(UserWarning, match=r"24 of 24 images use less than an eighth of the range .* 0 to 2\d"):
        ImageDataModule(str(tmp_path / "dark"), test_fraction=0.0).setup("fit")

    def one_colour(image: np.ndarray, path: Path) -> None:
        colour = tuple((image[:1, :3] * 2550).astype(int).ravel().tolist())
        Image.new("RGB", (16, 16), colour).save(path.with_suffix(".png"))

    bars(tmp_path / "flat", one_colour)
    with pytest.warns(UserWarning, match=r"24 of 24 images are of one colour each"):
        ImageDataModule(str(tmp_path / "flat"), test_fraction=0.0).setup("fit")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bars(tmp_path / "plain", png)
        ImageDataModule(str(tmp_path / "plain"), val_fraction=0.25, test_fraction=0.0).setup("fit")


def test_an_empty_split_of_equal_images_says_why(tmp_path: Path) -> None:
    bars(tmp_path / "same", lambda _, path: png(np.zeros((16, 16)), path))
    with (
        pytest.warns(UserWarning, match="all 24 images are equal, pixel by pixel"),
        pytest.raises(ValueError, match=r"val split is empty: equal images .* of 24 images 1 are different"),
    ):
        ImageDataModule(str(tmp_path / "same"), test_fraction=0.0).setup("fit")
