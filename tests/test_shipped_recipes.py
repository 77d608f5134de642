"""Every shipped recipe runs for two batches on embedded data, and homework 3's take the course's folder as it is."""

import csv
import json
from pathlib import Path

import pytest

from lhy_lightning.cli import main
from lhy_lightning.recipes import list_recipes

NAMES = [recipe.name for recipe in list_recipes() if recipe.shipped]
SHORT = [
    "--trainer.max_epochs", "1", "--trainer.check_val_every_n_epoch", "1", "--trainer.limit_train_batches", "2",
    "--trainer.limit_val_batches", "2", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_recipe_trains_two_batches_on_the_embedded_digits(name: str, tmp_path: Path) -> None:
    settings = [*SHORT, "--data.source", "embedded:digits", "--data.batch_size", "8", "--data.eval_batch_size", "16"]
    settings += ["--trainer.limit_test_batches", "2", "--data.image_size", "64", "--data.channels", "1"]
    if name == "hw03/strong":  # the digits are all labelled; food-11 brings unlabelled pictures
        settings += ["--data.labelled_per_class", "20", "--data.unlabelled_per_batch", "8"]
    if name.startswith(("fashion_mnist/", "mnist/")) and name != "fashion_mnist/full":
        settings += ["--data.labelled_per_class", "20"]
    root = ["--trainer.default_root_dir", str(tmp_path)]
    assert main(["fit", "--config", name, *settings, *root]) == 0
    assert "val/accuracy" in json.loads((tmp_path / name / "results.json").read_text())["results"]
    assert (tmp_path / name / "curves.png").is_file()


@pytest.mark.parametrize("name", ["hw03/simple", "hw03/medium", "hw03/strong"])
def test_homework_3_takes_food_11_and_writes_its_submission(name: str, food11: Path, tmp_path: Path) -> None:
    settings = [*SHORT, "--data.source", str(food11), "--data.image_size", "64", "--data.batch_size", "4"]
    if name == "hw03/strong":
        settings += ["--data.unlabelled_per_batch", "4"]
    assert main(["fit", "--config", name, *settings, "--trainer.default_root_dir", str(tmp_path)]) == 0
    with (tmp_path / name / "predict.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["Id", "Category"]
    assert [row[0] for row in rows] == ["0", "1", "2", "3", "4"]  # 0002.jpg is corrupt and has its row
    assert {int(row[1]) for row in rows} <= {0, 1, 10}  # the homework's own numbers, not 0, 1, 2
    results = json.loads((tmp_path / name / "results.json").read_text())["results"]
    assert not [figure for figure in results if figure.startswith("test/")]  # testing/00 is no class

    submission = (tmp_path / name / "predict.csv").read_bytes()
    predict = ["predict", "--ckpt_path", "best", "--name", name, "--trainer.default_root_dir", str(tmp_path)]
    assert (
        main([*predict, "--data.source", str(food11 / "validation/01"), "--trainer.enable_progress_bar", "false"]) == 0
    )
    assert len((tmp_path / name / "predictions.csv").read_text().splitlines()) == 1 + 2
    assert (tmp_path / name / "predict.csv").read_bytes() == submission  # other pictures are no submission
