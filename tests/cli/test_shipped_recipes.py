"""Every shipped recipe runs for two batches on embedded data, and a homework's take the course's folder as it is."""

import csv
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from lhy_lightning.cli.__main__ import main
from lhy_lightning.cli.recipes import find_recipe, list_recipes
from tests.picture_folders import Writer
from tests.seq2seq.homework_folder import write_ted2020

pytestmark = pytest.mark.usefixtures("undrawn_figures")

RECIPES = {recipe.name: yaml.safe_load(recipe.path.read_text()) for recipe in list_recipes() if recipe.shipped}
NAMES = list(RECIPES)


def uses(name: str, data: str, model: str = "Classifier") -> bool:
    recipe = RECIPES[name]
    return recipe["data"]["class_path"] == data and recipe["model"]["class_path"].endswith(model)


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


@pytest.mark.parametrize("name", [name for name in NAMES if uses(name, "ImageDataModule", "GAN")])
def test_recipe_draws_after_two_batches_of_the_embedded_digits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lhy_lightning.cli.training.in_new_process", lambda argv: main(argv))
    settings = [*SHORT, "--data.source", "embedded:digits", "--data.batch_size", "8", "--data.channels", "1"]
    settings += ["--trainer.callbacks", "[]", "--model.width", "4", "--trainer.limit_test_batches", "2"]
    settings += ["--model.samples", "200"]
    root = ["--trainer.default_root_dir", str(tmp_path)]
    assert main(["fit", "--config", name, *settings, *root]) == 0
    assert "val/loss" in json.loads((tmp_path / name / "results.json").read_text())["results"]
    assert (tmp_path / name / "samples/interpolation.png").is_file()
    predict = ["predict", "--ckpt_path", "best", "--name", name, "--trainer.enable_progress_bar", "false", *root]
    assert main(predict) == 0
    assert len(list((tmp_path / name / "pictures").iterdir())) == 64


@pytest.mark.parametrize("name", [name for name in NAMES if uses(name, "PairedImageDataModule", "Pix2Pix")])
def test_recipe_translates_its_pairs_after_two_batches(name: str, tmp_path: Path) -> None:
    settings = [*SHORT, "--data.batch_size", "4", "--model.width", "4", "--model.discriminator_width", "4"]
    root = ["--trainer.default_root_dir", str(tmp_path)]
    assert main(["fit", "--config", name, *settings, "--trainer.limit_test_batches", "2", *root]) == 0
    results = json.loads((tmp_path / name / "results.json").read_text())["results"]
    assert {"val/l1", "test/l1", "test/l1_of_input", "test/l1_of_mean_target"} <= set(results)
    assert (tmp_path / name / "samples/translation_000002.png").is_file()
    predict = ["predict", "--ckpt_path", "best", "--name", name, "--trainer.enable_progress_bar", "false"]
    assert main([*predict, "--trainer.limit_predict_batches", "2", *root]) == 0
    assert len(list((tmp_path / name / "pictures").iterdir())) == 8


UNPAIRED = [name for name in NAMES if uses(name, "UnpairedImageDataModule", "CycleGAN")]


@pytest.mark.parametrize("name", UNPAIRED)
def test_recipe_translates_both_ways_after_two_batches(
    name: str, tmp_path: Path, write_picture: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lhy_lightning.cli.training.in_new_process", lambda argv: main(argv))
    settings = [*SHORT, "--data.batch_size", "4", "--model.width", "4", "--model.discriminator_width", "4"]
    if "embedded:" not in find_recipe(name).read_text():
        for side, number in ((side, number) for side in ("horse", "giraffe") for number in range(24)):
            write_picture(tmp_path / "animals" / side / f"{number}.png", number + 100 * len(side), (40, 40))
        settings += ["--data.source", str(tmp_path / "animals"), "--data.load_size", "36", "--data.image_size", "32"]
    root = ["--trainer.default_root_dir", str(tmp_path)]
    assert main(["fit", "--config", name, *settings, "--trainer.limit_test_batches", "2", *root]) == 0
    results = json.loads((tmp_path / name / "results.json").read_text())["results"]
    assert {"val/cycle_l1", "test/cycle_l1"} <= set(results)
    if name == "cyclegan/coloured_digits":
        assert {"val/label_kept", "test/label_kept_a_to_b", "test/target_domain_b_to_a"} <= set(results)
    assert (tmp_path / name / "samples/a_to_b_000002.png").is_file()
    predict = ["predict", "--ckpt_path", "best", "--name", name, "--trainer.enable_progress_bar", "false"]
    assert main([*predict, "--trainer.limit_predict_batches", "2", *root]) == 0
    for way in ("a_to_b", "b_to_a"):
        assert len(list((tmp_path / name / way).iterdir())) == 8


DETECTORS = [name for name in NAMES if uses(name, "AnomalyDataModule", "AnomalyDetector")]


@pytest.mark.parametrize("name", DETECTORS)
def test_recipe_tells_a_digit_from_the_others_after_two_batches(name: str, tmp_path: Path) -> None:
    settings = [*SHORT, "--data.source", "embedded:digits", "--data.normal_class", "3", "--data.image_size", "16"]
    settings += ["--data.batch_size", "8", "--trainer.callbacks", "[]", "--data.val_fraction", "0.1"]
    root = ["--trainer.default_root_dir", str(tmp_path)]
    assert main(["fit", "--config", name, *settings, *root]) == 0
    results = json.loads((tmp_path / name / "results.json").read_text())["results"]
    assert {"val/loss", "test/auroc", "test/aupr", "test/f1"} <= set(results)
    assert "val/auroc" not in results


@pytest.mark.parametrize("name", [name for name in DETECTORS if name.startswith("hw08/")])
def test_homework_8_takes_its_arrays_and_writes_its_submission(name: str, tmp_path: Path) -> None:
    folder, generator = tmp_path / "data-bin", np.random.default_rng(0)
    folder.mkdir()
    for part, rows in (("training", 120), ("testing", 30)):
        np.save(folder / f"{part}set.npy", generator.integers(0, 256, (rows, 64, 64, 3), dtype=np.uint8))
    settings = [*SHORT, "--data.source", str(folder), "--data.batch_size", "8"]
    assert main(["fit", "--config", name, *settings, "--trainer.default_root_dir", str(tmp_path)]) == 0
    submission = (tmp_path / name / "submission.csv").read_text()
    header, *rows = csv.reader(submission.splitlines())
    assert header == ["ID", "score"]
    assert [row[0] for row in rows] == [str(number) for number in range(30)]
    assert len({float(row[1]) for row in rows}) > 1  # raw, no classes
    results = json.loads((tmp_path / name / "results.json").read_text())["results"]
    assert not [figure for figure in results if figure.startswith("test/")]  # nobody but the judge has the labels

    command = ["--ckpt_path", "best", "--name", name, "--trainer.default_root_dir", str(tmp_path)]
    command += ["--trainer.enable_progress_bar", "false"]
    with pytest.warns(UserWarning, match="the test pictures have no labels: there is no test/auroc"):
        assert main(["test", *command]) == 0
    np.save(tmp_path / "two.npy", generator.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
    assert main(["predict", *command, "--data.source", str(tmp_path / "two.npy")]) == 0
    assert len((tmp_path / name / "predictions.csv").read_text().splitlines()) == 1 + 2
    assert (tmp_path / name / "submission.csv").read_text() == submission  # other pictures are no submission


@pytest.mark.parametrize("name", ["hw06/simple", "hw06/medium", "hw06/strong", "hw06/wgan_gp"])
def test_homework_6_takes_the_folder_of_faces_and_writes_its_archive(
    name: str, write_picture: Writer, tmp_path: Path
) -> None:
    for number in range(1, 251):
        write_picture(tmp_path / "faces" / f"{number}.jpg", number, (20, 20))
    settings = [*SHORT, "--data.source", str(tmp_path / "faces"), "--data.batch_size", "4", "--model.width", "4"]
    assert main(["fit", "--config", name, *settings, "--trainer.default_root_dir", str(tmp_path)]) == 0
    with tarfile.open(tmp_path / name / "images.tgz") as archive:
        assert archive.getnames() == [f"{number}.jpg" for number in range(1, 1001)]


SMALL = [
    "--model.layers", "1", "--model.width", "16", "--model.embedding", "16", "--model.feedforward", "32",
    "--model.heads", "2", "--model.beam", "2", "--data.max_tokens", "256",
]  # fmt: skip
TRANSLATION = [name for name in NAMES if uses(name, "TranslationDataModule", "Translator")]


@pytest.fixture(scope="module")
def cross_entropy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of `seq2seq/quickstart`'s small twin, for what goes on from one."""
    root = tmp_path_factory.mktemp("cross_entropy")
    command = ["fit", "--config", "seq2seq/quickstart", *SHORT, *SMALL, "--evaluate", "false", "--name", "start"]
    assert main([*command, "--trainer.default_root_dir", str(root)]) == 0
    return root / "start/checkpoints/last.ckpt"


@pytest.mark.parametrize("name", [name for name in TRANSLATION if name != "hw05/strong"])
def test_recipe_translates_after_two_batches_on_an_embedded_set(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = [*SHORT, *SMALL, "--trainer.callbacks", "[]", "--trainer.val_check_interval", "1.0"]
    settings += ["--trainer.limit_test_batches", "2"]
    if "embedded:" not in find_recipe(name).read_text():
        settings += ["--data.source", "embedded:cldr", "--data.target_lang", "zh", "--data.tokenizer", "character"]
        settings += ["--data.vocab_size", "500"]
    if name == "seq2seq/bleu_training":
        settings += ["--model.start_from", str(request.getfixturevalue("cross_entropy"))]
    assert main(["fit", "--config", name, *settings, "--trainer.default_root_dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / name / "results.json").read_text())["results"]
    assert {"val/bleu", "val/chrf", "val/bleu_homework", "val/exact_match", "val/loss"} <= set(results)


@pytest.mark.parametrize("name", ["hw05/simple", "hw05/medium"])
def test_homework_5_takes_ted2020_and_writes_its_submission(name: str, tmp_path: Path) -> None:
    folder = write_ted2020(tmp_path / "ted2020")
    settings = [*SHORT, *SMALL, "--data.source", str(folder), "--data.vocab_size", "300"]
    assert main(["fit", "--config", name, *settings, "--trainer.default_root_dir", str(tmp_path)]) == 0
    submission = (tmp_path / name / "submission.txt").read_text("utf8").split("\n")
    assert len(submission) == len((folder / "test.en").read_text("utf8").split("\n"))
    assert all(submission[:-1])  # no line is empty
    results = json.loads((tmp_path / name / "results.json").read_text())["results"]
    assert not [figure for figure in results if figure.startswith("test/")]  # test.zh holds placeholders

    lines = tmp_path / "lines.en"
    lines.write_text("May 3, 2024\n\n5 kilometers\n", "utf8")
    before = (tmp_path / name / "submission.txt").read_bytes()
    predict = ["predict", "--ckpt_path", "best", "--name", name, "--trainer.default_root_dir", str(tmp_path)]
    assert main([*predict, "--data.predict_source", str(lines), "--trainer.enable_progress_bar", "false"]) == 0
    assert len((tmp_path / name / "predictions.tsv").read_text("utf8").splitlines()) == 3
    assert (tmp_path / name / "submission.txt").read_bytes() == before  # other lines are no submission


def test_homework_5_strong_trains_back_translates_and_trains_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, root = write_ted2020(tmp_path / "ted2020"), tmp_path / "runs"
    # the steps' own flags would have to make the reverse model small too: a recipe of that name in the user's folder
    monkeypatch.chdir(tmp_path)
    reverse = yaml.safe_load(find_recipe("hw05/reverse").read_text())
    small = {"layers": 1, "width": 16, "feedforward": 32, "heads": 2, "beam": 2}
    reverse["model"]["init_args"] |= small
    (tmp_path / "recipes/hw05").mkdir(parents=True)
    (tmp_path / "recipes/hw05/reverse.yaml").write_text(yaml.safe_dump(reverse))
    monkeypatch.setattr("lhy_lightning.cli.training.in_new_process", lambda argv: main(argv))
    settings = [*SHORT, *SMALL, "--data.source", str(folder), "--data.vocab_size", "300"]
    settings += ["--data.monolingual", str(folder / "ted_zh_corpus.deduped.gz")]
    command = ["fit", "--config", "hw05/strong", *settings, "--trainer.default_root_dir", str(root)]
    assert main(command) == 0
    written = (root / "hw05/strong-reverse/predictions.tsv").read_text("utf8").splitlines()
    assert len(written) == 40
    assert len((root / "hw05/strong/submission.txt").read_text("utf8").splitlines()) == 7
    used = yaml.safe_load((root / "hw05/strong/config.yaml").read_text())["data"]["init_args"]["back_translated"]
    assert Path(used) == root / "hw05/strong-reverse/predictions.tsv"


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("autoencoder/", "vqvae/"))])
def test_recipe_gives_pictures_back_after_two_batches_of_the_embedded_digits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lhy_lightning.cli.training.in_new_process", lambda argv: main(argv))
    settings = [*SHORT, "--data.source", "embedded:digits", "--trainer.limit_test_batches", "2"]
    if name == "vqvae/prior":
        settings += ["--model.samples", "20", "--model.width", "16"]
    else:
        settings += ["--data.image_size", "8", "--model.width", "8", "--data.batch_size", "256"]
    root = ["--trainer.default_root_dir", str(tmp_path)]
    assert main(["fit", "--config", name, *settings, *root]) == 0
    results = json.loads((tmp_path / name / "results.json").read_text())["results"]
    assert {"val/loss", "test/loss"} <= set(results)
    assert ("test/class_accuracy" in results) == (name == "vqvae/prior")
    drawn = "drawn" if name == "vqvae/prior" else "reconstructions"
    assert (tmp_path / name / f"samples/{drawn}.png").is_file()
    assert (tmp_path / name / "compression.csv").is_file() == (name == "autoencoder/compression")


@pytest.fixture
def real_or_drawing(tmp_path: Path, write_picture: Writer) -> Path:
    """Homework 11's folder in small: three classes of photos, and drawings in one folder that is no class."""
    root, seed = tmp_path / "real_or_drawing", 0
    for label in range(3):
        for _ in range(12):
            write_picture(root / f"train_data/{label}/{seed}.bmp", seed, (32, 32))
            seed += 1
    for row in range(11):
        write_picture(root / f"test_data/0/{row:05d}.bmp", 100 + row, (28, 28), "L")
    return root


HOMEWORK_11 = [name for name in NAMES if name.startswith("hw11/")]


@pytest.mark.parametrize("name", HOMEWORK_11)
def test_homework_11_takes_real_or_drawing_and_writes_its_submission(
    name: str, real_or_drawing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lhy_lightning.cli.training.in_new_process", lambda argv: main(argv))
    settings = [*SHORT, "--data.source", str(real_or_drawing), "--data.batch_size", "6", "--model.width", "2"]
    settings += ["--model.label_hidden", "[8]", "--model.domain_hidden", "[8]", "--model.projection", "pca"]
    root = ["--trainer.default_root_dir", str(tmp_path)]
    assert main(["fit", "--config", name, *settings, *root]) == 0
    assert (tmp_path / name / "samples/features_after.png").is_file()
    with (tmp_path / name / "submission.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "label"]
    assert [row[0] for row in rows] == [str(row) for row in range(11)]
    assert {int(row[1]) for row in rows} <= {0, 1, 2}


DOMAINS = [name for name in NAMES if uses(name, "DomainDataModule", "") and name not in HOMEWORK_11]


@pytest.mark.parametrize("name", DOMAINS)
def test_recipe_of_two_domains_trains_two_batches_on_embedded_digits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lhy_lightning.cli.training.in_new_process", lambda argv: main(argv))
    settings = [*SHORT, "--data.source", "embedded:plain_digits", "--data.target", "embedded:photo_digits"]
    settings += ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2", "--model.projection", "none"]
    settings += ["--data.batch_size", "8", "--trainer.limit_test_batches", "2"]
    if "before" not in yaml.safe_load(find_recipe(name).read_text()):  # which fits the width of its own first step
        settings += ["--model.width", "2"]
    if name == "pacs/photo_sketch":
        settings += ["--data.classes", "null", "--data.target_rows_per_class", "20"]
    if name == "pacs/leave_one_out":
        settings += ["--data.source", "[embedded:plain_digits, embedded:digits]", "--data.image_size", "16"]
    if name == "dann/few_labels":
        settings += ["--data.target_labels_per_class", "2"]
    assert main(["fit", "--config", name, *settings, "--trainer.default_root_dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / name / "results.json").read_text())["results"]
    assert {"val/source_accuracy", "val/target_accuracy", "test/accuracy"} <= set(results)
    if name != "pacs/leave_one_out":  # which sees no target rows
        assert "val/information" in results
        assert "information" in (tmp_path / name / "selection.csv").read_text()
