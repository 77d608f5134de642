"""Grey, inverted and edge pictures: what OpenCV makes of each, once, before everything that is random."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lhy_lightning.core import extras
from lhy_lightning.data.domains.domain_data import DomainDataModule
from lhy_lightning.data.domains.domain_transforms import ChangedPictures
from lhy_lightning.data.images.reading.readers import FilePictures

Writer = Callable[..., Path]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what is told besides


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Class folders of pieces of a photo, which have edges; of another size than they are asked for at."""
    from sklearn.datasets import load_sample_images

    photo = load_sample_images().images[0]
    for i in range(24):
        place = tmp_path / "scenes" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo[8 * i : 8 * i + 64, 16 * i : 16 * i + 80]).save(place / f"{i}.png")
    return tmp_path / "scenes"


def ready(scenes: Path, tmp_path: Path, **options: Any) -> DomainDataModule:
    data = DomainDataModule(
        str(scenes), str(scenes), image_size=32, batch_size=4, cache_dir=str(tmp_path / "cache"), **options
    )
    data.setup()
    return data


def bytes_of(pictures: torch.Tensor) -> np.ndarray:
    return ((pictures + 1) * 127.5).round().byte().numpy()


@pytest.mark.parametrize("canny", [(170, 300), (50, 100)])
def test_edges_are_those_of_opencv_on_the_grey_picture_at_its_final_size(
    scenes: Path, tmp_path: Path, canny: tuple[int, int]
) -> None:
    data = ready(scenes, tmp_path, source_transform="edges", target_transform="grey", canny=canny)
    assert data.channels == 1
    found = bytes_of(torch.cat(list(data.pictures("source_train"))))
    for path, picture in zip(data.paths("source_train"), found, strict=True):
        grey = np.array(Image.open(path).convert("L").resize((32, 32), Image.Resampling.BILINEAR))
        assert np.array_equal(picture[0], cv2.Canny(grey, *canny))
    assert 0.02 < (found > 0).mean() < 0.6


def test_grey_and_inverted_add_up_to_white_and_three_channels_repeat_the_one(scenes: Path, tmp_path: Path) -> None:
    data = ready(scenes, tmp_path, source_transform="grey", target_transform="inverted", channels=3)
    source = {path: i for i, path in enumerate(data.paths("source_train"))}
    grey, inverted = (bytes_of(torch.cat(list(data.pictures(split)))) for split in ("source_train", "target_train"))
    common = [(i, source[path]) for i, path in enumerate(data.paths("target_train")) if path in source]
    assert len(common) > 10
    for i, j in common:
        assert (inverted[i].astype(int) + grey[j] == 255).all()
    assert np.array_equal(grey[:, 0], grey[:, 1])
    assert np.array_equal(grey[:, 0], grey[:, 2])


def test_every_picture_is_computed_once_however_many_epochs_and_runs(scenes: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"source_transform": "edges", "target_transform": "grey", "horizontal_flip": 0.5}
    canny = cv2.Canny
    with patch.object(cv2, "Canny", side_effect=canny) as counted:
        data = ready(scenes, tmp_path, **options)
        for epoch in range(3):
            data.train_dataloader().sampler.set_epoch(epoch)  # type: ignore[attr-defined]
            list(data.train_dataloader())
        ready(scenes, tmp_path, **options)
        assert counted.call_count == 24
        ready(scenes, tmp_path, **options, canny=(10, 20))
        assert counted.call_count == 48


def test_edges_come_before_flips(scenes: Path, tmp_path: Path) -> None:
    data = ready(scenes, tmp_path, source_transform="edges", target_transform="edges", horizontal_flip=1.0)
    batch = next(iter(data.train_dataloader()))
    plain, flipped = data.prepare_batch(batch, training=False), data.prepare_batch(batch, training=True)
    assert torch.equal(flipped["source_image"], plain["source_image"].flip(3))
    assert torch.equal(flipped["target_image"], plain["target_image"].flip(3))


def test_sets_read_anew_for_every_batch_give_the_same(scenes: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"source_transform": "edges", "target_transform": "inverted"}
    kept, streamed = ready(scenes, tmp_path, **options), ready(scenes, tmp_path, **options, cache_limit_gb=0.0)
    for one, other in zip(kept.train_dataloader(), streamed.train_dataloader(), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_corrupt_pictures_stay_corrupt(scenes: Path) -> None:
    (scenes / "a/0.png").write_bytes(b"no picture at all")
    pictures = ChangedPictures(FilePictures(scenes, ["a/0.png", "a/2.png"]), "edges")
    assert pictures.decode(0, (32, 32), 1, "stretch") is None
    assert (pictures.header(0), pictures.header(1)) == ((0, 0, 0), (64, 80, 1))


def test_edges_without_opencv_name_the_extra(scenes: Path) -> None:
    with (
        patch.object(extras, "find_spec", return_value=None),
        pytest.raises(ModuleNotFoundError, match=r'pip install "lhy-lightning\[edges\]"'),
    ):
        DomainDataModule(str(scenes), str(scenes), source_transform="edges")


def test_a_change_that_there_is_not_is_an_error(scenes: Path) -> None:
    with pytest.raises(ValueError, match="target_transform is one of none, grey, inverted, edges, not 'canny'"):
        DomainDataModule(str(scenes), str(scenes), target_transform="canny")  # type: ignore[arg-type]


def test_pictures_without_edges_are_not_one_picture_and_every_class_keeps_its_share(tmp_path: Path) -> None:
    """Equal pictures stay on one side of a split: a blank sheet of edges is not what makes them equal."""
    for i in range(40):
        place = tmp_path / "flat" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (i, i, i)).save(place / f"{i}.png")
    data = ready(tmp_path / "flat", tmp_path, source_transform="edges", target_transform="edges", val_fraction=0.25)
    assert (bytes_of(torch.cat(list(data.pictures("source_train")))) == 0).all()
    labels = data.labels("source_val")
    assert labels is not None
    assert torch.bincount(labels).tolist() == [5, 5]
