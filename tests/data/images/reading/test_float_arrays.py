"""`.npy` files of floats, of a wrong rank, with NaN, with objects: read, or refused with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lhy_lightning import ImageDataModule


def opened(path: Path, **arguments: Any) -> ImageDataModule:
    data = ImageDataModule(str(path), test_fraction=0.0, **arguments)
    data.setup("fit")
    return data


def saved(folder: Path, array: Any, **options: Any) -> Path:
    np.save(folder / "some.npy", array, **options)
    return folder / "some.npy"


@pytest.fixture
def floats() -> np.ndarray:
    return np.random.default_rng(0).random((20, 8, 8, 1), dtype=np.float32)


def test_floats_of_a_stated_range_are_pictures_in_8_bits(tmp_path: Path, floats: np.ndarray) -> None:
    data = opened(saved(tmp_path, floats), value_range=(0, 1))
    pictures = torch.cat(list(data.pictures("train")))
    rows = data._split("train").rows
    expected = torch.from_numpy(floats[rows]).permute(0, 3, 1, 2) * 2 - 1
    torch.testing.assert_close(pictures, expected, atol=1.01 / 255, rtol=0)


def test_floats_without_a_range_are_asked_for_it(tmp_path: Path, floats: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"holds float32 .* are black and white: set --data.value_range"):
        opened(saved(tmp_path, floats))


def test_a_value_outside_of_the_range_is_named_with_its_row(tmp_path: Path, floats: np.ndarray) -> None:
    floats[7, 3, 3] = 1.5
    with pytest.raises(ValueError, match=r"some.npy#7 holds 1.5, outside of value_range \(0, 1\)"):
        opened(saved(tmp_path, floats), value_range=(0, 1))
    with pytest.raises(ValueError, match="black must be less than white"):
        opened(saved(tmp_path, floats), value_range=(1, 0))


def test_a_picture_with_nan_is_left_out_and_counted(tmp_path: Path, floats: np.ndarray) -> None:
    floats[7, 3, 3] = np.nan
    with pytest.warns(UserWarning, match="1 train picture left out, for they cannot be read: .*some.npy#7"):
        data = opened(saved(tmp_path, floats), value_range=(0, 1))
    assert 7 not in {*data._split("train").rows, *data._split("val").rows}
    with pytest.warns(UserWarning, match="a grey one stands in"):
        data.setup("predict")
    assert data.bad_rows["predict"] == [7]


@pytest.mark.parametrize("shape", [(20, 64), (20, 3, 8, 8), (2, 2, 8, 8, 3)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_arrays_of_a_wrong_shape_are_told_what_pictures_are(tmp_path: Path, shape: tuple[int, ...], kind: Any) -> None:
    with pytest.raises(ValueError, match=r"of shape \(.*\); pictures are .*\(N, height, width\)"):
        opened(saved(tmp_path, np.zeros(shape, kind)), value_range=(0, 1))


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    path = saved(tmp_path, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"some\.npy is not a plain numpy array of pictures"):
        opened(path)
