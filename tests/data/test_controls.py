"""What stands beside a score: the same rows without a network."""

from pathlib import Path

import numpy as np
import pytest

from lhy_lightning import ImageDataModule, TaggingDataModule, TextDataModule
from lhy_lightning.data.controls import beside, most_frequent_class, most_frequent_tags


def test_the_most_frequent_class_of_training_is_guessed_for_every_scored_row() -> None:
    control = most_frequent_class(np.array([0, 1, 1, 1]), np.array([1, 0, 0, 1, 1, -1]), ("no", "yes"), "train longer")
    assert control is not None
    assert control.rule == "the most frequent class, 'yes'"
    assert control.accuracy == 3 / 5  # the row without a label is not scored
    assert most_frequent_class(np.array([0, 1]), np.array([-1]), ("no", "yes"), "") is None


def test_a_word_gets_the_tag_that_it_has_most_often_and_a_new_word_the_most_frequent_of_all() -> None:
    train = ([["can", "can", "can", "dogs", "cats"]], [["AUX", "AUX", "NOUN", "NOUN", "NOUN"]])
    control = most_frequent_tags(train, ([["can", "can", "birds"]], [["AUX", "NOUN", "NOUN"]]), "")
    assert control is not None
    assert control.accuracy == 2 / 3


def test_a_network_that_does_no_better_is_told_of_with_what_helps(tmp_path: Path) -> None:
    rows = [f"row {n}\t{'good' if n % 4 else 'bad'}" for n in range(200)]
    (tmp_path / "rows.tsv").write_text("\n".join(rows))
    data = TextDataModule(source=str(tmp_path / "rows.tsv"), cache_dir=str(tmp_path))
    data.setup("fit")
    reached, (line,) = beside({"val/accuracy": 0.5, "val/loss": 1.0}, data)
    assert reached == {"val/accuracy": pytest.approx(0.75, abs=0.1)}
    assert "beside 0.7" in line
    assert "the most frequent class, 'good'" in line
    assert "does no better: train longer (--trainer.max_epochs)" in line
    _, (line,) = beside({"val/accuracy": 0.99}, data)
    assert "does no better" not in line


@pytest.mark.parametrize("kind", [ImageDataModule, TaggingDataModule, TextDataModule])
def test_each_data_module_of_classes_has_a_control(kind: type[ImageDataModule]) -> None:
    data = kind()
    data.setup("fit")
    control = data.control("val")
    assert control is not None
    assert 0 < control.accuracy < 1


def test_other_data_has_none() -> None:
    assert beside({"val/accuracy": 0.5}, object()) == ({}, [])
    assert beside({"val/accuracy": 0.5}, None) == ({}, [])
