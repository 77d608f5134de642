"""`ImageClassifier`: what it learns from the data, computes, logs, saves and refuses."""

import inspect
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import DDPStrategy
from PIL import Image
from torch import Tensor, nn

from lhy_lightning import FixMatchClassifier, ImageClassifier, PseudoLabelClassifier
from lhy_lightning.cnn.ensemble import ProbabilityAverage
from lhy_lightning.cnn.plots import confusion_figure, per_class_rows, prediction_grid
from lhy_lightning.cnn.test_time_augmentation import views
from tests.cnn.pictures_to_fit import BrightOrDark, fit, silent_trainer

TINY: dict[str, Any] = {"network": "vgg", "depth": 3, "width": 4, "lr": 0.05}
SIZES: dict[str, Any] = {"num_classes": 2, "image_size": (8, 8), "channels": 1}


def arguments_of(kind: type) -> set[str]:
    """Names in a constructor's signature; `**arguments` stands for those of the class above."""
    names: set[str] = set()
    for owner in kind.__mro__:
        own = inspect.signature(owner.__init__).parameters.values()  # type: ignore[misc]
        names |= {p.name for p in own if p.kind is p.KEYWORD_ONLY}
        if not any(p.kind is p.VAR_KEYWORD for p in own):
            return names
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", [ImageClassifier, PseudoLabelClassifier, FixMatchClassifier])
def test_hyperparameters_are_the_signature(kind: type[ImageClassifier]) -> None:
    assert set(kind(**TINY, **SIZES).hparams) == arguments_of(kind)


@pytest.mark.parametrize("kind", [ImageClassifier, PseudoLabelClassifier])
def test_what_the_data_told_is_in_the_checkpoint(kind: type[ImageClassifier], tmp_path: Path) -> None:
    module = kind(**TINY, ema_decay=0.9, betas=(0.5, 0.9))
    assert module.network is None
    trainer = fit(module, tmp_path)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = kind.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).eval()
    assert (again.num_classes, again.image_size, again.channels) == (2, (8, 8), 1)
    assert again.class_names == ("dark", "bright")
    image = torch.rand(3, 1, 8, 8)
    assert torch.equal(again(image), module.eval()(image))
    assert again.averaged is not None
    assert again.averaged.count == 8
    module.save_pretrained(tmp_path / "pretrained")
    shared = kind.from_pretrained(tmp_path / "pretrained")
    assert torch.equal(shared(image), again(image))
    assert dict(shared.hparams) == dict(again.hparams)


def test_a_network_of_ones_own_takes_three_lines(tmp_path: Path) -> None:
    class Mine(ImageClassifier):
        def build_network(self) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(64, self.num_classes))

    module = Mine(lr=0.1)
    trainer = fit(module, tmp_path)
    assert isinstance(module.network, nn.Sequential)
    assert trainer.callback_metrics["val/accuracy"] > 0.8


def test_a_training_step_is_the_plain_loops(tmp_path: Path) -> None:
    module = ImageClassifier(**TINY, **SIZES, label_smoothing=0.1, momentum=0.8, weight_decay=0.01, schedule="linear")
    plain = ImageClassifier(**TINY, **SIZES).build_network()
    plain.load_state_dict(module.network.state_dict())  # type: ignore[union-attr]
    weights = [p for p in plain.parameters() if p.ndim > 1]
    others = [p for p in plain.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": 0.01}, {"params": others}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.8, nesterov=True)
    for step, batch in enumerate(BrightOrDark().train_dataloader()):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / 4)
        optimizer.zero_grad()
        F.cross_entropy(plain(batch["image"]), batch["label"], label_smoothing=0.1).backward()
        optimizer.step()
    fit(module, tmp_path, max_epochs=1)
    for name, value in module.network.state_dict().items():  # type: ignore[union-attr]
        torch.testing.assert_close(value, plain.state_dict()[name])


def test_averaged_weights_evaluate_and_raw_ones_train(tmp_path: Path) -> None:
    module = ImageClassifier(**TINY, **SIZES, ema_decay=0.9)
    trainer = fit(module, tmp_path, accumulate_grad_batches=2)
    assert module.averaged is not None
    assert module.network is not None
    assert module.averaged.count == 4  # one update an optimizer step, not one a batch
    image = torch.rand(2, 1, 8, 8)
    assert torch.equal(module(image), module.averaged.network.eval()(image))
    assert not torch.allclose(module(image), module.network.eval()(image))
    names = {name.split(".")[0] for name in module.state_dict()}
    assert names == {"network", "averaged"}
    again = trainer.validate(module, datamodule=BrightOrDark(), verbose=False)[0]
    logits = torch.cat([module(batch["image"]) for batch in BrightOrDark().val_dataloader()])
    labels = torch.arange(13) % 2
    assert again["val/accuracy"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert again["val/loss"] == pytest.approx(F.cross_entropy(logits, labels).item())


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_both_losses_learn_and_validation_has_neither_smoothing_nor_weights(loss: str, tmp_path: Path) -> None:
    module = ImageClassifier(**{**TINY, "lr": 0.2}, loss=loss, label_smoothing=0.2, class_weights=(1.0, 5.0))  # type: ignore[arg-type]
    trainer = fit(module, tmp_path, max_epochs=4)
    assert trainer.callback_metrics["val/accuracy"] == 1
    logits = torch.cat([module.eval()(batch["image"]) for batch in BrightOrDark().val_dataloader()])
    expected = module.criterion(logits, torch.arange(13) % 2)
    assert trainer.callback_metrics["val/loss"] == pytest.approx(expected.item())


def test_logged_rows_have_their_names(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="", version="")
    fit(ImageClassifier(**TINY), tmp_path, logger=logger, log_every_n_steps=2, max_epochs=1)
    header, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert set(header.split(",")) == {"epoch", "step", "train/loss", "train/accuracy", "val/loss", "val/accuracy"}
    assert len(rows) == 3  # steps 2 and 4, one validation


def test_pictures_and_the_table_of_classes_are_written(tmp_path: Path) -> None:
    module = ImageClassifier(**TINY)
    trainer = fit(module, tmp_path, max_epochs=1)
    trainer.test(module, datamodule=BrightOrDark(), verbose=False)
    samples = {path.name for path in (tmp_path / "samples").iterdir()}
    assert samples == {f"{stage}_{what}.png" for stage in ("val", "test") for what in ("predictions", "confusion")}
    header, *rows = (tmp_path / "per_class.csv").read_text().splitlines()
    assert header == "class,rows,accuracy"
    assert [row.split(",")[:2] for row in rows] == [["dark", "6"], ["bright", "5"]]


def test_without_labels_test_says_why_there_is_no_accuracy(tmp_path: Path) -> None:
    module = ImageClassifier(**TINY, **SIZES)
    with pytest.warns(UserWarning, match="no labels: there is no test/accuracy"):
        (figures,) = silent_trainer(tmp_path).test(module, datamodule=BrightOrDark(test_labels=False), verbose=False)
    assert set(figures) == {"test/confidence"}
    assert not (tmp_path / "per_class.csv").exists()


def test_predictions_are_probabilities_with_their_rows(tmp_path: Path) -> None:
    module = ImageClassifier(**TINY, **SIZES, test_time_views=3).eval()
    loader = BrightOrDark().test_dataloader()
    batches: Any = silent_trainer(tmp_path).predict(module, loader)
    assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(11))
    first = next(iter(loader))["image"]
    mean = torch.stack([module(view).softmax(1) for view in views(first, 3)]).mean(0)
    torch.testing.assert_close(batches[0]["probabilities"], mean)


def test_views_are_the_picture_its_mirror_image_and_small_moves() -> None:
    image = torch.arange(32.0 * 32).view(1, 1, 32, 32)
    plain, mirrored, moved, moved_mirrored = views(image, 4)
    assert torch.equal(plain, image)
    assert torch.equal(mirrored, image.flip(3))
    assert torch.equal(moved[..., :30, :30], image[..., 2:, 2:])
    assert torch.equal(moved_mirrored, moved.flip(3))
    assert all(view.shape == image.shape for view in views(image, 10))
    with pytest.raises(ValueError, match="between 1 and 10"):
        next(views(image, 11))


def test_classify_takes_paths_pictures_and_tensors(tmp_path: Path) -> None:
    module = ImageClassifier(**TINY, **SIZES, class_names=("dark", "bright"))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8), dtype=np.uint8)
    pictures = [Image.fromarray(array) for array in pixels]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    tensor = torch.from_numpy(pixels).float()[:, None] / 127.5 - 1
    named = module.classify(tensor)
    assert module.training  # as it was
    assert [name in ("dark", "bright") for name, _ in named] == [True, True]
    for same in (module.classify(pictures), module.classify([tmp_path / "0.png", str(tmp_path / "1.png")])):
        assert [name for name, _ in same] == [name for name, _ in named]
        assert [p for _, p in same] == pytest.approx([p for _, p in named])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, "labels up to 1, the network num_classes=1"),
        ({"image_size": (9, 9)}, r"image_size \(9, 9\), the data has \(8, 8\)"),
        ({"channels": 3}, "channels 3, the data has 1"),
        ({"class_weights": (1.0, 2.0, 3.0)}, "3 class_weights for 2 classes"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_training(
    arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(ImageClassifier(**TINY, **arguments), tmp_path)


def test_names_that_do_not_exist_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="cross_entropy, mse"):
        ImageClassifier(loss="hinge")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="did you mean 'resnet'"):
        ImageClassifier(network="resnt", **SIZES)
    with pytest.raises(ValueError, match="give ImageClassifier num_classes, image_size and channels"):
        ImageClassifier().sizes()


def test_balanced_class_weights_come_from_the_training_rows(tmp_path: Path) -> None:
    module = ImageClassifier(**TINY, class_weights="balanced")
    fit(module, tmp_path, max_epochs=1)
    assert module.weights is not None
    assert module.weights.tolist() == [1.0, 1.0]
    assert "weights" not in module.state_dict()


class TwoRanks(DDPStrategy):
    root_device = torch.device("cpu")

    def __init__(self, device: str) -> None:
        super().__init__()
        self.root_device = torch.device(device)  # type: ignore[misc]


def prepared(device: str, **arguments: Any) -> ImageClassifier:
    module = ImageClassifier(**TINY, **SIZES, **arguments)
    module._trainer = SimpleNamespace(strategy=TwoRanks(device), world_size=2)  # type: ignore[assignment]
    module.prepare_for_ranks()
    return module


def test_batch_norm_is_synchronized_on_gpus_and_said_not_to_be_on_cpus() -> None:
    assert any(isinstance(m, nn.SyncBatchNorm) for m in prepared("cuda").modules())
    assert not any(isinstance(m, nn.SyncBatchNorm) for m in prepared("cuda", sync_batchnorm=False).modules())
    with pytest.warns(UserWarning, match="statistics from each process's own rows"):
        prepared("cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepared("cpu", norm="group")


def test_figures_for_eyes() -> None:
    confusion = torch.tensor([[3, 1], [0, 0]])
    name, rows, accuracy = per_class_rows(confusion, ("a", "b"))[0]
    assert (name, rows, accuracy) == ("a", 4, 0.75)
    matrix = confusion_figure(confusion, ("a", "b")).axes[0]
    assert [text.get_text() for text in matrix.texts] == ["3", "1"]
    grid = prediction_grid(torch.zeros(3, 1, 4, 4), ["a", "b", "a"], ["a", "a", "a"]).axes[0]
    assert [text.get_text() for text in grid.texts] == ["a", "b, not a", "a"]


def test_training_in_low_precision_keeps_losses_and_averages_in_float32(tmp_path: Path) -> None:
    module = ImageClassifier(**TINY, ema_decay=0.9)
    losses: list[Tensor] = []
    original = module.criterion
    module.criterion = lambda *a, **k: losses.append(original(*a, **k)) or losses[-1]
    fit(module, tmp_path, precision="bf16-mixed", max_epochs=1)
    assert {loss.dtype for loss in losses} == {torch.float32}
    assert {p.dtype for p in module.averaged.parameters()} == {torch.float32}  # type: ignore[union-attr]


def test_an_ensemble_is_tested_by_the_mean_of_its_probabilities(tmp_path: Path) -> None:
    data = BrightOrDark()
    members = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        module = ImageClassifier(network="resnet", depth=8, width=4)
        silent_trainer(tmp_path, max_epochs=1).fit(module, datamodule=data)
        members.append(module.eval())
    alone = silent_trainer(tmp_path).test(members[0], datamodule=data, verbose=False)[0]
    twice = silent_trainer(tmp_path).test(ProbabilityAverage([members[0]] * 2), datamodule=data, verbose=False)[0]
    assert twice == pytest.approx({name: alone[name] for name in ("test/loss", "test/accuracy")}, rel=1e-6)
    both = silent_trainer(tmp_path).test(ProbabilityAverage(members), datamodule=data, verbose=False)[0]
    right, nats = [], []
    for batch in data.test_dataloader():
        with torch.no_grad():
            mean = torch.stack([member.probabilities(batch["image"]) for member in members]).mean(0)
        right.append(mean.argmax(1) == batch["label"])
        nats.append(-mean.gather(1, batch["label"][:, None])[:, 0].log())
    assert both["test/accuracy"] == pytest.approx(float(torch.cat(right).float().mean()))
    assert both["test/loss"] == pytest.approx(float(torch.cat(nats).mean()), rel=1e-5)
