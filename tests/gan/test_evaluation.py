"""Figures of samples while training, and the controls that must fail."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import seed_everything
from torch import Tensor

from lhy_lightning import GAN, ImageClassifier, ImageDataModule
from lhy_lightning.callbacks.results import print_results
from tests.cnn.pictures_to_fit import silent_trainer

DIGITS: dict[str, Any] = {"batch_size": 64, "cache_limit_gb": 0.1}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of the embedded digits, trained for fifteen epochs."""
    seed_everything(0, verbose=False)
    folder = tmp_path_factory.mktemp("classifier")
    module = ImageClassifier(network="vgg", depth=3, width=16, lr=0.05)
    trainer = silent_trainer(folder, max_epochs=15, limit_val_batches=0)
    trainer.fit(module, datamodule=ImageDataModule(**DIGITS))
    trainer.save_checkpoint(folder / "classifier.ckpt")
    return folder / "classifier.ckpt"


class Copies(GAN):
    """Draws the training pictures themselves, each of the class that is asked for."""

    real: Tensor
    labels: Tensor

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        self.real, self.labels = torch.cat(list(data.pictures("train"))), data._split("train").labels

    def generate(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        drawn = (noise[:, 0] * 1e4).long().tolist()
        own = [self.real[self.labels == label] for label in range(10)]
        return torch.stack([own[label][number % len(own[label])] for label, number in zip(labels, drawn, strict=True)])


def figures_of(module: GAN, folder: Path) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    seed_everything(0, verbose=False)
    trainer = silent_trainer(folder, logger=False)
    figures = trainer.test(module, datamodule=ImageDataModule(**DIGITS), verbose=False)[0]
    with (folder / "sample_scores.csv").open() as file:
        lines = {line.pop("figure"): line for line in csv.DictReader(file)}
    scored = next(iter(lines.values()))
    found = {of: {name: float(line[of]) for name, line in lines.items() if line[of]} for of in scored}
    return {name: float(value) for name, value in figures.items()}, found


def test_copies_of_real_pictures_pass_and_the_controls_fail(classifier: Path, tmp_path: Path) -> None:
    module = Copies(width=4, latent_dim=3, features=str(classifier), samples=700, condition="concat")
    figures, rows = figures_of(module, tmp_path)
    halves = rows["half of the real against the other"]
    assert figures["test/frechet_classifier"] < 2 * halves["frechet_classifier"]
    assert figures["test/modes_covered"] == halves["modes_covered"] == 10
    assert figures["test/precision"] > 0.9
    assert figures["test/class_agreement"] > 0.9
    for control in ("noise", "shuffled pixels"):
        assert rows[control]["frechet_classifier"] > 10 * halves["frechet_classifier"]
        assert rows[control]["modes_covered"] < 9 or rows[control]["recognised"] < 0.5
    assert (tmp_path / "samples/nearest.png").is_file()


def test_validation_logs_the_distance_by_which_the_best_epoch_is_chosen(classifier: Path, tmp_path: Path) -> None:
    module = GAN(width=4, latent_dim=3, features=str(classifier), samples=200, plot_every_n_steps=0)
    assert module.monitor == ("val/frechet_classifier", "min")
    assert GAN(width=4).monitor == ("step", "max")
    trainer = silent_trainer(tmp_path, max_steps=2, max_epochs=-1, limit_train_batches=2)
    trainer.fit(module, datamodule=ImageDataModule(**DIGITS))
    logged = {name for name in trainer.callback_metrics if name.startswith("val/")}
    assert {"val/frechet_classifier", "val/precision", "val/recall", "val/modes_covered", "val/loss"} <= logged
    assert not [
        name for name in module.state_dict() if "network" in name.split(".")[:1]
    ]  # no classifier in checkpoints


def test_fewer_samples_than_features_are_refused_unless_told(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fewer than the"):
        figures_of(GAN(width=4, latent_dim=3, features=str(classifier), samples=10), tmp_path)
    figures_of(GAN(width=4, latent_dim=3, features=str(classifier), samples=10, allow_few_samples=True), tmp_path)


def test_features_that_are_not_there_are_told_before_training(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"features='no\.ckpt': there is no such file"):
        silent_trainer(tmp_path).fit(GAN(width=4, features="no.ckpt"), datamodule=ImageDataModule(**DIGITS))
    with pytest.raises(FileNotFoundError, match="there are no Inception weights at"):
        silent_trainer(tmp_path).fit(GAN(width=4, features="inception:no.pth"), datamodule=ImageDataModule(**DIGITS))


def test_one_picture_for_each_class_is_remarked_on(classifier: Path, tmp_path: Path) -> None:
    class OnePictureEach(Copies):
        def generate(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
            return super().generate(torch.zeros_like(noise), labels)

    module = OnePictureEach(width=4, latent_dim=3, features=str(classifier), samples=200, condition="concat")
    with pytest.warns(UserWarning, match=r"mode collapse: recall 0\.0\d\d, where one half .* has 0\.\d"):
        figures, rows = figures_of(module, tmp_path)
    assert figures["test/precision"] > 0.8  # which alone tells nothing
    assert rows["samples"]["recall"] < 0.1 * rows["half of the real against the other"]["recall"]


def test_figures_of_samples_are_shown_once_with_what_they_are_compared_with(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    results = {"val/loss": 1.0, "test/loss": 2.0, "val/recall": 0.25, "test/recall": 0.25}
    print_results(tmp_path, results, of="best epoch", drawn=GAN(width=4, samples=300).drawn_figures)
    printed = capsys.readouterr().out
    [row] = [line for line in printed.splitlines() if "recall" in line]
    assert row.count("0.2500") == 1
    assert "300 samples against training pictures" in printed


def test_everything_that_is_logged_of_samples_is_known_as_such(classifier: Path, tmp_path: Path) -> None:
    module = Copies(width=4, latent_dim=3, features=str(classifier), samples=200, condition="concat")
    figures, _ = figures_of(module, tmp_path)
    assert {name.removeprefix("test/") for name in figures} - {"loss"} <= module.drawn_figures[0]
