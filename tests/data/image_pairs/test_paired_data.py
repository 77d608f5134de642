"""`PairedImageDataModule`: every input with its own target, changed alike, from every layout; and bad folders."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lhy_lightning.core.arguments.signatures import constructor_arguments
from lhy_lightning.data.augmentation.edges import edges, grey
from lhy_lightning.data.image_pairs.paired_data import PairedImageDataModule

Writer = Callable[..., Path]


def ready(source: Path | str = "embedded:digit_edges", stage: str = "fit", **options: Any) -> PairedImageDataModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = PairedImageDataModule(str(source), **options)
        data.setup(stage)
    return data


def batches(data: PairedImageDataModule, name: str, *, training: bool = False) -> list[dict[str, Tensor]]:
    return [data.prepare_batch(batch, training=training) for batch in getattr(data, f"{name}_dataloader")()]


def negative(path: Path, out: Path) -> None:
    """The target of these tests: 255 minus the input, so that a wrong partner or another draw shows."""
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(255 - np.asarray(Image.open(path))).save(out)


def assert_partners(found: list[dict[str, Tensor]]) -> None:
    for batch in found:
        torch.testing.assert_close(batch["target"], -batch["input"])


@pytest.fixture
def two_folders(tmp_path: Path, write_picture: Writer) -> Path:
    """A/ and B/ with 20 pictures each, of equal names and other endings."""
    for i in range(20):
        negative(write_picture(tmp_path / f"set/A/{i}.png", i), tmp_path / f"set/B/{i}.bmp")
    return tmp_path / "set"


@pytest.fixture
def side_by_side(tmp_path: Path, write_picture: Writer) -> Path:
    """train/ and val/ of pictures whose right half is the negative of the left one."""
    for i in range(16):
        path = write_picture(tmp_path / f"facades/{'train' if i < 12 else 'val'}/{i}.png", i)
        left = np.asarray(Image.open(path))
        Image.fromarray(np.concatenate([left, 255 - left], axis=1)).save(path)
    return tmp_path / "facades"


# --- batches ----------------------------------------------------------------------------------------------------------


def test_the_embedded_pairs_are_digits_and_their_edges() -> None:
    data = ready(batch_size=8)
    batch = batches(data, "train", training=True)[0]
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "input": (8, 1, 32, 32), "target": (8, 1, 32, 32)
    }  # fmt: skip
    assert batch["input"].dtype == batch["target"].dtype == torch.float32
    assert torch.equal(batch["input"], edges(batch["target"]))
    assert (data.image_size, data.input_channels, data.target_channels) == ((32, 32), 1, 1)


def test_evaluation_rows_come_once_in_order_with_their_index() -> None:
    data = ready(batch_size=50)
    for split in ("val", "test"):
        found = batches(data, split)
        assert set(found[0]) == {"input", "target", "index"}
        index = torch.cat([batch["index"] for batch in found])
        assert torch.equal(index, torch.arange(len(data.paths(split))))
    rows = [path for split in ("train", "val", "test") for path in data.paths(split)]
    assert len(rows) == len(set(rows)) == 1797


def test_both_pictures_of_a_pair_are_flipped_and_cropped_alike(two_folders: Path) -> None:
    plain = ready(two_folders, image_size=8, load_size=(10, 12), batch_size=4)  # no resizing: that rounds
    data = ready(two_folders, image_size=8, load_size=(10, 12), horizontal_flip=0.5, vertical_flip=0.5, batch_size=4)
    torch.manual_seed(0)
    found = batches(data, "train", training=True)
    assert found[0]["input"].shape == (4, 3, 8, 8)
    assert_partners(found)
    centres = {batch["input"][i].numpy().tobytes() for batch in batches(plain, "train") for i in range(4)}
    assert not centres & {batch["input"][i].numpy().tobytes() for batch in found for i in range(4)}


def test_training_comes_anew_every_epoch_and_goes_on_after_a_resume(two_folders: Path) -> None:
    data = ready(two_folders, batch_size=4)
    loader = data.train_dataloader()
    first = list(loader)
    loader.sampler.set_epoch(1)  # type: ignore[attr-defined]
    second = list(loader)
    assert not torch.equal(first[0]["input"], second[0]["input"])
    again = ready(two_folders, batch_size=4).train_dataloader()
    again.load_state_dict({"epoch": 1, "batches": 2})
    for one, other in zip(again, second[2:], strict=True):
        assert torch.equal(one["input"], other["input"])
        assert torch.equal(one["target"], other["target"])


# --- layouts ----------------------------------------------------------------------------------------------------------


def test_two_folders_pair_files_of_equal_names(two_folders: Path) -> None:
    data = ready(two_folders, batch_size=4)
    for split in ("train", "val", "test"):
        assert_partners(batches(data, split))
    assert all("/A/" in path for path in data.paths("train"))
    assert ready(two_folders, direction="BtoA").paths("val")[0].split("/")[-2] == "B"


def test_inputs_and_targets_of_two_places_are_paired(two_folders: Path) -> None:
    options: dict[str, Any] = {
        "input_source": str(two_folders / "B"),
        "target_source": str(two_folders / "A"),
        "batch_size": 4,
    }
    assert_partners(batches(ready(**options), "train"))


def test_folders_by_split_and_side_are_found_either_way_round(tmp_path: Path, write_picture: Writer) -> None:
    layouts = (
        "trainA trainB testA testB",
        "A/train B/train A/test B/test",
        "train/input train/target test/input test/target",
    )
    for number, layout in enumerate(layouts):
        root, (train_a, train_b, test_a, test_b) = tmp_path / f"{number}", layout.split()
        for i in range(8):
            negative(write_picture(root / train_a / f"{i}.png", i), root / train_b / f"{i}.png")
            negative(write_picture(root / test_a / f"{i}.png", 50 + i), root / test_b / f"{i}.png")
        data = ready(root, batch_size=3)
        assert len(data.paths("test")) == 8
        assert len(data.paths("train")) + len(data.paths("val")) == 8
        for split in ("train", "val", "test"):
            assert_partners(batches(data, split))


def test_pictures_side_by_side_are_cut_in_halves(side_by_side: Path) -> None:
    data = ready(side_by_side, batch_size=4, test_fraction=0.2)
    assert data.image_size == (10, 12)
    assert len(data.paths("val")) == 4
    found = batches(data, "train") + batches(data, "val")
    assert_partners(found)
    turned = ready(side_by_side, batch_size=4, direction="BtoA")
    torch.testing.assert_close(batches(turned, "val")[0]["input"], batches(data, "val")[0]["target"])


def test_halves_do_not_bleed_into_each_other_when_they_are_resized(tmp_path: Path) -> None:
    picture = np.zeros((32, 64, 3), dtype=np.uint8)
    picture[:, 32:] = 255
    for i in range(10):
        (tmp_path / "set").mkdir(exist_ok=True)
        picture[:2, :4] = 20 * i  # not all the same picture
        Image.fromarray(picture).save(tmp_path / f"set/{i}.png")
    batch = batches(ready(tmp_path / "set", image_size=8, batch_size=2, test_fraction=0), "train")[0]
    assert batch["input"][:, :, 2:].max() == -1
    assert batch["target"].min() == 1


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_an_input_transform_makes_pairs_of_any_source(direction: Any, two_folders: Path) -> None:
    data = ready(two_folders / "A", input_transform="grey", direction=direction, batch_size=4, horizontal_flip=0.5)
    batch = batches(data, "train", training=True)[0]
    computed, read = ("input", "target") if direction == "AtoB" else ("target", "input")
    assert torch.equal(batch[computed], grey(batch[read]))
    channels = {"input": data.input_channels, "target": data.target_channels}
    assert (channels[computed], channels[read]) == (1, 3)


def test_arrays_are_paired_by_row(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "x.npy", pixels)
    np.save(tmp_path / "y.npy", 255 - pixels)
    np.save(tmp_path / "short.npy", pixels[:19])
    places = {"input_source": str(tmp_path / "x.npy"), "target_source": str(tmp_path / "y.npy")}
    assert_partners(batches(ready(**places, batch_size=4), "train"))
    with pytest.raises(ValueError, match=r"has 20 train pictures, .*short.npy has 19"):
        ready(**{**places, "target_source": str(tmp_path / "short.npy")})


def test_input_and_target_may_differ_in_channels(two_folders: Path) -> None:
    data = ready(two_folders, input_channels=1, batch_size=4)
    batch = batches(data, "train")[0]
    assert batch["input"].shape[1:] == (1, 10, 12)
    assert batch["target"].shape[1:] == (3, 10, 12)
    assert (data.hparams["input_channels"], data.hparams["target_channels"]) == (1, 3)


def test_prediction_does_with_inputs_alone_in_path_order(two_folders: Path) -> None:
    data = ready(stage="predict", input_source=str(two_folders / "A"), batch_size=7)
    found = batches(data, "predict")
    assert set(found[0]) == {"input", "index"}
    assert sum(len(batch["index"]) for batch in found) == 20
    assert data.paths("predict") == sorted(data.paths("predict"))
    with pytest.raises(ValueError, match="without target_source"):
        ready(input_source=str(two_folders / "A"))


def test_hyperparameters_are_the_signature_and_build_the_same_module(two_folders: Path) -> None:
    data = ready(two_folders)
    assert set(data.hparams) == set(constructor_arguments(PairedImageDataModule))
    assert PairedImageDataModule(**data.hparams)._args.image_size == (10, 12)


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_picture_without_a_partner_is_named(two_folders: Path) -> None:
    (two_folders / "B/7.bmp").unlink()
    with pytest.raises(ValueError, match=r"1 picture of .*A without a partner of the same name in .*B: 7\."):
        ready(two_folders)


def test_a_name_that_occurs_twice_is_an_error(two_folders: Path, write_picture: Writer) -> None:
    write_picture(two_folders / "A/7.bmp", 0)
    with pytest.raises(ValueError, match=r"7\.bmp and 7\.png"):
        ready(two_folders)


@pytest.mark.parametrize("broken", ["A/3.png", "B/3.bmp"])
def test_a_pair_with_a_corrupt_picture_is_left_out_and_told(two_folders: Path, broken: str) -> None:
    (two_folders / broken).write_bytes(b"no picture at all")
    data = PairedImageDataModule(str(two_folders))
    with pytest.warns(UserWarning, match=r"1 train picture left out, for they cannot be read"):
        data.setup()
    rows = [path for split in ("train", "val", "test") for path in data.paths(split)]
    assert len(rows) == 19


def test_an_odd_width_is_not_two_pictures(tmp_path: Path, write_picture: Writer) -> None:
    write_picture(tmp_path / "set/0.png", 0, (13, 10))
    with pytest.raises(ValueError, match=r"0\.png is 13 pixels wide: not two pictures .* input_transform"):
        ready(tmp_path / "set")


def test_square_pictures_in_place_of_pairs_are_warned_about(tmp_path: Path, write_picture: Writer) -> None:
    for i in range(10):
        write_picture(tmp_path / f"set/{i}.png", i, (12, 12))
    with pytest.warns(UserWarning, match="is taken for two pictures side by side"):
        PairedImageDataModule(str(tmp_path / "set")).setup()


def test_pairs_of_different_size_ask_for_one(tmp_path: Path, write_picture: Writer) -> None:
    for i in range(10):
        write_picture(tmp_path / f"set/A/{i}.png", i, (12, 12))
        write_picture(tmp_path / f"set/B/{i}.png", i, (8, 8))
    with pytest.raises(ValueError, match=r"A has 12×12, .*B has 8×8\. Set --data.image_size"):
        ready(tmp_path / "set")
    assert batches(ready(tmp_path / "set", image_size=8, batch_size=4), "train")[0]["input"].shape == (4, 3, 8, 8)


def test_one_side_of_a_split_alone_and_empty_folders_are_errors(two_folders: Path, tmp_path: Path) -> None:
    (two_folders / "A").rename(two_folders / "trainA")
    with pytest.raises(ValueError, match="has trainA but no trainB"):
        ready(two_folders)
    (two_folders / "B").rename(two_folders / "trainB")
    for path in (two_folders / "trainB").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="trainB holds no picture"):
        ready(two_folders)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        ready(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "AB"}, "direction is one of AtoB, BtoA, not 'AB'"),
        ({"input_transform": "edge"}, "input_transform is one of edges, grey, not 'edge'"),
        ({"target_source": "x"}, "target_source without input_source"),
        ({"input_source": "x", "input_transform": "grey"}, "give source, not input_source"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"load_size": 8}, "load_size needs image_size"),
        ({"load_size": 8, "image_size": 16}, "load_size=8 must not be smaller"),
        ({"val_fraction": 0.0}, "val_fraction=0.0"),
        ({"horizontal_flip": 2.0}, "horizontal_flip=2.0"),
        ({"input_channels": 4}, "input_channels=4"),
    ],
)
def test_arguments_that_make_no_sense_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PairedImageDataModule(**options)
