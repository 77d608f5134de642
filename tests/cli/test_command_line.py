"""The command line as a user types it, in process: what a run leaves, what travels in a checkpoint, what errors say."""

import csv
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from lhy_lightning import FixMatchClassifier, ImageClassifier
from lhy_lightning.callbacks.wandb_record import record_id
from lhy_lightning.cli.__main__ import main
from lhy_lightning.cli.runs.asked_settings import differences
from lhy_lightning.cli.training import settings_of_fit
from lhy_lightning.training.checkpoints import read_checkpoint

TINY = [
    "--model", "ImageClassifier", "--model.network", "vgg", "--model.depth", "3", "--model.width", "8",
    "--data", "ImageDataModule", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu",
    "--trainer.enable_progress_bar", "false",
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with one trained on the embedded digits."""
    root = tmp_path_factory.mktemp("runs")
    assert main(["fit", *TINY, "--trainer.default_root_dir", str(root), "--name", "digits"]) == 0
    return root


def lhy(root: Path, *arguments: str) -> None:
    command, *rest = arguments
    assert (
        main([command, *rest, "--trainer.default_root_dir", str(root), "--trainer.enable_progress_bar", "false"]) == 0
    )


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    assert left.value.code == 2
    message = capsys.readouterr().err
    assert message.count("lhy: error:") == 1
    assert "Traceback" not in message
    return message


def test_a_run_leaves_its_folder(root: Path) -> None:
    run = root / "digits"
    files = {str(path.relative_to(run)) for path in run.rglob("*.*")}
    assert files >= {
        "config.yaml", "metrics.csv", "results.json", "curves.png", "checkpoints/best.ckpt", "checkpoints/last.ckpt",
        "samples/test_predictions.png", "samples/test_confusion.png",
    }  # fmt: skip
    results = json.loads((run / "results.json").read_text())["results"]
    assert {"val/accuracy", "val/loss", "test/accuracy", "test/loss"} <= set(results)
    grid = np.asarray(Image.open(run / "samples/test_predictions.png"))
    assert grid.std() > 10  # something is drawn


def test_the_settings_of_a_run_are_a_recipe(root: Path) -> None:
    settings = yaml.safe_load((root / "digits/config.yaml").read_text())
    assert settings["model"]["init_args"]["width"] == 8
    assert not {"ckpt_path", "name", "overwrite"} & set(settings)
    lhy(
        root,
        "fit",
        "--config",
        str(root / "digits/config.yaml"),
        "--name",
        "again",
        "--trainer.limit_train_batches",
        "2",
    )
    assert read_checkpoint(root / "again/checkpoints/last.ckpt")["global_step"] == 2


def test_test_needs_nothing_but_the_checkpoint_and_repeats_the_figures(root: Path) -> None:
    lhy(root, "test", "--ckpt_path", "best", "--name", "digits")
    with (root / "digits/test_metrics.csv").open() as file:
        [row] = csv.DictReader(file)
    expected = json.loads((root / "digits/results.json").read_text())["results"]["test/accuracy"]
    assert float(row["test/accuracy"]) == pytest.approx(expected)


def test_predict_on_other_pictures_takes_classes_and_size_from_the_checkpoint(root: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    generator = np.random.default_rng(0)
    for number, size in enumerate([(40, 30), (8, 8), (17, 64)]):
        Image.fromarray(generator.integers(0, 255, (*size, 3), dtype=np.uint8)).save(photos / f"{number}.png")
    (photos / "3.png").write_bytes(b"no picture")
    lhy(root, "predict", "--name", "digits", "--ckpt_path", "best", "--data.source", str(photos))
    with (root / "digits/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == ["0.png", "1.png", "2.png", "3.png"]
    assert {row["class"] for row in rows} <= set("0123456789")
    for row in rows:
        chances = [float(row["probability"]), *(float(row[f"probability_{place}"]) for place in range(2, 6))]
        assert chances == sorted(chances, reverse=True)
        assert sum(chances) <= 1 + 1e-5


def test_several_checkpoints_average_their_probabilities(root: Path) -> None:
    one, other = (root / "digits/checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    lhy(root, "fit", *TINY, "--name", "second", "--seed_everything", "1", "--evaluate", "false")
    other = root / "second/checkpoints/last.ckpt"
    probabilities = []
    for which in (str(one), str(other), f"{one},{other}"):
        lhy(root, "predict", "--ckpt_path", which)
        run = root / ("second" if which == str(other) else "digits")
        with (run / "predictions.csv").open() as file:
            row = next(csv.DictReader(file))
        names = [row["class"], *(row[f"class_{place}"] for place in range(2, 6))]
        values = [row["probability"], *(row[f"probability_{place}"] for place in range(2, 6))]
        probabilities.append(dict(zip(names, map(float, values), strict=True)))
    first, second, both = probabilities
    shared = set(first) & set(second) & set(both)
    assert shared
    for name in shared:
        assert both[name] == pytest.approx((first[name] + second[name]) / 2, abs=2e-6)


def test_the_same_checkpoint_loads_from_python(root: Path) -> None:
    model = ImageClassifier.load_from_checkpoint(root / "digits/checkpoints/best.ckpt", weights_only=True)
    assert model.hparams.class_names == tuple("0123456789")
    assert model.hparams.image_size == (8, 8)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_save_pretrained_carries_classes_size_and_weights(root: Path, tmp_path: Path) -> None:
    model = ImageClassifier.load_from_checkpoint(root / "digits/checkpoints/best.ckpt").eval()
    model.save_pretrained(tmp_path / "exported")
    assert {path.name for path in (tmp_path / "exported").iterdir()} >= {"config.json", "model.safetensors"}
    again = ImageClassifier.from_pretrained(tmp_path / "exported")
    pictures = torch.randn(2, 1, 8, 8)
    assert torch.equal(again(pictures), model(pictures))
    assert dict(again.hparams) == dict(model.hparams)
    with pytest.raises(TypeError, match=r"saved by .*ImageClassifier, not by .*FixMatch"):
        FixMatchClassifier.from_pretrained(tmp_path / "exported")


def test_bf16_mixed_precision_and_weights_and_biases_offline(root: Path) -> None:
    pytest.importorskip("wandb")
    lhy(root, "fit", *TINY, "--name", "bf16", "--trainer.precision", "bf16-mixed", "--trainer.limit_train_batches", "2",
        "--wandb", "lhy-tests", "--evaluate", "false")  # fmt: skip
    assert list((root / "bf16" / "wandb").glob("offline-run-*"))
    weights = read_checkpoint(root / "bf16/checkpoints/last.ckpt")["state_dict"]
    assert weights["network.head.weight"].dtype == torch.float32


def test_a_run_that_goes_on_does_so_in_its_record_of_weights_and_biases(root: Path) -> None:
    wandb = pytest.importorskip("wandb")
    command = ["fit", "--name", "recorded", "--trainer.limit_train_batches", "2", "--evaluate", "false", "--wandb", "p"]

    for more in (TINY, ["--ckpt_path", "last", "--trainer.max_epochs", "2"]):
        wandb.finish()  # what the end of a process does
        time.sleep(1)  # its folders are called by the second; one of the same second gets a number behind the id
        lhy(root, *command, *more)
    wandb.finish()
    folder = root / "recorded"
    first, second = (path.name.rpartition("-")[2] for path in (folder / "wandb").glob("offline-run-*"))
    assert first == second == (folder / "wandb_id.txt").read_text().strip()
    assert record_id(folder, goes_on=False) != first
    (folder / "wandb_id.txt").unlink()  # of a run of an earlier version
    assert record_id(folder, goes_on=True) == first


def test_resuming_keeps_to_the_run_folder_and_settings_of_the_checkpoint(root: Path) -> None:
    lhy(root, "fit", "--name", "second", "--ckpt_path", "last", "--trainer.max_epochs", "2", "--evaluate", "false")
    assert read_checkpoint(root / "second/checkpoints/last.ckpt")["epoch"] == 1
    with (root / "second/metrics.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == sorted(set(steps))
    assert steps[0] == 9


def test_a_run_has_the_settings_that_its_command_line_asks_for(root: Path) -> None:
    assert differences(root / "digits", settings_of_fit(["fit", *TINY])) == []
    more = ["--seed_everything", "1", "--evaluate", "false", "--trainer.max_epochs", "2"]
    assert differences(root / "second", settings_of_fit(["fit", *TINY, *more])) == []  # has gone on
    other = settings_of_fit(["fit", *TINY, *more, "--model.width", "4", "--data.num_workers", "2"])
    assert differences(root / "second", other) == ["model.width is 8, not 4"]


def test_class_folders_and_a_corrupt_picture(root: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(30):
            pixels = generator.integers(0, 255, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number:02d}.png")
    (tmp_path / "pets/cat/03.png").write_bytes(b"no picture")
    settings = [*TINY, "--data.source", str(tmp_path / "pets"), "--data.batch_size", "8"]
    lhy(root, "fit", *settings, "--name", "pets", "--evaluate", "false")
    hparams = read_checkpoint(root / "pets/checkpoints/last.ckpt")["hyper_parameters"]
    assert tuple(hparams["class_names"]) == ("cat", "dog")
    assert hparams["channels"] == 3


ERRORS = [
    (["fit", "--config", "quickstrt"], "nearest: quickstart"),
    (["fit"], "no recipe given: add --config"),
    (["fit", "--config", "quickstart", "--model.lrr", "1"], "no setting 'lrr'. Did you mean lr"),
    (["fit", "--config", "quickstart", "--trainer.max_epoch", "1"], "Did you mean --trainer.max_epochs"),
    (["fit", "--config", "quickstart", "--model", "ImageClasifier"], "Did you mean ImageClassifier"),
    (["fit", "--config", "quickstart", "--model.network", "resnt"], "did you mean 'resnet'"),
    (["fit", "--config", "quickstart", "--data.source", "no/where"], "source 'no/where' is no file or folder"),
    (["fit", "--config", "quickstart", "--data.folds", "3", "--data.fold", "5"], "fold=5 is out of range"),
    (["fit", "--config", "quickstart", "--model.num_classes", "5"], "num_classes=5"),
    (["fit", "--config", "quickstart", "--data.num_classes", "5"], "num_classes=5"),
    (["test"], "needs --ckpt_path"),
    (["test", "--ckpt_path", "best", "--name", "nope"], "there is no run"),
    (["fit", "--config", "quickstart", "--name", "digits"], "already holds a run"),
    (["fit", "--config", "quickstart", "--name", "digits", "--ckpt_path", "first"], "no such file"),
    (["test", "--config", "hw03/strong", "--name", "digits", "--ckpt_path", "best"], "asks for FixMatchClassifier"),
    (["validate", "--name", "digits", "--ckpt_path", "best,last"], "only `lhy predict` and `lhy test` average them"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"), ERRORS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_input_is_one_readable_message(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    before = sorted(root.rglob("*"))
    assert said in error_of(capsys, *arguments, "--trainer.default_root_dir", str(root)).replace("\n", " ")
    assert sorted(root.rglob("*")) == before


def test_a_cut_off_checkpoint_is_an_error_and_no_fresh_start(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = root / "cut"
    shutil.copytree(root / "digits", run)
    checkpoint = run / "checkpoints/last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    message = error_of(capsys, "fit", "--name", "cut", "--ckpt_path", "last", "--trainer.default_root_dir", str(root))
    assert "cannot be read as a checkpoint" in message
