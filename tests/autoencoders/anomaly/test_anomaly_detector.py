"""`AnomalyDetector`: no score depends on its batch, no choice on an anomaly label, and it says where there are none."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from sklearn.metrics import roc_auc_score

from lhy_lightning import AnomalyDataModule, AnomalyDetector
from tests.cnn.pictures_to_fit import silent_trainer

EVERY = [
    {"score": "pixel"}, {"score": "patch", "patch": 3}, {"score": "feature"}, {"score": "latent"},
    {"score": "classifier", "synthetic_anomalies": "noise"}, {"score": "classifier", "synthetic_anomalies": "patches"},
    {"score": "classifier", "synthetic_anomalies": "latents"},
    {"score": "classifier", "synthetic_anomalies": "rotations"},
    {"score": "classifier", "synthetic_anomalies": "shifts", "reconstruction_weight": 0.0},
]  # fmt: skip


def small(**settings: Any) -> AnomalyDetector:
    numbers = {"latent_dim": 4, "width": 8, "downsamplings": 1, "lr": 3e-3, "plot_every_n_validations": 0}
    return AnomalyDetector(**{**numbers, **settings})  # type: ignore[arg-type]


def digits(**settings: Any) -> AnomalyDataModule:
    return AnomalyDataModule(**{"normal_class": "1", "batch_size": 32, "test_fraction": 0.3, **settings})


def fitted(folder: Path, *, data: AnomalyDataModule | None = None, epochs: int = 2, **settings: Any) -> Trainer:
    seed_everything(0, verbose=False)
    trainer = silent_trainer(folder, max_epochs=epochs, inference_mode=True)
    trainer.fit(small(**settings), datamodule=data or digits())
    return trainer


def module_of(trainer: Trainer) -> AnomalyDetector:
    assert isinstance(trainer.lightning_module, AnomalyDetector)
    return trainer.lightning_module


@pytest.mark.parametrize("settings", EVERY, ids=lambda s: "-".join(map(str, s.values())))
def test_scores_do_not_depend_on_what_else_is_in_the_batch(settings: dict[str, Any], tmp_path: Path) -> None:
    trainer = fitted(tmp_path, network="homework_batch_norm", data=digits(image_size=16), **settings)
    module, images = module_of(trainer), torch.rand(7, 1, 16, 16) * 2 - 1
    together = module.train().scores(images)
    assert module.training
    apart = torch.cat([module.scores(image[None]) for image in images])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)
    assert together.unique().numel() == 7


@pytest.mark.parametrize("settings", EVERY, ids=lambda s: "-".join(map(str, s.values())))
def test_a_checkpoint_gives_the_same_scores_and_threshold(settings: dict[str, Any], tmp_path: Path) -> None:
    trainer = fitted(tmp_path, **settings)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again, images = AnomalyDetector.load_from_checkpoint(tmp_path / "a.ckpt"), torch.rand(3, 1, 8, 8)
    assert torch.equal(again.scores(images), module_of(trainer).scores(images))
    assert torch.equal(again.threshold, module_of(trainer).threshold)
    found = trainer.test(again, datamodule=digits(), ckpt_path=tmp_path / "a.ckpt", verbose=False, weights_only=True)
    assert "test/auroc" in found[0]
    again.save_pretrained(tmp_path / "saved")
    assert torch.equal(AnomalyDetector.from_pretrained(tmp_path / "saved").scores(images), again.scores(images))


def test_figures_of_the_test_are_scikit_learns_of_the_raw_scores(tmp_path: Path) -> None:
    trainer = fitted(tmp_path, epochs=15)
    module, data = module_of(trainer), digits()
    found = trainer.test(module, datamodule=data, verbose=False)[0]
    data.setup("test")
    rows = [data.prepare_batch(batch, training=False) for batch in data.test_dataloader()]
    scores = torch.cat([module.scores(batch["image"]) for batch in rows])
    labels = torch.cat([batch["label"] for batch in rows])
    assert found["test/auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
    assert found["test/auroc"] > 0.9
    assert {"test/aupr", "test/f1", "test/detected", "test/false_alarms", "test/loss", "test/pixel_auroc"} <= set(found)


def test_the_threshold_is_the_score_that_a_stated_share_of_normal_pictures_exceeds(tmp_path: Path) -> None:
    data = digits(val_fraction=0.3)
    module = module_of(fitted(tmp_path, data=data, false_alarm_rate=0.2))
    scores = module.scores(torch.cat(list(data.pictures("val"))))
    assert int((scores > module.threshold).sum()) == int(0.2 * len(scores))


def test_training_and_its_headline_know_no_anomaly_label(tmp_path: Path) -> None:
    plain = fitted(tmp_path)
    assert not [name for name in plain.callback_metrics if "auroc" in name]
    assert AnomalyDetector.monitor == ("val/loss", "min")
    told = fitted(tmp_path, data=digits(val_anomalies=True))
    assert 0 <= float(told.callback_metrics["val/auroc"]) <= 1
    assert float(told.callback_metrics["val/loss"]) == pytest.approx(float(plain.callback_metrics["val/loss"]))
    assert torch.equal(module_of(told).threshold, module_of(plain).threshold)


@pytest.mark.parametrize("callback", [ModelCheckpoint, EarlyStopping])
def test_an_epoch_chosen_by_anomaly_labels_prints_oracle(callback: type[Callback], tmp_path: Path) -> None:
    trainer = silent_trainer(
        tmp_path, max_epochs=1, callbacks=[callback(monitor="val/auroc", mode="max")],  # type: ignore[call-arg]
        enable_checkpointing=callback is ModelCheckpoint,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="ORACLE: .* chooses by val/auroc, which takes anomaly labels"):
        trainer.fit(small(), datamodule=digits(val_anomalies=True))


def test_a_choice_by_the_loss_is_no_oracle(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "ORACLE")
        trainer = silent_trainer(tmp_path, max_epochs=1, callbacks=[EarlyStopping("val/loss")])
        trainer.fit(small(), datamodule=digits())


def test_a_test_without_labels_or_without_anomalies_says_that_there_is_no_auroc(tmp_path: Path) -> None:
    trainer = fitted(tmp_path)
    module = module_of(trainer)

    class Some(AnomalyDataModule):
        def test_dataloader(self) -> Any:
            loader = super().test_dataloader()
            split = self._split("test")
            loader.dataset.labels = None if self.bare else torch.zeros(len(split), dtype=torch.int64)
            return loader

    for bare, words in (
        (True, "the test pictures have no labels: there is no test/auroc"),
        (False, "without an anomaly"),
    ):
        data = Some(normal_class="1")
        data.bare = bare
        with pytest.warns(UserWarning, match=words):
            found = trainer.test(module, datamodule=data, verbose=False)[0]
        assert "test/auroc" not in found
        assert {"test/score", "test/called_anomalies"} <= set(found)


def test_predictions_are_raw_scores_and_what_the_threshold_says_of_them(tmp_path: Path) -> None:
    trainer = fitted(tmp_path)
    batches = trainer.predict(module_of(trainer), datamodule=digits())
    assert batches is not None
    rows = {name: torch.cat([batch[name] for batch in batches]) for name in ("index", "score", "anomaly")}
    assert rows["index"].tolist() == list(range(len(rows["index"])))
    assert torch.equal(rows["anomaly"], rows["score"] > module_of(trainer).threshold)


def test_an_encoder_and_decoder_of_ones_own_are_one_method(tmp_path: Path) -> None:
    class Own(AnomalyDetector):
        def build_encoder_and_decoder(self) -> tuple[torch.nn.Module, torch.nn.Module]:
            wide = torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.Unflatten(1, self.shape))
            return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2)), wide

    trainer = silent_trainer(tmp_path, max_epochs=1)
    trainer.fit(Own(score="latent", plot_every_n_validations=0), datamodule=digits())
    assert module_of(trainer).latent_mean.shape == (2,)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"score": "pixels"}, "score is one of pixel, patch, feature, latent, classifier, not 'pixels'"),
        ({"network": "resnet"}, "network is one of linear, homework"),
        ({"synthetic_anomalies": "flips"}, "synthetic_anomalies is one of none, noise, patches"),
        ({"score": "classifier"}, "score=classifier needs synthetic_anomalies"),
        ({"false_alarm_rate": 1.0}, "false_alarm_rate=1.0: must be at least 0 and below 1"),
        ({"patch": 4}, "patch=4: an odd number"),
        ({"reconstruction_weight": 0.0}, "score=pixel needs a trained decoder"),
        ({"network": "homework", "image_size": (28, 28), "channels": 1}, "28 x 28 cannot be halved 3 times"),
    ],
)
def test_arguments_that_make_no_sense_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        small(**settings)


def test_pictures_of_validation_show_where_something_was_pasted(tmp_path: Path) -> None:
    fitted(tmp_path, plot_every_n_validations=1, epochs=1)
    assert {path.name for path in (tmp_path / "samples").iterdir()} == {"reconstructions.png", "heat_maps.png"}


def test_every_figure_of_a_batch_that_has_no_normal_row_has_no_weight(tmp_path: Path) -> None:
    module = module_of(fitted(tmp_path))
    assert isinstance(module, LightningModule)
    module.means.clear()
    images, rows = torch.rand(4, 1, 8, 8), torch.arange(4)
    module.evaluate({"image": images, "label": torch.tensor([0, 0, 0, 0]), "index": rows}, "test")
    before = float(module.means["test-loss"].compute())  # type: ignore[operator]
    module.evaluate({"image": -images, "label": torch.tensor([1, 1, 1, 1]), "index": rows}, "test")
    assert float(module.means["test-loss"].compute()) == before  # type: ignore[operator]


def test_heat_maps_of_a_perfect_reconstruction_find_every_pasted_pixel() -> None:
    images = torch.rand(8, 1, 16, 16) - 0.5

    class Knows(AnomalyDetector):
        def reconstruct(self, pictures: torch.Tensor) -> torch.Tensor:
            return images

    module = Knows(image_size=(16, 16), channels=1, patch=1, plot_every_n_validations=0)
    module.evaluate({"image": images, "label": torch.zeros(8), "index": torch.arange(8)}, "test")
    assert float(module.pixels.compute()) == 1.0
