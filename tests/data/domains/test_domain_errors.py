"""Bad input of two domains: said before training, with what is wrong, what was expected and what to do."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from lhy_lightning.data.domains import domain_data as domains
from lhy_lightning.data.domains.domain_data import DomainDataModule

Writer = Callable[..., Path]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what is told besides


@pytest.fixture
def write_domain(tmp_path: Path, write_picture: Writer) -> Writer:
    def write(name: str, classes: str = "abc", rows: int = 10, **how: Any) -> str:
        for number, label in enumerate(classes):
            for i in range(rows):
                write_picture(tmp_path / name / label / f"{i}.png", 100 * number + i, **how)
        return str(tmp_path / name)

    return write


@pytest.fixture
def photo(write_domain: Writer) -> str:
    return str(write_domain("photo"))


def setup(*places: Any, stage: str = "fit", **options: Any) -> DomainDataModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = DomainDataModule(*places, **options)
        data.setup(stage)
    return data


# --- classes ----------------------------------------------------------------------------------------------------------


def test_labelled_domains_of_different_classes_name_those_that_differ(photo: str, write_domain: Writer) -> None:
    sketch = write_domain("sketch", "bcd")
    with pytest.raises(
        ValueError, match=r"only photo has a; only sketch has d\. Set --data.classes .*\(b, c are in bot"
    ):
        setup(photo, sketch, target_labelled=True)
    with pytest.raises(ValueError, match=r"only sketch has d"):
        setup([photo, sketch], photo)
    fewer = write_domain("fewer", "ab")
    with pytest.raises(ValueError, match=r"different classes: only photo has c\. Set"):
        setup(photo, fewer, target_labelled=True)


def test_an_unlabelled_target_may_lie_in_any_folders_which_are_only_counted(
    photo: str, write_domain: Writer, write_picture: Writer
) -> None:
    sketch = Path(write_domain("sketch", "xyz"))
    (sketch / "empty").mkdir()
    write_picture(sketch / "beside.png", 77)
    data = DomainDataModule(photo, str(sketch))
    told = r"sketch: 3 folders of 31 pictures may be labels; they are not read\. .* --data.target_labelled true"
    with pytest.warns(UserWarning, match=told):
        data.setup()
    assert data.class_names == ("a", "b", "c")
    assert data.labels("target_val") is None
    assert not data.test_labelled


def test_a_tables_label_column_is_only_told_of(photo: str, tmp_path: Path) -> None:
    from datasets import Dataset, Image

    rows = {"image": [str(path) for path in sorted(Path(photo).rglob("*.png"))], "label": [99] * 30}
    Dataset.from_dict(rows).cast_column("image", Image()).to_parquet(str(tmp_path / "target.parquet"))
    data = DomainDataModule(photo, str(tmp_path / "target.parquet"))
    with pytest.warns(UserWarning, match="column 'label' of 30 pictures may be labels; they are not read"):
        data.setup()


def test_classes_asked_for_must_be_in_every_labelled_domain(photo: str, write_domain: Writer) -> None:
    sketch = write_domain("sketch", "bcd")
    with pytest.raises(ValueError, match=r"sketch has no picture of class a; its classes are b, c, d"):
        setup(photo, sketch, target_labelled=True, classes=["a", "b"])
    assert setup(photo, sketch, classes=["a", "b"]).class_names == ("a", "b")  # the target has no classes
    with pytest.raises(ValueError, match=r"classes=\['a', 'a'\]: give every class once"):
        setup(photo, sketch, classes=["a", "a"])


def test_labels_that_are_missing_are_named(photo: str, tmp_path: Path, write_picture: Writer) -> None:
    for i in range(12):
        write_picture(tmp_path / f"flat/{i}.png", i)
    flat = str(tmp_path / "flat")
    with pytest.raises(ValueError, match=r"source .*flat has no labels: a source needs labelled training pictures"):
        setup(flat, photo)
    with pytest.raises(ValueError, match=r"target_labelled, but target .*flat has no labels: give class folders"):
        setup(photo, flat, target_labelled=True)
    with pytest.raises(ValueError, match=r"source .*flat has no labels"):
        setup([photo, flat], photo)


def test_too_few_rows_a_class_are_an_error(photo: str, write_domain: Writer) -> None:
    sketch = write_domain("sketch")
    with pytest.raises(ValueError, match=r"target_rows_per_class=11, but class 0 has 10 training rows"):
        setup(photo, sketch, target_labelled=True, target_rows_per_class=11)
    with pytest.raises(ValueError, match=r"target_labels_per_class=10, but class \d has \d training rows"):
        setup(photo, sketch, target_labelled=True, train_on="target", target_labels_per_class=10)


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_channels_that_differ_are_an_error_unless_set_or_made_grey(photo: str, write_domain: Writer) -> None:
    drawn = write_domain("drawn", mode="L")
    with pytest.raises(
        ValueError, match=r"photo has 3, drawn has 1\. Set --data.channels 1 or 3, or make them grey by"
    ):
        setup(photo, drawn)
    assert setup(photo, drawn, channels=3).channels == 3
    assert setup(photo, drawn, source_transform="grey").channels == 1


def test_sizes_that_differ_are_an_error_unless_set(photo: str, write_domain: Writer) -> None:
    small = write_domain("small", size=(8, 8))
    with pytest.raises(ValueError, match=r"height × width\): photo has 10×12, small has 8×8\. Set --data.image_size"):
        setup(photo, small)
    assert setup(photo, small, image_size=8).image_size == (8, 8)


def test_an_empty_target_is_an_error(photo: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds no picture"):
        setup(photo, str(tmp_path / "empty"))
    np.save(tmp_path / "none.npy", np.zeros((0, 12, 10, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"train split of .*none\.npy is empty"):
        setup(photo, str(tmp_path / "none.npy"))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        setup(photo, str(tmp_path / "nowhere/at_all"))


def test_a_target_too_small_for_its_splits_is_an_error(photo: str, tmp_path: Path, write_picture: Writer) -> None:
    for i in range(2):
        write_picture(tmp_path / f"two/{i}.png", i)
    with pytest.raises(
        ValueError, match=r"the test split of .*two is empty: it needs more pictures, or other fractions"
    ):
        setup(photo, str(tmp_path / "two"))


def test_corrupt_pictures_are_left_out_of_training_and_stand_in_the_test(photo: str, write_domain: Writer) -> None:
    sketch = Path(write_domain("sketch"))
    (sketch / "a/3.png").write_bytes(b"no picture at all")
    (Path(photo) / "b/2.png").write_bytes(b"no picture at all")
    data = DomainDataModule(photo, str(sketch), transductive=True)
    with pytest.warns(UserWarning, match="cannot be read") as told:
        data.setup()
    messages = " ".join(str(warning.message) for warning in told)
    assert "photo (train): 1 picture left out that cannot be read" in messages
    assert "sketch (train): 1 picture left out that cannot be read" in messages
    assert "1 test picture cannot be read; a grey one stands in" in messages
    assert (len(data.paths("target_train")), len(data.paths("test"))) == (29, 30)
    assert len(data.paths("source_train")) + len(data.paths("source_val")) == 29


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": None}, "target=None adapts to the source's own .* --data.transductive true, or set --data.target"),
        ({"target": None, "transductive": True, "target_labelled": True}, "target_labelled with target=None"),
        ({"target": None, "transductive": True, "source": ["a", "b"]}, "but there are several: set a target"),
        ({"transductive": True, "target_test": "x"}, "trains on the pictures that are tested: leave target_test out"),
        (
            {"transductive": True, "train_on": "target", "target_labelled": True},
            "would train on the labels of the test",
        ),
        ({"train_on": "target"}, "train_on='target' needs labels: set --data.target_labelled true"),
        ({"train_on": "source"}, "train_on is one of domains, target, not 'source'"),
        ({"epoch": "shorter"}, "epoch is one of source, target, longer, not 'shorter'"),
        ({"target_rows_per_class": 5}, "target_rows_per_class needs to know classes"),
        ({"target_labels_per_class": 5}, "target_labels_per_class is for --data.train_on target"),
        ({"source": []}, "source is empty"),
        ({"batch_size": 0}, "batch_size=0: must be at least 1"),
        ({"target_batch_size": -1}, "target_batch_size=-1: must be at least 0"),
        ({"val_fraction": 0}, "val_fraction=0: must lie between 0 and 1"),
        ({"target_val_fraction": 0.6, "target_test_fraction": 0.5}, "must be positive and leave something to train on"),
        ({"channels": 2}, r"channels=2: pictures are grey \(1\) or colour \(3\)"),
        ({"canny": (1, -2)}, "two thresholds, not negative"),
        ({"rotation": 300}, "rotation=300: must lie between 0 and 180"),
        ({"target_fill": "pink"}, "target_fill is one of black, grey, white"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_arguments_that_do_not_go_together_say_so_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DomainDataModule(**options)


def test_a_source_without_unlabelled_test_pictures_cannot_be_its_own_target(photo: str, write_domain: Writer) -> None:
    with pytest.raises(ValueError, match=r"target=None, but .*photo hands out no unlabelled test pictures, only train"):
        setup(photo, None, transductive=True)


def test_a_target_of_test_pictures_alone_must_be_called_transductive(
    photo: str, tmp_path: Path, write_picture: Writer
) -> None:
    for i in range(12):
        write_picture(tmp_path / f"drawings/test/{i}.png", i)
    with pytest.raises(ValueError, match=r"has only a test split: nothing to train on\. .* --data.transductive true"):
        setup(photo, str(tmp_path / "drawings"))
    assert len(setup(photo, str(tmp_path / "drawings"), transductive=True).paths("target_train")) == 12


def test_fewer_rows_than_processes_are_an_error_of_evaluation_and_of_training(photo: str, write_domain: Writer) -> None:
    data = setup(photo, write_domain("sketch"), batch_size=1, target_test_fraction=0.0)
    expected = r"source_val has 3 rows of photo, too few for 4 processes: use --trainer.devices 3, or hold out more"
    with patch.object(domains, "rank_and_world", return_value=(0, 4)), pytest.raises(ValueError, match=expected):
        data.val_dataloader()
    with pytest.raises(
        ValueError, match=r"sketch has no test split and target_test_fraction is 0: set --data.target_t"
    ):
        data.test_dataloader()
    with pytest.raises(ValueError, match="target sketch has 24 training rows"):
        len(setup(photo, write_domain("sketch"), batch_size=8, target_batch_size=64).train_dataloader())


def test_fewer_target_rows_than_processes_are_told_as_the_targets(write_domain: Writer) -> None:
    data = setup(write_domain("many", rows=40), write_domain("few"), batch_size=1)
    with (
        patch.object(domains, "rank_and_world", return_value=(0, 4)),
        pytest.raises(ValueError, match=r"target_val has 3 rows of few, too few for 4 processes"),
    ):
        data.val_dataloader()


def test_pictures_that_both_domains_have_are_counted(photo: str) -> None:
    data = DomainDataModule(photo, photo)
    with pytest.warns(UserWarning, match=r"\d+ target training pictures are in the source too, pixel by pixel"):
        data.setup()
