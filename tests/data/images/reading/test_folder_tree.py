from collections.abc import Callable
from pathlib import Path

import pytest

from lhy_lightning.data.images.reading.folder_tree import list_folder
from lhy_lightning.data.sources.folders import natural, nearest_existing, role_of

Writer = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("train", "train"), ("training", "train"), ("trainingset", "train"), ("train_data", "train"),
        ("train-00000-of-00001", "train"), ("val", "val"), ("valid", "val"), ("validation", "val"), ("dev", "val"),
        ("test", "test"), ("testing", "test"), ("testingset", "test"), ("evaluation", "test"),
        ("unlabeled", "unlabelled"), ("unlabelled", "unlabelled"), ("trains", None), ("tester", None), ("dog", None),
    ],
)  # fmt: skip
def test_splits_are_recognised_by_their_usual_names(name: str, role: str | None) -> None:
    assert role_of(name) == role


def test_numbered_names_sort_as_numbers() -> None:
    assert sorted(["10", "9", "00", "1"], key=natural) == ["00", "1", "9", "10"]
    assert sorted(["img10", "img9", "b"], key=natural) == ["b", "img9", "img10"]


def test_food_11_is_taken_as_the_course_hands_it_out(food11: Path) -> None:
    splits = list_folder(food11)
    assert set(splits) == {"train", "val", "test", "unlabelled"}
    assert splits["train"].class_names == splits["val"].class_names == ("00", "01", "10")
    assert len(splits["train"].pictures) == 18
    assert splits["val"].labels == [0, 0, 1, 1, 2, 2]


def test_the_00_under_unlabeled_and_testing_is_not_class_0(food11: Path) -> None:
    splits = list_folder(food11)
    assert splits["test"].labels is None
    assert splits["unlabelled"].labels is None


def test_files_come_in_sorted_path_order(tmp_path: Path, write_picture: Writer) -> None:
    for name in ("b/1.png", "a/10.png", "a/9.png", "c.png"):
        write_picture(tmp_path / "flat" / name, 1)
    [flat] = list_folder(tmp_path / "flat" / "a").values()
    assert flat.pictures.paths == ("10.png", "9.png")


def test_a_plain_root_of_class_folders_is_labelled(class_folders: Path) -> None:
    [split] = list_folder(class_folders).values()
    assert split.class_names == ("cat", "dog")
    assert split.labels is not None
    assert split.labels.count(1) == 20


def test_a_flat_folder_is_unlabelled(tmp_path: Path, write_picture: Writer) -> None:
    write_picture(tmp_path / "photos/1.png", 1)
    (tmp_path / "photos/notes.txt").write_text("no picture")
    [split] = list_folder(tmp_path / "photos").values()
    assert split.labels is None
    assert len(split.pictures) == 1


def test_a_class_may_be_called_train(tmp_path: Path, write_picture: Writer) -> None:
    for name in ("bus", "train", "car"):
        write_picture(tmp_path / name / "1.png", 1)
    [split] = list_folder(tmp_path).values()
    assert split.class_names == ("bus", "car", "train")


def test_unlabelled_pictures_beside_class_folders_are_no_class(tmp_path: Path, write_picture: Writer) -> None:
    for name in ("cat", "dog", "unlabeled"):
        write_picture(tmp_path / "train" / name / "1.png", 1)
    splits = list_folder(tmp_path)
    assert splits["train"].class_names == ("cat", "dog")
    assert len(splits["unlabelled"].pictures) == 1
    assert list_folder(tmp_path / "train")["train"].class_names == ("cat", "dog")


def test_an_empty_class_folder_is_an_error_that_names_it(class_folders: Path) -> None:
    (class_folders / "bird").mkdir()
    with pytest.raises(ValueError, match=r"class folder without a picture: .*pets/bird"):
        list_folder(class_folders)


def test_an_empty_split_is_an_error_that_names_it(tmp_path: Path, write_picture: Writer) -> None:
    write_picture(tmp_path / "train/1.png", 1)
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match=r"test holds no picture"):
        list_folder(tmp_path)


def test_pictures_beside_class_folders_are_an_error(class_folders: Path, write_picture: Writer) -> None:
    write_picture(class_folders / "stray.png", 1)
    with pytest.raises(ValueError, match=r"1 pictures lie beside the class folders .*stray\.png"):
        list_folder(class_folders)


def test_a_missing_folder_names_the_nearest_existing(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "other").mkdir()
    assert nearest_existing(tmp_path / "phtos").endswith("has photos.")
