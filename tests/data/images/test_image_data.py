"""`ImageDataModule`: what it yields, from which rows, and what it says about bad input."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from PIL import Image
from torch import Tensor

from lhy_lightning import ImageDataModule
from lhy_lightning.data import samplers
from lhy_lightning.data.images import unlabelled as picture_batches
from lhy_lightning.data.images.reading.readers import FilePictures
from tests.shared_data import SHARED

Writer = Callable[..., Path]


def ready(source: Path | str = "embedded:digits", stage: str = "fit", **options: Any) -> ImageDataModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = ImageDataModule(str(source), **options)
        data.setup(stage)
    return data


def batches(data: ImageDataModule, name: str, *, training: bool = False) -> list[dict[str, Tensor]]:
    return [data.prepare_batch(batch, training=training) for batch in getattr(data, f"{name}_dataloader")()]


# --- batches ----------------------------------------------------------------------------------------------------------


def test_training_batches_are_pictures_between_minus_one_and_one_and_labels() -> None:
    batch = batches(ready(batch_size=50), "train", training=True)[0]
    assert batch["image"].shape == (50, 1, 8, 8)
    assert batch["image"].dtype == torch.float32
    assert (batch["image"].min(), batch["image"].max()) == (-1, 1)
    assert batch["label"].dtype == torch.int64
    assert set(batch) == {"image", "label"}


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_rows_come_once_in_order_with_their_index(split: str) -> None:
    data = ready(batch_size=50)
    index = torch.cat([batch["index"] for batch in batches(data, split)])
    assert torch.equal(index, torch.arange(len(data.paths(split))))  # type: ignore[arg-type]


def test_two_ranks_share_evaluation_rows_without_loss_or_repetition() -> None:
    data, seen = ready(batch_size=7), []
    for rank in range(2):
        with patch.object(samplers, "rank_and_world", return_value=(rank, 2)):
            seen += torch.cat([batch["index"] for batch in data.val_dataloader()]).tolist()
    assert sorted(seen) == list(range(len(data.paths("val"))))


def test_size_and_channels_are_those_asked_for() -> None:
    data = ready(image_size=(12, 16), channels=3)
    assert batches(data, "val")[0]["image"].shape[1:] == (3, 12, 16)
    assert data.hparams["image_size"] == (12, 16)


def test_what_setup_learns_is_in_the_hyperparameters() -> None:
    data = ready()
    found = {name: data.hparams[name] for name in ("image_size", "channels", "class_names", "num_classes")}
    assert found == {"image_size": (8, 8), "channels": 1, "class_names": list("0123456789"), "num_classes": 10}
    again = ImageDataModule(**data.hparams)
    again.setup("fit")
    assert again.class_counts == data.class_counts


def test_pictures_kept_larger_are_cropped_at_random_in_training_and_in_the_centre_otherwise() -> None:
    data, plain = ready(image_size=8, load_size=12), ready(image_size=12)
    assert batches(data, "train", training=True)[0]["image"].shape[2:] == (8, 8)
    torch.testing.assert_close(batches(data, "val")[0]["image"], batches(plain, "val")[0]["image"][:, :, 2:10, 2:10])


def test_mixup_batches_carry_both_labels_in_training_only() -> None:
    data = ready(mixup=0.4)
    assert set(batches(data, "train", training=True)[0]) == {"image", "label", "mixed_label", "mix"}
    assert set(batches(data, "val")[0]) == {"image", "label", "index"}


def test_class_balanced_sampling_evens_out_classes(tmp_path: Path, write_picture: Writer) -> None:
    for name, number in (("few", 10), ("many", 90)):
        for i in range(number):
            write_picture(tmp_path / "set" / name / f"{i}.png", 1000 * number + i)
    data = ready(tmp_path / "set", class_balanced=True, steps_per_epoch=40, batch_size=16)
    labels = torch.cat([batch["label"] for batch in batches(data, "train", training=True)])
    assert len(labels) == 640
    assert 0.4 < labels.float().mean() < 0.6


def test_a_flat_folder_is_trained_on_without_labels(tmp_path: Path, write_picture: Writer) -> None:
    for i in range(30):
        write_picture(tmp_path / f"faces/{i}.png", i)
    data = ready(tmp_path / "faces", batch_size=8)
    assert set(batches(data, "train", training=True)[0]) == {"image"}
    assert (data.num_classes, data.class_names, data.test_labelled) == (0, (), False)


# --- splits -----------------------------------------------------------------------------------------------------------


def test_splits_are_the_same_for_the_same_seed_whatever_the_run_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ready().paths("val")
    monkeypatch.setenv("PL_GLOBAL_SEED", "9")
    assert ready().paths("val") == first
    assert ready(split_seed=1).paths("val") != first


def test_splits_are_disjoint_complete_and_stratified() -> None:
    data = ready()
    rows = [path for split in ("train", "val", "test") for path in data.paths(split)]  # type: ignore[arg-type]
    assert len(rows) == len(set(rows)) == 1797
    counts = torch.bincount(torch.cat([batch["label"] for batch in data.val_dataloader()]))
    assert counts.min() >= 17
    assert counts.max() <= 19


def test_folds_validate_every_row_that_is_not_tested_exactly_once(food11: Path) -> None:
    folds = [ready(food11, image_size=8, folds=3, fold=fold) for fold in range(3)]
    validated = [path for data in folds for path in data.paths("val")]
    assert len(validated) == len(set(validated)) == 18 + 6 - 1  # handed-out validation joins in, the corrupt one is out
    for data in folds:
        assert not {*data.paths("train")} & {*data.paths("val")}
        assert len(data.paths("test")) == 5
    digits = [ready(folds=2, fold=fold, test_fraction=0.2) for fold in range(2)]
    assert digits[0].paths("test") == digits[1].paths("test")
    assert len({*digits[0].paths("val")} | {*digits[1].paths("val")}) == 1797 - len(digits[0].paths("test"))


def test_test_and_predict_alone_find_the_rows_that_fit_left_out() -> None:
    assert ready(stage="test").paths("test") == ready().paths("test")
    assert ready(stage="validate").paths("val") == ready().paths("val")


def test_predict_covers_the_test_split_or_else_every_picture_in_path_order(food11: Path, class_folders: Path) -> None:
    data = ready(food11, "predict", image_size=8)
    assert [Path(path).name for path in data.paths("predict")] == [f"{i:04d}.jpg" for i in range(5)]
    every = ready(class_folders, "predict").paths("predict")
    assert len(every) == 40
    assert every == sorted(every)


def test_folders_of_any_name_are_predicted_with_the_classes_of_the_training(class_folders: Path) -> None:
    data = ready(class_folders, "predict", class_names=["ape", "bee", "cow"])
    assert data.class_names == ("ape", "bee", "cow")
    assert "label" not in batches(data, "predict")[0]


def test_prediction_does_not_need_the_training_pictures_from_elsewhere(class_folders: Path) -> None:
    data = ready(class_folders, "predict", val_source="gone/val", unlabelled_source=["gone/unlabelled"])
    assert len(data.paths("predict")) == 40


def test_the_homeworks_folder_is_read_as_it_is(food11: Path) -> None:
    data = ready(food11, image_size=8, batch_size=4, unlabelled_per_batch=6)
    assert data.class_names == ("00", "01", "10")
    assert data.class_counts == (6, 5, 6)  # one is corrupt
    assert (data.has_test, data.test_labelled) == (True, False)
    assert "label" not in batches(data, "test")[0]
    assert data.unlabelled_truth.tolist() == [-1] * 9


def test_validation_test_and_unlabelled_pictures_may_lie_elsewhere(
    tmp_path: Path, class_folders: Path, write_picture: Writer
) -> None:
    for i in range(6):
        write_picture(tmp_path / "wild" / f"{i}.png", 500 + i)
        write_picture(tmp_path / "more" / f"{i}.png", 600 + i)
        write_picture(tmp_path / "exam" / ("dog" if i % 2 else "cat") / f"{i}.png", 700 + i)
    data = ready(
        class_folders,
        test_source=str(tmp_path / "exam"),
        val_source=str(tmp_path / "exam"),
        batch_size=4,
        unlabelled_source=[str(tmp_path / "wild"), str(tmp_path / "more")],
        unlabelled_per_batch=2,
    )
    assert len(data.paths("unlabelled")) == 12
    assert len(data.paths("train")) == 40
    assert (len(data.paths("val")), data.test_labelled) == (6, True)


# --- corrupt and repeated pictures ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*test picture cannot be read")
def test_corrupt_training_pictures_are_left_out_and_named(food11: Path) -> None:
    with pytest.warns(UserWarning, match=r"1 train picture left out, for they cannot be read: .*01/1_3\.jpg"):
        ImageDataModule(str(food11), image_size=8).setup("fit")


def test_a_corrupt_test_picture_keeps_its_row_and_is_reported(food11: Path) -> None:
    data = ImageDataModule(str(food11), image_size=8)
    with pytest.warns(UserWarning, match=r"1 predict picture cannot be read; a grey one .*testing/00/0002\.jpg"):
        data.setup("predict")
    assert data.bad_rows["predict"] == [2]
    image = torch.cat([batch["image"] for batch in batches(data, "predict")])
    assert len(image) == 5
    assert image[2].abs().max() < 0.01


@pytest.mark.filterwarnings("ignore:.*be read")
def test_duplicates_across_splits_are_counted(food11: Path) -> None:
    (food11 / "validation/00/0_0.jpg").write_bytes((food11 / "training/labeled/00/0_0.jpg").read_bytes())
    with pytest.warns(UserWarning, match=r"1 val picture that the train split has too.*validation/00/0_0\.jpg"):
        ImageDataModule(str(food11), image_size=8).setup("fit")


def test_copies_of_a_picture_stay_on_one_side_of_our_own_splits(class_folders: Path) -> None:
    for i in range(20):
        (class_folders / "cat" / f"copy{i}.png").write_bytes((class_folders / "cat" / f"{i}.png").read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ImageDataModule(str(class_folders), val_fraction=0.3).setup("fit")


@pytest.mark.filterwarnings("ignore:.*be read")
def test_unlabelled_copies_of_validation_pictures_are_left_out(food11: Path) -> None:
    (food11 / "training/unlabeled/00/9.jpg").write_bytes((food11 / "validation/00/0_0.jpg").read_bytes())
    data = ImageDataModule(str(food11), image_size=8, unlabelled_per_batch=2)
    with pytest.warns(UserWarning, match="1 unlabelled picture left out, for the validation split has them too"):
        data.setup("fit")
    assert len(data.paths("unlabelled")) == 9


# --- semi-supervised --------------------------------------------------------------------------------------------------


def few_labels(**options: Any) -> ImageDataModule:
    return ready(labelled_per_class=4, batch_size=8, unlabelled_per_batch=24, **options)


def test_few_labels_leave_the_others_unlabelled_with_their_truth_known_for_reports() -> None:
    data, full = few_labels(), ready()
    assert data.class_counts == (4,) * 10
    assert {*data.paths("train"), *data.paths("unlabelled")} == {*full.paths("train")}
    assert data.paths("val") == full.paths("val")
    assert data.unlabelled_truth.min() >= 0
    assert all("label" not in batch for batch in data.unlabelled_loader())


def test_weak_and_strong_views_are_of_the_same_rows() -> None:
    data = few_labels(steps_per_epoch=70)
    found = batches(data, "train", training=True)
    assert set(found[0]) == {"image", "label", "weak_image", "strong_image", "unlabelled_index"}
    assert found[0]["strong_image"].shape == (24, 1, 8, 8)
    every = torch.cat([batch["image"] for batch in data.unlabelled_loader()])
    torch.testing.assert_close(found[0]["weak_image"], every[found[0]["unlabelled_index"]])
    drawn = torch.cat([batch["unlabelled_index"] for batch in found])[: len(every)]
    assert len(set(drawn.tolist())) == len(every)  # every row once before any comes twice


def test_two_ranks_draw_together_what_one_draws_alone() -> None:
    def rows(world: int, rank: int, per_rank: int) -> list[list[int]]:
        where = {"return_value": (rank, world)}
        patches = [patch.object(module, "rank_and_world", **where) for module in (samplers, picture_batches)]
        with patches[0], patches[1]:
            data = ready(labelled_per_class=4, batch_size=8, unlabelled_per_batch=per_rank, steps_per_epoch=5)
            return [others for _, others in data.train_dataloader().sampler]

    alone, first, second = rows(1, 0, 12), rows(2, 0, 6), rows(2, 1, 6)
    assert [sorted(batch) for batch in alone] == [sorted(a + b) for a, b in zip(first, second, strict=True)]


def pseudo_batch(data: ImageDataModule, epoch: int) -> dict[str, Tensor]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return data.prepare_batch(next(iter(loader)), training=True)


def test_pseudo_labelled_rows_are_drawn_with_their_labels_and_no_others() -> None:
    data = few_labels(unlabelled="pseudo")
    assert set(pseudo_batch(data, 0)) == {"image", "label"}
    index = torch.tensor([3, 10, 44])
    data.set_pseudo_labels(index, data.unlabelled_truth[index])
    batch = pseudo_batch(data, 1)
    every = torch.cat([batch["image"] for batch in data.unlabelled_loader()])
    known = {tuple(every[i].flatten().tolist()): int(data.unlabelled_truth[i]) for i in index.tolist()}
    drawn = [known[tuple(picture.flatten().tolist())] for picture in batch["pseudo_image"]]
    assert drawn == batch["pseudo_label"].tolist()
    assert len(drawn) == 24


def test_an_epoch_keeps_the_pseudo_labels_that_it_began_with_even_when_resumed() -> None:
    data, resumed = few_labels(unlabelled="pseudo"), few_labels(unlabelled="pseudo")
    data.set_pseudo_labels(torch.tensor([1, 2]), torch.tensor([5, 6]))
    before = pseudo_batch(data, 3)
    data.set_pseudo_labels(torch.tensor([7, 8]), torch.tensor([0, 1]))  # in the middle of epoch 3
    resumed.load_state_dict(data.state_dict())
    assert torch.equal(pseudo_batch(resumed, 3)["pseudo_label"], before["pseudo_label"])
    assert set(before["pseudo_label"].tolist()) == {5, 6}
    assert set(pseudo_batch(resumed, 4)["pseudo_label"].tolist()) == {0, 1}
    smaller = ready(labelled_per_class=5, batch_size=8, unlabelled_per_batch=24, unlabelled="pseudo")
    with pytest.raises(ValueError, match="the checkpoint has pseudo-labels for"):
        smaller.load_state_dict(data.state_dict())


# --- errors before training -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 5, "folds": 5}, "fold=5 is out of range: folds=5 has 0 to 4"),
        ({"fold": 1}, "fold=1 needs folds"),
        ({"folds": 1}, "cross-validation needs at least 2"),
        ({"folds": 0}, "cross-validation needs at least 2"),
        ({"val_fraction": 0.6, "test_fraction": 0.4}, "leave something to train on"),
        ({"channels": 2}, r"channels=2: pictures are grey \(1\) or colour \(3\)"),
        ({"load_size": 8, "image_size": 12}, "must not be smaller than image_size=12"),
        ({"horizontal_flip": 2.0}, "horizontal_flip=2.0: must lie between 0 and 1"),
        ({"batch_size": 0}, "batch_size=0: must be at least 1"),
    ],
)
def test_impossible_arguments_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageDataModule(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 8}, "num_classes=8 but labels reach 9"),
        ({"folds": 3}, "folds=3 without a fold"),
        ({"labelled_per_class": 400}, "labelled_per_class=400, but class 0 has 142 training rows"),
    ],
)
def test_impossible_wishes_for_the_digits_are_refused_before_training(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ready(**options)


def test_a_class_that_was_not_asked_for_is_an_error(class_folders: Path) -> None:
    with pytest.raises(ValueError, match=r"class dog .* is none of the classes bee, cat"):
        ready(class_folders, class_names=["bee", "cat"])
    assert ready(class_folders, class_names=["dog", "cat"]).class_names == ("dog", "cat")


def test_mixed_channel_counts_name_two_files(class_folders: Path, write_picture: Writer) -> None:
    write_picture(class_folders / "dog/grey.png", 1, mode="L")
    with pytest.raises(ValueError, match=r"channel counts: .*cat/0\.png has 3, .*dog/grey\.png has 1\."):
        ready(class_folders)
    assert ready(class_folders, channels=3).channels == 3


def test_mixed_sizes_name_two_files(class_folders: Path, write_picture: Writer) -> None:
    write_picture(class_folders / "dog/large.png", 1, size=(20, 10))
    with pytest.raises(ValueError, match=r"different sizes: .*cat/0\.png is 10×12 .*large\.png is 10×20\."):
        ready(class_folders)
    assert ready(class_folders, image_size=8).image_size == (8, 8)


def test_unlabelled_rows_asked_for_and_not_there_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"no unlabelled pictures: set --data.unlabelled_source"):
        ready(unlabelled_per_batch=4).train_dataloader()


def test_a_split_that_comes_out_empty_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", np.zeros((30, 4, 4), dtype=np.uint8))  # one picture, thirty times
    with pytest.raises(ValueError, match="the val split is empty"):
        ready(tmp_path / "train.npy")


def test_a_source_of_test_pictures_alone_has_nothing_to_train_on(tmp_path: Path, write_picture: Writer) -> None:
    write_picture(tmp_path / "testing/1.png", 1)
    with pytest.raises(ValueError, match="only a test split: nothing to train on"):
        ready(tmp_path)


# --- the store and the command line -----------------------------------------------------------------------------------


def test_pictures_are_decoded_once_for_all_setups(class_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(class_folders, image_size=8)
    monkeypatch.setattr(FilePictures, "decode", lambda *_: pytest.fail("decoded a second time"))
    assert len(batches(ready(class_folders, image_size=8), "val")) == 1


def test_sets_beyond_the_limit_are_streamed_to_the_same_batches(class_folders: Path) -> None:
    kept, streamed = ready(class_folders, image_size=8), ready(class_folders, image_size=8, cache_limit_gb=0.0)
    for one, other in zip(batches(kept, "val"), batches(streamed, "val"), strict=True):
        assert torch.equal(one["image"], other["image"])
    workers = ready(class_folders, image_size=8, cache_limit_gb=0.0, num_workers=1)
    assert torch.equal(batches(workers, "val")[0]["image"], batches(kept, "val")[0]["image"])


def test_the_command_line_knows_every_argument_with_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ImageDataModule, "data")
    given = parser.parse_args(["--data.image_size", "[8, 12]", "--data.unlabelled_source", '["a", "b"]'])
    assert given.data.image_size == (8, 12)
    assert given.data.unlabelled_source == ["a", "b"]
    assert parser.parse_args(["--data.image_size", "8"]).data.image_size == 8
    assert "source: embedded:digits" in parser.dump(parser.get_defaults())
    text = parser.format_help()
    assert text.count("probability of mirroring") == 2


# --- real data, where it is there -------------------------------------------------------------------------------------


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data here")
def test_a_real_parquet_file(tmp_path: Path) -> None:
    data = ready(SHARED / "pacs32" / "photo.parquet", cache_dir=str(tmp_path))
    assert data.class_names == ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
    assert (data.image_size, data.channels) == ((32, 32), 3)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data here")
def test_a_real_picture_file_is_read_as_pil_reads_it(tmp_path: Path) -> None:
    faces = sorted((SHARED / "orl_faces" / "s00").iterdir())
    data = ready(SHARED / "orl_faces" / "s00", "predict", cache_dir=str(tmp_path))
    image = batches(data, "predict")[0]["image"]
    expected = np.asarray(Image.open(faces[0]), dtype=np.float32) / 127.5 - 1
    assert np.allclose(image[0, 0].numpy(), expected, atol=1e-6)
