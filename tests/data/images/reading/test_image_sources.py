import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lhy_lightning.data.images.image_store import ImageStore
from lhy_lightning.data.images.reading.image_sources import open_source

Writer = Callable[..., Path]


def write_parquet(path: Path, pictures: list[Path], labels: list[object]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = [{"bytes": picture.read_bytes(), "path": None} for picture in pictures]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": column, "label": labels}), path)


@pytest.fixture
def pictures(tmp_path: Path, write_picture: Writer) -> list[Path]:
    return [write_picture(tmp_path / f"raw/{i}.png", i, (4, 5)) for i in range(6)]


def test_embedded_digits_are_the_same_everywhere() -> None:
    split = open_source("embedded:digits")["train"]
    assert len(split.pictures) == 1797
    assert split.class_names == tuple("0123456789")
    pixels = split.pictures.decode(0, (8, 8), 1, "stretch")
    assert pixels is not None
    assert pixels[0, :, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]  # 0 0 5 13 9 1 0 0 of 16


def test_an_unknown_embedded_source_names_those_that_exist() -> None:
    with pytest.raises(FileNotFoundError, match="there is embedded:digits"):
        open_source("embedded:digit")


def test_a_folder_of_parquet_files_hands_out_its_splits(tmp_path: Path, pictures: list[Path]) -> None:
    write_parquet(tmp_path / "set/train.parquet", pictures[:4], [0, 1, 0, 1])
    write_parquet(tmp_path / "set/test.parquet", pictures[4:], [1, 1])
    splits = open_source(str(tmp_path / "set"))
    assert set(splits) == {"train", "test"}
    assert splits["train"].labels is not None
    assert splits["train"].labels.tolist() == [0, 1, 0, 1]
    decoded = splits["test"].pictures.decode(1, (5, 4), 3, "stretch")
    assert np.array_equal(decoded, np.asarray(Image.open(pictures[5])))
    assert splits["test"].pictures.name(1).endswith("test.parquet#1")


def test_label_names_in_a_table_become_numbers_in_natural_order(tmp_path: Path, pictures: list[Path]) -> None:
    write_parquet(tmp_path / "a.parquet", pictures, ["10", "9", "9", "10", "9", "9"])
    split = open_source(str(tmp_path / "a.parquet"))["train"]
    assert split.class_names == ("9", "10")
    assert split.labels is not None
    assert split.labels.tolist() == [1, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_table_may_hold_paths(tmp_path: Path, pictures: list[Path], kind: str) -> None:
    rows = [{"path": f"raw/{picture.name}", "label": i % 2} for i, picture in enumerate(pictures)]
    table = tmp_path / f"list.{kind}"
    if kind == "csv":
        table.write_text("path,label\n" + "".join(f"{row['path']},{row['label']}\n" for row in rows))
    else:
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    split = open_source(str(table))["train"]
    assert split.pictures.name(2) == str(tmp_path / "raw/2.png")
    assert split.pictures.header(2) == (5, 4, 3)


def test_a_table_without_a_telling_column_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("where,what\na.png,0\n")
    with pytest.raises(ValueError, match=r"columns where, what: which holds the image\? Set --data.image_column"):
        open_source(str(tmp_path / "list.csv"))
    split = open_source(str(tmp_path / "list.csv"), image_column="where", label_column="what")["train"]
    assert split.labels is not None
    with pytest.raises(ValueError, match="has no column 'why'"):
        open_source(str(tmp_path / "list.csv"), image_column="where", label_column="why")


def test_some_labels_missing_is_an_error_all_missing_is_unlabelled(tmp_path: Path, pictures: list[Path]) -> None:
    write_parquet(tmp_path / "all.parquet", pictures, [-1] * 6)
    assert open_source(str(tmp_path / "all.parquet"))["train"].labels is None
    write_parquet(tmp_path / "some.parquet", pictures, [0, None, 1, 0, None, 1])
    with pytest.raises(ValueError, match="2 of 6 rows have no label"):
        open_source(str(tmp_path / "some.parquet"))


def test_arrays_as_homework_8_has_them(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 6, 6, 3), dtype=np.uint8)
    np.save(tmp_path / "trainingset.npy", pixels)
    np.save(tmp_path / "testingset.npy", pixels[:2])
    splits = open_source(str(tmp_path))
    assert {role: len(split.pictures) for role, split in splits.items()} == {"train": 7, "test": 2}
    assert np.array_equal(splits["train"].pictures.as_array((6, 6), 3), pixels)


def test_arrays_of_other_kinds_are_errors(tmp_path: Path) -> None:
    np.save(tmp_path / "float.npy", np.zeros((3, 4, 4)))
    with pytest.raises(ValueError, match=r"float64 of shape \(3, 4, 4\); pictures are uint8"):
        open_source(str(tmp_path / "float.npy"))
    np.save(tmp_path / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="not a plain numpy array"):
        open_source(str(tmp_path / "objects.npy"))


def test_several_files_without_split_names_ask_which(tmp_path: Path, pictures: list[Path]) -> None:
    write_parquet(tmp_path / "photo.parquet", pictures, [0] * 6)
    write_parquet(tmp_path / "sketch.parquet", pictures, [0] * 6)
    (tmp_path / "photo.parquet").rename(tmp_path / "set.parquet")
    folder = tmp_path / "parts"
    folder.mkdir()
    for name in ("set", "sketch"):
        (tmp_path / f"{name}.parquet").rename(folder / f"{name}.parquet")
    with pytest.raises(ValueError, match=r"has set\.parquet, sketch\.parquet: which of them"):
        open_source(str(folder))


def test_a_missing_folder_suggests_what_exists(tmp_path: Path, class_folders: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"does not exist\. .* has pets\."):
        open_source(str(tmp_path / "pet"))


def test_a_hub_id_without_a_network_says_how_to_go_on() -> None:
    with pytest.raises(FileNotFoundError, match=r"no file or folder here .* point --data.source to a local folder"):
        open_source("someone/some-pictures-that-nobody-has")


def write_naming_table(path: Path, names: list[str]) -> None:
    """A table with a column of paths; `.image.parquet` has them as `datasets` writes pictures without their bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"image": name, "label": place % 2} for place, name in enumerate(names)]
    if path.suffix == ".csv":
        path.write_text("image,label\n" + "".join(f"{row['image']},{row['label']}\n" for row in rows))
    elif path.suffix == ".parquet":
        column = [{"bytes": None, "path": name} for name in names] if ".image" in path.name else names
        pq.write_table(pa.table({"image": column, "label": [row["label"] for row in rows]}), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("table", ["", "list.csv", "list.jsonl", "list.parquet", "list.image.parquet"])
def test_pictures_that_changed_are_read_anew_whatever_names_them(
    tmp_path: Path, pictures: list[Path], write_picture: Writer, table: str
) -> None:
    source = tmp_path / (table or "raw")
    if table:
        write_naming_table(source, [*(f"raw/{picture.name}" for picture in pictures), "raw/late.png"])

    def pixels() -> tuple[np.ndarray, int]:
        found = open_source(str(source))["train"].pictures
        store = ImageStore(found, size=(5, 4), channels=3, resize="stretch", folder=tmp_path / "cache", keep=True)
        return store.take(np.arange(6)).numpy(), int(store.bad.sum())

    before, missing = pixels()
    assert missing == bool(table)
    write_picture(pictures[3], 9, (4, 5))
    write_picture(tmp_path / "raw/late.png", 7, (4, 5))
    after, missing = pixels()
    assert missing == 0
    assert [row for row in range(6) if not np.array_equal(before[row], after[row])] == [3]
