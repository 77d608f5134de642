"""Small picture folders, written anew for every test that asks for them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Writer = Callable[..., Path]


@pytest.fixture
def write_picture() -> Writer:
    """Writes a random picture; the same seed, the same pixels."""

    def write(path: Path, seed: int, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
        pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def class_folders(tmp_path: Path, write_picture: Writer) -> Path:
    """Two classes of 20 pictures each."""
    for number, name in enumerate(("cat", "dog")):
        for i in range(20):
            write_picture(tmp_path / "pets" / name / f"{i}.png", 100 * number + i)
    return tmp_path / "pets"


@pytest.fixture
def food11(tmp_path: Path, write_picture: Writer) -> Path:
    """The course's folder in small: three classes, jpg of odd sizes, one corrupt picture for training, one to test."""
    root, seed = tmp_path / "food-11", 0
    for name in ("00", "01", "10"):
        for i in range(6):
            seed += 1
            write_picture(root / f"training/labeled/{name}/{int(name)}_{i}.jpg", seed, (12 + i % 3, 10))
        for i in range(2):
            seed += 1
            write_picture(root / f"validation/{name}/{int(name)}_{i}.jpg", seed)
    for i in range(9):
        write_picture(root / f"training/unlabeled/00/{i}.jpg", 100 + i)
    for i in range(5):
        write_picture(root / f"testing/00/{i:04d}.jpg", 200 + i)
    broken = root / "training/labeled/01/1_3.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    (root / "testing/00/0002.jpg").write_bytes(b"no picture at all")
    return root
