"""Labels of image tables and of class folders: the classes that occur, by their names, in one order everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lhy_lightning import DomainDataModule, ImageDataModule
from lhy_lightning.data.images.reading.image_labels import places_of
from lhy_lightning.data.images.reading.image_sources import open_source
from lhy_lightning.metrics.classification import MOST_CLASSES, ClassificationScores


def table(folder: Path, labels: Sequence[Any], name: str = "train.csv") -> Path:
    """A csv or jsonl file of `image,label` and as many images."""
    (folder / "raw").mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for row in range(len(labels)):
        Image.fromarray(generator.integers(0, 256, (8, 8), np.uint8)).save(folder / f"raw/{row}.png")
    path = folder / name
    if name.endswith("jsonl"):
        rows = [json.dumps({"image": f"raw/{row}.png", "label": label}) for row, label in enumerate(labels)]
        path.write_text("\n".join(rows))
    else:
        path.write_text("image,label\n" + "".join(f"raw/{row}.png,{label}\n" for row, label in enumerate(labels)))
    return path


def classes_and_labels(path: Path, **options: Any) -> tuple[tuple[str, ...] | None, list[str] | None]:
    split = open_source(str(path), **options)["train"]
    if split.labels is None or split.class_names is None:
        return split.class_names, None
    return split.class_names, [split.class_names[label] for label in split.labels]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["01", "02", "01"], ("01", "02")), (["1", "01", "1"], ("01", "1")), (["1", "2", "2"], ("1", "2")),
        (["3", "20230001", "3"], ("3", "20230001")), (["-1", "1", "0"], ("-1", "0", "1")),
        (["None", "NA", "null"], ("NA", "None", "null")), ([" cat", "cat ", "dog"], ("cat", "dog")),
        (["0.0", "1.0", "0.0"], ("0.0", "1.0")), (["①", "②", "①"], ("①", "②")), (["10", "9", "9"], ("9", "10")),
    ],
)  # fmt: skip
def test_labels_of_a_csv_are_the_words_that_stand_there(
    tmp_path: Path, labels: list[str], names: tuple[str, ...]
) -> None:
    found, of_rows = classes_and_labels(table(tmp_path, labels))
    assert found == names
    assert of_rows == [label.strip() for label in labels]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([1, 2, 2], ("1", "2")), ([-1, 1, 0], ("-1", "0", "1")), ([0.0, 1.0, 0.0], ("0", "1")),
        ([True, False, True], ("False", "True")), (["01", "1", "1"], ("01", "1")),
    ],
)  # fmt: skip
def test_labels_with_types_are_classes_by_their_values(tmp_path: Path, labels: list[Any], names: Any) -> None:
    assert classes_and_labels(table(tmp_path, labels, "train.jsonl"))[0] == names


@pytest.mark.parametrize("hidden", ["-1", ""])
def test_a_split_without_any_label_is_unlabelled(tmp_path: Path, hidden: str) -> None:
    assert classes_and_labels(table(tmp_path, [hidden] * 3)) == (None, None)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["a", "", "b"], r"column 'label': 1 of 3 rows have no label, such as row 1"),
        ([0.5, 1.0, 0.0], r"row 0: the label 0.5 is no name and no whole number"),
        ([["x"], ["x", "y"], ["z"]], r"row 0: the label is several \(\['x'\]\); an image has one"),
    ],
)
def test_labels_that_are_none_are_named_with_their_row(tmp_path: Path, labels: list[Any], says: str) -> None:
    path = table(tmp_path, labels, "train.csv" if isinstance(labels[0], str) else "train.jsonl")
    with pytest.raises(ValueError, match=says):
        open_source(str(path))


def test_class_numbers_keep_to_the_names_of_training_in_other_splits(tmp_path: Path) -> None:
    train, test = table(tmp_path / "a", ["1", "2", "3"] * 10), table(tmp_path / "b", ["3", "1", "3"])
    data = ImageDataModule(str(train), test_source=str(test), val_fraction=0.2)
    data.setup("fit")
    data.setup("test")
    assert data.class_names == ("1", "2", "3")
    assert data.class_counts == (8, 8, 8)
    assert data._split("test").truth.tolist() == [2, 0, 2]
    named = ImageDataModule(str(train), test_source=str(test), val_fraction=0.2, class_names=["cat", "dog", "emu"])
    named.setup("fit")
    named.setup("test")
    assert named._split("test").truth.tolist() == [2, 0, 2]


def test_names_given_to_class_numbers_stand_for_the_numbers_or_for_their_order() -> None:
    assert places_of(["0", "2"], ["cat", "dog", "emu"]) == {"0": 0, "2": 2}
    assert places_of(["00", "01"], ["cat", "dog"]) == {"00": 0, "01": 1}
    assert places_of(["1", "2"], ["cat", "dog"]) == {"1": 0, "2": 1}
    assert places_of(["1", "5"], ["1", "2", "5"]) == {"1": 0, "5": 2}
    assert places_of(["0", "7"], ["cat", "dog", "emu"]) == {"0": 0}


def test_a_number_of_classes_fills_the_gaps_and_absurd_ones_are_refused(tmp_path: Path) -> None:
    data = ImageDataModule(str(table(tmp_path, ["0", "2", "3"] * 8)), num_classes=5)
    with pytest.warns(UserWarning, match=r"2 of 5 classes have no training row.*'1' \(0\), '4' \(0\)"):
        data.setup("fit")
    assert data.class_names == ("0", "1", "2", "3", "4")
    with pytest.raises(ValueError, match=r"20,230,001 classes are more than 32,768, .*identities, dates"):
        ImageDataModule(str(tmp_path / "train.csv"), num_classes=20_230_001).setup("fit")
    with pytest.raises(ValueError, match="40,000 classes are more than"):
        ClassificationScores(40_000)
    assert MOST_CLASSES > 21_841


def test_a_class_that_training_lacks_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    train, test = table(tmp_path / "a", ["0", "1"] * 10), table(tmp_path / "b", ["0", "7"])
    with pytest.raises(ValueError, match=r"class 7 of .*b/raw/1.png and others is none .* --data.num_classes 8"):
        ImageDataModule(str(train), test_source=str(test)).setup("fit")
    data = ImageDataModule(str(train), test_source=str(test), num_classes=8)
    with pytest.warns(UserWarning, match="6 of 8 classes have no training row"):
        data.setup("fit")


def test_one_column_a_class_is_read_as_classes_or_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(tmp_path, ["x"] * 20)
    rows = "".join(f"raw/{row}.png,{row % 2},{1 - row % 2}\n" for row in range(20))
    (tmp_path / "hot.csv").write_text("image, cat , dog\n" + rows)
    data = ImageDataModule(str(tmp_path / "hot.csv"))
    data.setup("fit")
    assert data.class_names == ("cat", "dog")
    assert "the 2 columns cat, dog have one 1 in each row: each is read as a class" in capsys.readouterr().out
    (tmp_path / "several.csv").write_text("image,cat,dog\n" + rows.replace(",0,1", ",1,1"))
    with pytest.warns(UserWarning, match=r"cat, dog hold 0 and 1, but not exactly one 1 in 10 rows, such as row 0"):
        ImageDataModule(str(tmp_path / "several.csv")).setup("fit")


def test_headers_in_capitals_or_with_blanks_are_recognised(tmp_path: Path) -> None:
    path = table(tmp_path, ["a", "b", "a"])
    path.write_text(path.read_text().replace("image,label", "Image, Label"))
    assert classes_and_labels(path)[0] == ("a", "b")


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("{}.png", r"none of the 6 files that column 'image' names .*'0.png' in row 0.* lies in raw: write raw/0\.png"),
        ("gone/{}.png", r"such as 'gone/0.png' in row 0\. Paths are relative to the table's folder"),
        (r"C:\\data\\{}.png", r"Write them with / in place of \\"),
        ("https://example.org/{}.png", r"Addresses are not fetched"),
    ],
)
def test_named_files_that_are_all_missing_are_told_before_anything_is_read(
    tmp_path: Path, cell: str, says: str
) -> None:
    path = table(tmp_path, ["a", "b"] * 3)
    path.write_text("image,label\n" + "".join(f"{cell.format(row)},{'ab'[row % 2]}\n" for row in range(6)))
    with pytest.raises(ValueError, match=says):
        ImageDataModule(str(path), image_size=8, channels=1).setup("fit")
    with pytest.raises(ValueError, match=says):
        DomainDataModule(str(path), str(path), image_size=8).setup("fit")


def test_paths_as_windows_writes_them_are_found(tmp_path: Path) -> None:
    path = table(tmp_path, ["a", "b"] * 3)
    path.write_text(path.read_text().replace("raw/", "raw\\"))
    split = open_source(str(path))["train"]
    assert split.pictures.name(2) == str(tmp_path / "raw/2.png")
    assert split.pictures.header(2) == (8, 8, 1)


# --- one order of names -----------------------------------------------------------------------------------------------

ORDER = """
import os, sys, random, pathlib
from lhy_lightning.data.images.reading.folder_tree import list_folder
from lhy_lightning.data.images.reading.image_labels import read_labels
if sys.argv[1] == "shuffled":
    listed = pathlib.Path.iterdir
    pathlib.Path.iterdir = lambda self: iter(sorted(listed(self), key=lambda _: random.random()))
    walked = os.walk
    def walk(*a, **k):
        for place, folders, files in walked(*a, **k):
            random.shuffle(folders); random.shuffle(files)
            yield place, folders, files
    os.walk = walk
split = list_folder(pathlib.Path(sys.argv[2]))["train"]
print(split.pictures.paths, split.labels, split.class_names)
labels, names = read_labels(sys.argv[3].split(), "labels")
print(labels.tolist(), names)
"""


def test_classes_have_one_order_for_every_hash_seed_and_listing(tmp_path: Path) -> None:
    names = ["Cat", "cat", "CAT", "1", "01", "10", "②", "①", "b", "B"]
    for name in names:
        (tmp_path / "folders" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "folders" / name / "1.png")
    running = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                ORDER,
                "shuffled" if seed % 2 else "plain",
                str(tmp_path / "folders"),
                " ".join(names),
            ],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(2)
    ]
    told = [process.communicate()[0] for process in running]
    assert len(set(told)) == 1
    order = ("01", "1", "10", "B", "b", "CAT", "Cat", "cat", "①", "②")
    assert told[0].count(str(order)) == 2
