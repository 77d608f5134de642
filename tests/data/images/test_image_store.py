import errno
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lhy_lightning.data.images import image_store as picture_store
from lhy_lightning.data.images.image_store import ImageStore, read_headers
from lhy_lightning.data.images.reading.readers import FilePictures, decode
from lhy_lightning.data.images.store_pool import Pool

Writer = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path, write_picture: Writer) -> FilePictures:
    for i in range(10):
        write_picture(tmp_path / f"set/{i}.png", i)
    return FilePictures(tmp_path / "set", [f"{i}.png" for i in range(10)])


def store_of(pictures: FilePictures, folder: Path, **other: Any) -> ImageStore:
    options = {"size": (6, 8), "channels": 3, "resize": "stretch", "folder": folder, "keep": True} | other
    return ImageStore(pictures, **options)


def test_decoded_once_and_reused(files: FilePictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store_of(files, tmp_path / "cache")
    monkeypatch.setattr(FilePictures, "decode", lambda *_: pytest.fail("decoded a second time"))
    second = store_of(files, tmp_path / "cache")
    rows = np.array([3, 1, 3])
    assert torch.equal(first.take(rows), second.take(rows))
    assert second.take(rows).dtype == torch.uint8
    assert second.take(rows).shape == (3, 3, 6, 8)


def test_streamed_and_kept_pictures_are_equal(files: FilePictures, tmp_path: Path) -> None:
    rows = np.arange(10)
    kept, streamed = store_of(files, tmp_path / "a"), store_of(files, tmp_path / "b", keep=False)
    assert torch.equal(kept.take(rows), streamed.take(rows))
    assert np.array_equal(kept.content, streamed.content)
    assert not list((tmp_path / "b").glob("*.pixels.npy"))


def test_pixels_are_those_of_pil(files: FilePictures, tmp_path: Path) -> None:
    image = Image.open(files.name(4)).resize((8, 6), Image.Resampling.BILINEAR)
    taken = store_of(files, tmp_path / "cache").take(np.array([4]))[0]
    assert np.array_equal(taken.permute(1, 2, 0).numpy(), np.asarray(image))


def test_a_changed_file_is_decoded_anew(files: FilePictures, tmp_path: Path, write_picture: Writer) -> None:
    before = store_of(files, tmp_path / "cache").take(np.array([0]))
    write_picture(tmp_path / "set/0.png", 77)
    after = store_of(FilePictures(files.root, files.paths), tmp_path / "cache").take(np.array([0]))
    assert not torch.equal(before, after)


def test_a_broken_cache_file_is_rebuilt(files: FilePictures, tmp_path: Path) -> None:
    store = store_of(files, tmp_path / "cache")
    expected = store.take(np.arange(10)).clone()
    store.pixels_file.write_bytes(store.pixels_file.read_bytes()[:300])
    assert torch.equal(store_of(files, tmp_path / "cache").take(np.arange(10)), expected)


def test_a_full_disk_leaves_no_partial_file_and_says_what_to_do(
    files: FilePictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > 700:  # the header and three of ten pictures
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(picture_store.os, "fdopen", lambda *_: FullDisk())
    monkeypatch.setattr(picture_store, "TASK", 1)
    with pytest.raises(OSError, match=r"No space left on device.*--data.cache_dir"):
        store_of(files, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
    monkeypatch.undo()
    assert len(store_of(files, tmp_path / "cache").content) == 10


def test_a_corrupt_picture_is_marked_and_a_grey_one_stands_in(files: FilePictures, tmp_path: Path) -> None:
    (tmp_path / "set/5.png").write_bytes(b"broken")
    pictures = FilePictures(files.root, files.paths)
    store = store_of(pictures, tmp_path / "cache")
    assert np.flatnonzero(store.bad).tolist() == [5]
    assert set(store.take(np.array([5])).flatten().tolist()) == {128}
    assert read_headers(pictures, tmp_path / "cache")[5].tolist() == [0, 0, 0]


def test_a_store_opens_its_file_again_in_a_worker_process(files: FilePictures, tmp_path: Path) -> None:
    store = store_of(files, tmp_path / "cache")
    data = pickle.dumps(store)
    assert torch.equal(pickle.loads(data).take(np.arange(10)), store.take(np.arange(10)))


def test_a_pool_takes_rows_of_several_stores_in_their_order(files: FilePictures, tmp_path: Path) -> None:
    one = store_of(files, tmp_path / "cache")
    other = store_of(FilePictures(files.root, files.paths[:4][::-1]), tmp_path / "cache")
    pool = Pool([one, other])
    taken = pool.take(np.array([12, 0, 10, 9, 1]))
    assert torch.equal(taken, one.take(np.array([1, 0, 3, 9, 1])))
    assert pool.name(10) == one.pictures.name(3)


def test_crop_keeps_the_centre_and_stretch_keeps_all() -> None:
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels[:, 2:6] = 200
    assert decode(Image.fromarray(pixels), (4, 4), 3, "crop").min() == 200
    assert decode(Image.fromarray(pixels), (4, 4), 3, "stretch").min() < 50


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_picture_decodes(mode: str, channels: int) -> None:
    image = Image.new("I;16", (5, 4), 128 * 257) if mode == "I;16" else Image.new("L", (5, 4), 255).convert(mode)
    pixels = decode(image, (4, 5), channels, "stretch")
    assert pixels.shape == (4, 5, channels)
    assert pixels.dtype == np.uint8
    assert set(pixels.flatten().tolist()) == ({128} if mode == "I;16" else {255})
