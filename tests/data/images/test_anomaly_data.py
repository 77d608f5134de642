"""`AnomalyDataModule`: what is normal, what is not, and homework 8's arrays as they are handed out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lhy_lightning import AnomalyDataModule, ImageDataModule


def ready(*stages: str, **arguments: object) -> AnomalyDataModule:
    data = AnomalyDataModule(**arguments)  # type: ignore[arg-type]
    for stage in stages or ("fit", "test"):
        data.setup(stage)
    return data


def labels_of(data: AnomalyDataModule, split: str) -> torch.Tensor:
    return torch.cat([batch["label"] for batch in data._evaluation_loader(split)])


@pytest.fixture
def data_bin(tmp_path: Path) -> Path:
    """Homework 8's folder: 60 and 20 pictures of 64 x 64 x 3 bytes, no labels."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "data-bin"
    folder.mkdir()
    for name, rows in (("trainingset", 60), ("testingset", 20)):
        np.save(folder / f"{name}.npy", generator.integers(0, 256, (rows, 64, 64, 3), dtype=np.uint8))
    return folder


def test_training_and_validation_see_the_normal_class_only_and_the_test_all_of_them() -> None:
    data, plain = ready(normal_class="3"), ImageDataModule()
    plain.setup("fit")
    assert not labels_of(data, "train").any()
    assert not labels_of(data, "val").any()
    assert len(data._split("train")) == plain.class_counts[3]
    assert labels_of(data, "test").tolist() == (plain._split("test").truth != 3).astype(int).tolist()


def test_splits_are_the_same_rows_whatever_stage_made_them_first() -> None:
    both, test = ready("fit", "test", normal_class="3"), ready("test", normal_class="3")
    assert both.paths("test") == test.paths("test")
    assert labels_of(both, "test").tolist() == labels_of(test, "test").tolist()


def test_validation_keeps_anomalies_only_where_asked_to() -> None:
    labels = labels_of(ready("fit", normal_class="3", val_anomalies=True), "val")
    assert 0 < labels.float().mean() < 1


def test_homework_8s_arrays_are_read_as_they_are_handed_out(data_bin: Path) -> None:
    data = ready("fit", "predict", source=str(data_bin), normal_class=None)
    assert (data.image_size, data.channels) == ((64, 64), 3)
    assert len(data._split("train")) + len(data._split("val")) == 60
    assert data.has_test
    assert not data.test_labelled
    assert data.paths("predict") == [f"{data_bin}/testingset.npy#{row}" for row in range(20)]
    batch = data.prepare_batch(next(iter(data.predict_dataloader())), training=False)
    expected = torch.from_numpy(np.load(data_bin / "testingset.npy")).permute(0, 3, 1, 2) / 127.5 - 1
    torch.testing.assert_close(batch["image"], expected)
    assert "label" not in batch


def test_a_training_folder_of_good_ones_and_a_test_folder_of_both(
    tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    for number, place in enumerate(["train/good"] * 9 + ["test/good"] * 2 + ["test/scratch"] * 3):
        write_picture(tmp_path / "pads" / place / f"{number}.png", number, (8, 8))
    data = ready(source=str(tmp_path / "pads"), normal_class="good", val_fraction=0.3)
    assert labels_of(data, "test").tolist() == [0, 0, 1, 1, 1]
    assert len(data._split("train")) + len(data._split("val")) == 9


def test_a_class_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"normal_class='cat' is none of the classes 0, 1, 2, .*: which of them"):
        ready(normal_class="cat")
    with pytest.raises(ValueError, match="normal_class=None is none of the classes"):
        ready(normal_class=None)


def test_reading_a_large_array_does_not_fill_the_memory(tmp_path: Path) -> None:
    rows = 15_000
    array = np.lib.format.open_memmap(tmp_path / "big.npy", "w+", np.uint8, (rows, 64, 64, 3))
    array[:, 0, 0, :] = np.arange(3 * rows).reshape(rows, 3) // np.array([1, 256, 65536]) % 256  # no two are equal
    array.flush()
    del array
    before = resident()
    data = ready("fit", source=str(tmp_path / "big.npy"), normal_class=None, test_fraction=0.0, batch_size=500)
    read = sum(batch["image"].nbytes for batch in data.train_dataloader())
    assert read > 150e6
    assert resident() - before < 90e6


def resident() -> int:
    """Bytes of this process that are in memory, those of mapped files too."""
    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("no /proc here")
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmRSS"))
