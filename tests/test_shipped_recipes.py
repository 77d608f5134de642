"""Every shipped recipe runs for two batches on embedded data, and a homework's take the course's folder as it is."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from lhy_lightning.cli import main
from lhy_lightning.recipes import find_recipe, list_recipes

NAMES = [recipe.name for recipe in list_recipes() if recipe.shipped]


def uses(name: str, data: str) -> bool:
    return yaml.safe_load(find_recipe(name).read_text())["data"]["class_path"] == data


SHORT = [
    "--trainer.max_epochs", "1", "--trainer.check_val_every_n_epoch", "1", "--trainer.limit_train_batches", "2",
    "--trainer.limit_val_batches", "2", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu",
]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in NAMES if uses(name, "ImageDataModule")])
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


TINY = {
    "Translator": ("layers", "width", "feedforward", "embedding"),
}
SMALL = ["--model.layers", "1", "--model.width", "16", "--model.embedding", "16", "--model.feedforward", "32"]
SMALL += ["--model.heads", "2", "--data.max_tokens", "256", "--model.beam", "2", "--data.vocab_size", "300"]


@pytest.mark.parametrize("name", [name for name in NAMES if uses(name, "TranslationDataModule")])
def test_recipe_translates_after_two_batches_on_the_embedded_dates(
    name: str, tmp_path: Path, cross_entropy: Path
) -> None:
    settings = [*SHORT, *SMALL, "--data.source", "embedded:cldr", "--data.target_lang", "zh"]
    settings += [
        "--trainer.limit_test_batches",
        "2",
        "--trainer.limit_predict_batches",
        "2",
        "--trainer.callbacks",
        "[]",
    ]
    if name == "seq2seq/bleu_training":
        settings += ["--model.start_from", str(cross_entropy)]
    if name == "hw05/strong":
        pytest.skip("its three steps are run on the homework's folder below")
    assert main(["fit", "--config", name, *settings, "--trainer.default_root_dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / name / "results.json").read_text())["results"]
    assert {"val/bleu", "val/chrf", "val/bleu_homework", "val/exact_match", "val/loss"} <= set(results)
