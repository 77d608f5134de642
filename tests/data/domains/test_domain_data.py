"""`DomainDataModule`: what a batch holds, where its rows come from, and that no label of the target is among them."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lhy_lightning.core.arguments.signatures import constructor_arguments
from lhy_lightning.data.domains.domain_data import DomainDataModule
from tests.shared_data import SHARED

Writer = Callable[..., Path]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what is told besides
SPLITS = ("source_train", "source_val", "target_train", "target_val", "test")


def ready(*places: Any, stage: str = "fit", **options: Any) -> DomainDataModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = DomainDataModule(*(str(place) if isinstance(place, Path) else place for place in places), **options)
        data.setup(stage)
    return data


def first_batches(data: DomainDataModule, number: int = 3) -> list[dict[str, Tensor]]:
    loader = iter(data.train_dataloader())
    return [next(loader) for _ in range(number)]


@pytest.fixture
def write_domain(tmp_path: Path, write_picture: Writer) -> Writer:
    """Writes class folders; other seeds, other pictures."""

    def write(name: str, rows: int, classes: str = "abc", seed: int = 0, **how: Any) -> Path:
        for number, label in enumerate(classes):
            for i in range(rows):
                write_picture(tmp_path / name / label / f"{i}.png", 1000 * seed + 100 * number + i, **how)
        return tmp_path / name

    return write


@pytest.fixture
def photo(write_domain: Writer) -> Path:
    return write_domain("photo", 20, seed=1)


@pytest.fixture
def sketch(write_domain: Writer) -> Path:
    return write_domain("sketch", 30, seed=2)


@pytest.fixture
def real_or_drawing(tmp_path: Path, write_picture: Writer) -> Path:
    """Homework 11's folder in small: colour pictures of two classes, grey ones in a folder that is no class."""
    for label in range(2):
        for i in range(20):
            write_picture(
                tmp_path / f"real_or_drawing/train_data/{label}/{20 * label + i}.bmp", 20 * label + i, (32, 32)
            )
    for i in range(30):
        write_picture(tmp_path / f"real_or_drawing/test_data/0/{i:05d}.bmp", 500 + i, (28, 28), "L")
    return tmp_path / "real_or_drawing"


HOMEWORK: dict[str, Any] = {"target": None, "transductive": True, "image_size": 32, "batch_size": 8}

# --- batches ----------------------------------------------------------------------------------------------------------


def test_the_default_trains_on_plain_digits_and_on_others_over_photos() -> None:
    data = ready()
    assert data.domain_names == ("plain_digits", "photo_digits")
    assert (data.num_classes, data.class_names) == (10, tuple("0123456789"))
    assert (data.image_size, data.channels, data.source_domains) == ((16, 16), 3, 1)
    assert (data.has_test, data.test_labelled) == (True, False)
    assert sum(data.class_counts) == len(data.pictures("source_train")) == 539
    batch = data.prepare_batch(first_batches(data, 1)[0], training=True)
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "source_image": (64, 3, 16, 16),
        "source_label": (64,),
        "target_image": (64, 3, 16, 16),
    }
    assert batch["target_image"].dtype == torch.float32
    assert batch["source_label"].dtype == torch.int64
    assert (float(batch["source_image"].min()), float(batch["source_image"].max())) == (-1, 1)


def test_both_sides_have_batch_sizes_of_their_own(photo: Path, sketch: Path) -> None:
    batch = first_batches(ready(photo, sketch, batch_size=6, target_batch_size=10), 1)[0]
    assert (len(batch["source_image"]), len(batch["target_image"])) == (6, 10)
    none = first_batches(ready(photo, sketch, batch_size=6, target_batch_size=0), 1)[0]
    assert set(none) == {"source_image", "source_label"}


def test_labels_and_pictures_of_the_source_belong_together(photo: Path, sketch: Path) -> None:
    data = ready(photo, sketch, batch_size=6)
    pictures = torch.cat(list(data.pictures("source_train")))
    labels = data.labels("source_train")
    assert labels is not None
    paths = data.paths("source_train")
    assert ["abc"[label] for label in labels.tolist()] == [Path(path).parent.name for path in paths]
    for batch in first_batches(data):
        found = data.prepare_batch(batch, training=False)
        equal = (data.prepare_batch(batch, training=True)["source_image"][:, None] == pictures).flatten(2).all(2)
        assert torch.equal(labels[equal.int().argmax(1)], found["source_label"])


def test_evaluation_is_the_source_validation_then_the_target_validation(photo: Path, sketch: Path) -> None:
    data = ready(photo, sketch, target_labelled=True, val_fraction=0.2, target_val_fraction=0.3, eval_batch_size=4)
    for name, loader in zip(("source_val", "target_val"), data.val_dataloader(), strict=True):
        batches = list(loader)
        assert set(batches[0]) == {"image", "label", "index"}
        assert torch.equal(torch.cat([batch["index"] for batch in batches]), torch.arange(len(data.paths(name))))
        labels = data.labels(name)
        assert labels is not None
        assert torch.equal(torch.cat([batch["label"] for batch in batches]), labels)
    assert all("/photo/" in path for path in data.paths("source_val"))
    assert all("/sketch/" in path for path in data.paths("target_val"))
    assert set(next(iter(data.test_dataloader()))) == {"image", "label", "index"}


def test_an_unlabelled_target_is_evaluated_without_labels(photo: Path, sketch: Path) -> None:
    data = ready(photo, sketch)
    assert set(next(iter(data.val_dataloader()[1]))) == {"image", "index"}
    assert data.labels("target_val") is data.labels("test") is data.labels("target_train") is None


def test_splits_of_both_domains_are_disjoint_and_whole(photo: Path, sketch: Path) -> None:
    data = ready(photo, sketch, val_fraction=0.2, target_val_fraction=0.3, target_test_fraction=0.2)
    rows = {split: data.paths(split) for split in SPLITS}
    assert {split: len(paths) for split, paths in rows.items()} == {
        "source_train": 48, "source_val": 12, "target_train": 45, "target_val": 27, "test": 18,
    }  # fmt: skip
    assert len(set().union(*rows.values())) == 150
    assert data.paths("predict") == sorted(str(path) for path in sketch.rglob("*.png"))


def test_each_side_is_augmented_in_its_own_way(photo: Path, sketch: Path) -> None:
    data = ready(photo, sketch, batch_size=6, horizontal_flip=1.0, target_horizontal_flip=0.0, target_vertical_flip=1.0)
    batch = first_batches(data, 1)[0]
    plain, changed = data.prepare_batch(batch, training=False), data.prepare_batch(batch, training=True)
    assert torch.equal(changed["source_image"], plain["source_image"].flip(3))
    assert torch.equal(changed["target_image"], plain["target_image"].flip(2))
    same = ready(photo, sketch, batch_size=6, horizontal_flip=1.0)
    assert torch.equal(same.prepare_batch(batch, training=True)["target_image"], plain["target_image"].flip(3))


# --- no label of the target -------------------------------------------------------------------------------------------


def arrays_in(thing: Any, seen: set[int]) -> list[np.ndarray]:
    """Every array and tensor that can be reached from an object through attributes, lists and dicts."""
    if id(thing) in seen:
        return []
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        return [thing.numpy()]
    if isinstance(thing, np.ndarray):
        return [thing]
    if isinstance(thing, dict | list | tuple | set):
        inside = [*thing, *thing.values()] if isinstance(thing, dict) else list(thing)
    else:
        inside = list(vars(thing).values()) if hasattr(thing, "__dict__") else []
    return [array for one in inside for array in arrays_in(one, seen)]


def test_no_label_of_the_target_can_be_reached_from_the_training_dataset(photo: Path, sketch: Path) -> None:
    data = ready(photo, sketch, batch_size=6, target_labelled=True)
    truth = data._splits["target_train"].labels  # known to the module, for splits and reports
    assert truth is not None
    loader = data.train_dataloader()
    for holder in (loader.dataset, loader.sampler):
        held = arrays_in(holder, set())
        for labels in (truth.numpy(), np.repeat(np.arange(3), 30)):  # of the split, of all rows in file order
            assert not any(array.shape == labels.shape and (array == labels).all() for array in held)
    assert set(first_batches(data, 1)[0]) == {"source_image", "source_label", "target_image"}
    assert data.labels("target_train") is None


def test_a_tables_label_column_is_not_in_the_training_dataset(tmp_path: Path, photo: Path) -> None:
    from datasets import Dataset, Image

    rows = {"image": [str(path) for path in sorted(photo.rglob("*.png"))], "label": [7] * 60}
    Dataset.from_dict(rows).cast_column("image", Image()).to_parquet(str(tmp_path / "table.parquet"))
    for labelled in (False, True):
        classes = ["7"] if labelled else None
        if labelled:
            rows["label"] = [0] * 60
            Dataset.from_dict(rows).cast_column("image", Image()).to_parquet(str(tmp_path / "table.parquet"))
            classes = ["0"]
        source = tmp_path / "table.parquet" if labelled else photo
        data = ready(source, tmp_path / "table.parquet", batch_size=6, target_labelled=labelled, classes=classes)
        dataset: Any = data.train_dataloader().dataset
        assert all(store.pictures.table.column_names == ["image"] for store in dataset.target.stores)


def test_garbage_in_place_of_target_labels_changes_nothing_that_is_trained_on(
    photo: Path, sketch: Path, tmp_path: Path
) -> None:
    from datasets import Dataset, Image

    def batches(labels: list[int], labelled: bool) -> list[dict[str, Tensor]]:
        rows = {
            "image": [str(path) for path in sorted(sketch.rglob("*.png"))],
            "label": [str("abc"[i]) for i in labels],
        }
        Dataset.from_dict(rows).cast_column("image", Image()).to_parquet(str(tmp_path / "target.parquet"))
        return first_batches(ready(photo, tmp_path / "target.parquet", batch_size=6, target_labelled=labelled), 8)

    expected = batches([0] * 30 + [1] * 30 + [2] * 30, True)
    garbage = np.random.default_rng(0).permutation([0] * 3 + [1] * 80 + [2] * 7).tolist()
    for found in (batches(garbage, True), batches(garbage, False)):
        for one, other in zip(expected, found, strict=True):
            assert all(torch.equal(one[name], other[name]) for name in one)


# --- homework 11 ------------------------------------------------------------------------------------------------------


def test_homework_11s_folder_is_taken_as_it_is(real_or_drawing: Path) -> None:
    data = ready(real_or_drawing, **HOMEWORK, source_transform="edges", target_transform="inverted")
    assert (data.class_names, data.channels, data.image_size) == (("0", "1"), 1, (32, 32))
    assert (data.has_test, data.test_labelled) == (True, False)
    batch = first_batches(data, 1)[0]
    assert batch["source_image"].shape == batch["target_image"].shape == (8, 1, 32, 32)
    expected = [str(real_or_drawing / f"test_data/0/{i:05d}.bmp") for i in range(30)]
    assert all(data.paths(split) == expected for split in ("target_train", "target_val", "test", "predict"))
    index = torch.cat([batch["index"] for batch in data.predict_dataloader()])
    assert index.tolist() == list(range(30))


def test_prediction_of_homework_11_starts_with_ids_in_file_order(real_or_drawing: Path) -> None:
    trained = ready(real_or_drawing, **HOMEWORK, channels=1)
    alone = DomainDataModule(**trained.hparams)
    alone.setup("predict")
    assert alone.paths("predict") == trained.paths("predict")
    batch = next(iter(alone.predict_dataloader()))
    assert set(batch) == {"image", "index"}
    assert batch["image"].shape == (8, 1, 32, 32)


def test_transductive_trains_on_every_row_of_the_target_and_tests_it(photo: Path, sketch: Path) -> None:
    data = ready(photo, sketch, transductive=True, target_labelled=True, batch_size=6)
    everything = sorted(str(path) for path in sketch.rglob("*.png"))
    assert all(data.paths(split) == everything for split in ("target_train", "target_val", "test", "predict"))
    assert data.labels("target_train") is None
    labels = data.labels("test")
    assert labels is not None
    assert labels.tolist() == [0] * 30 + [1] * 30 + [2] * 30


# --- protocols --------------------------------------------------------------------------------------------------------


def test_several_sources_share_every_batch_equally(photo: Path, sketch: Path, write_domain: Writer) -> None:
    cartoon = write_domain("cartoon", 40, seed=3)
    data = ready([str(photo), str(cartoon)], sketch, batch_size=8)
    assert (data.domain_names, data.source_domains) == (("photo", "cartoon", "sketch"), 2)
    for batch in first_batches(data):
        assert batch["source_domain"].bincount().tolist() == [4, 4]
    pictures = torch.cat(list(data.pictures("source_train")))
    names = [Path(path).parts[-3] for path in data.paths("source_train")]
    for batch in first_batches(data):
        image = data.prepare_batch(batch, training=False)["source_image"]
        rows = (image[:, None] == pictures).flatten(2).all(2).int().argmax(1)
        assert [names[row] for row in rows] == [data.domain_names[n] for n in batch["source_domain"]]
    [source, _] = data.val_dataloader()
    assert set(next(iter(source))) == {"image", "label", "index", "source_domain"}


def test_the_target_supervised_bound_trains_on_labelled_target_rows(photo: Path, sketch: Path) -> None:
    data = ready(photo, sketch, target_labelled=True, train_on="target", batch_size=6)
    batch = first_batches(data, 1)[0]
    assert {name: tuple(value.shape) for name, value in batch.items()} == {"image": (6, 3, 10, 12), "label": (6,)}
    labels = data.labels("target_train")
    assert labels is not None
    assert len(labels) == len(data.paths("target_train")) == 72
    assert sum(data.class_counts) == 72
    few = ready(photo, sketch, target_labelled=True, train_on="target", target_labels_per_class=4, batch_size=6)
    assert few.class_counts == (4, 4, 4)
    assert few.paths("test") == data.paths("test")


def test_rows_a_class_of_the_target_make_a_balanced_protocol(photo: Path, write_domain: Writer) -> None:
    write_domain("uneven", 12, "ab", seed=4)
    uneven = write_domain("uneven", 30, "c", seed=5)
    data = ready(photo, uneven, target_labelled=True, target_rows_per_class=10, batch_size=6)
    rows = [path for split in ("target_train", "target_val", "test") for path in data.paths(split)]
    assert sorted(Path(path).parent.name for path in rows) == ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    again = ready(photo, uneven, target_labelled=True, target_rows_per_class=10, batch_size=6)
    assert again.paths("target_train") == data.paths("target_train")
    other = ready(photo, uneven, target_labelled=True, target_rows_per_class=10, batch_size=6, split_seed=1)
    assert other.paths("target_train") != data.paths("target_train")


def test_classes_asked_for_are_kept_in_their_order_and_the_others_counted(photo: Path, write_domain: Writer) -> None:
    target = write_domain("target", 20, "bcd", seed=6)
    data = DomainDataModule(str(photo), str(target), target_labelled=True, classes=["c", "b"], batch_size=6)
    with pytest.warns(UserWarning, match=r"photo: 20 pictures of other classes are left out \(a\)"):
        data.setup()
    assert data.class_names == ("c", "b")
    for split in ("source_train", "target_val", "test"):
        labels = data.labels(split)  # type: ignore[arg-type]
        assert labels is not None
        names = [Path(path).parent.name for path in data.paths(split)]  # type: ignore[arg-type]
        assert ["cb"[label] for label in labels.tolist()] == names


def test_classes_are_matched_by_name_whatever_their_numbers_are(photo: Path, sketch: Path, tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Image

    paths = sorted(str(path) for path in sketch.rglob("*.png"))
    names = ["c", "a", "unused", "b"]
    rows = {"image": paths, "label": [names.index(Path(path).parent.name) for path in paths]}
    table = Dataset.from_dict(rows).cast_column("image", Image()).cast_column("label", ClassLabel(names=names))
    table.to_parquet(str(tmp_path / "table.parquet"))
    data = ready([str(photo), str(tmp_path / "table.parquet")], sketch, batch_size=6, target_labelled=True)
    assert data.class_names == ("a", "b", "c")
    assert data.class_counts == (45, 45, 45)
    labels, pictures = data.labels("source_train"), torch.cat(list(data.pictures("source_train")))
    test_labels, tests = data.labels("test"), torch.cat(list(data.pictures("test")))
    assert labels is not None
    assert test_labels is not None
    for picture, label in zip(tests, test_labels, strict=True):  # the same pictures, numbered otherwise in the table
        same = labels[(pictures == picture).flatten(1).all(1)]
        assert same.tolist() == [int(label)] * len(same)


def test_test_pictures_may_lie_elsewhere(photo: Path, sketch: Path, write_domain: Writer) -> None:
    other = write_domain("other", 5, seed=7)
    data = ready(photo, sketch, target_test=str(other), target_labelled=True)
    assert all("/other/" in path for path in data.paths("test"))
    assert len(data.paths("target_train")) + len(data.paths("target_val")) == 90
    assert data.paths("predict") == data.paths("test")


def test_a_target_with_its_own_test_split_is_tested_on_it(photo: Path, write_domain: Writer) -> None:
    write_domain("target/train", 20, seed=8)
    write_domain("target/test", 5, seed=9)
    data = ready(photo, photo.parent / "target", batch_size=6)
    assert all("/test/" in path for path in data.paths("test"))
    tested = ready(photo, photo.parent / "target", stage="test", target_labelled=True)
    assert (tested.test_labelled, len(tested.paths("test"))) == (True, 15)


def test_hyperparameters_are_the_signature_and_build_the_same_module(photo: Path, sketch: Path) -> None:
    data = ready(photo, sketch, target_labelled=True)
    assert set(data.hparams) == set(constructor_arguments(DomainDataModule))
    again = DomainDataModule(**data.hparams)
    again.setup()
    assert all(again.paths(split) == data.paths(split) for split in SPLITS)  # type: ignore[arg-type]


@pytest.mark.skipif(not (SHARED / "pacs32").is_dir(), reason="shared data is not here")
def test_photos_and_sketches_of_five_classes_meet_at_one_size() -> None:
    five = ["dog", "elephant", "giraffe", "guitar", "horse"]
    data = ready(
        SHARED / "pacs32/photo.parquet", SHARED / "pacs32/sketch.parquet", target_labelled=True, classes=five,
        target_rows_per_class=600, transductive=True, source_transform="grey", target_transform="inverted",
    )  # fmt: skip
    assert data.domain_names == ("photo", "sketch")
    assert len(data.paths("test")) == 3000
    assert data.class_names == tuple(five)
    assert data.prepare_batch(first_batches(data, 1)[0], training=True)["target_image"].shape == (64, 1, 32, 32)
