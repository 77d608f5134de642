"""Pseudo-labels: who is labelled, by whom, when, and what is reported."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lhy_lightning import FixMatchClassifier, ImageClassifier, ImageDataModule, PseudoLabelClassifier
from lhy_lightning.cnn.losses import cross_entropy
from tests.cnn.pictures_to_fit import BrightOrDark, bright_or_dark, fit, silent_trainer
from tests.processes import run_forked, torchrun_environments

TINY: dict[str, Any] = {"network": "vgg", "depth": 3, "width": 4, "lr": 0.1}
SIZES: dict[str, Any] = {"num_classes": 2, "image_size": (8, 8), "channels": 1}


class WithUnlabelled(BrightOrDark):
    """Ten unlabelled pictures; the truth of the last two is unknown, and of the first one wrong."""

    unlabelled_truth = torch.tensor([1, 1, 0, 1, 0, 1, 0, 1, -1, -1])

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[Tensor, Tensor]] = []

    def unlabelled_loader(self) -> DataLoader:
        return bright_or_dark(10, seed=3, labels=False)

    def set_pseudo_labels(self, index: Tensor, label: Tensor) -> None:
        self.given.append((index, label))


class ByBrightness(PseudoLabelClassifier):
    """Sure of every picture but those with an index over 6, and only in evaluation mode."""

    def build_network(self) -> nn.Module:
        class Network(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.unused = nn.Parameter(torch.ones(2, 2))
                self.dropout = nn.Dropout(1.0)

            def forward(self, images: Tensor) -> Tensor:
                mean = self.dropout(images.mean((1, 2, 3)))
                return torch.stack((-40 * mean, 40 * mean), 1) * self.unused.sum() / 4

        return Network()


def test_labels_are_predictions_in_evaluation_mode_and_right_ones_are_counted(tmp_path: Path) -> None:
    module, data = (
        ByBrightness(relabel_every_n_epochs=1, start_accuracy=0.9, threshold=0.999, lr=1e-30),
        WithUnlabelled(),
    )
    trainer = silent_trainer(tmp_path, max_epochs=1)
    trainer.fit(module, datamodule=data)
    ((index, label),) = data.given
    assert index.tolist() == list(range(10))
    assert label.tolist() == [0, 1] * 5
    assert trainer.callback_metrics["pseudo/labelled"] == 10
    assert trainer.callback_metrics["pseudo/accuracy"] == pytest.approx(7 / 8)


def test_pictures_under_the_threshold_get_no_label(tmp_path: Path) -> None:
    module, data = ByBrightness(relabel_every_n_epochs=1, start_accuracy=0.0, lr=1e-30), WithUnlabelled()
    module.threshold = 1.1  # its network is as sure as float32 can be
    trainer = silent_trainer(tmp_path, max_epochs=1)
    trainer.fit(module, datamodule=data)
    assert data.given[0][0].tolist() == []
    assert trainer.callback_metrics["pseudo/labelled"] == 0
    assert trainer.callback_metrics["pseudo/accuracy"].isnan()


@pytest.mark.parametrize(
    ("relabel_every_n_epochs", "start_accuracy", "times"),
    [(1, 0.9, 4), (2, 0.9, 2), (3, 0.9, 1), (6, 0.9, 0), (5, 0.0, 0)],
)
def test_relabelling_waits_for_its_epochs_and_for_the_accuracy(
    relabel_every_n_epochs: int, start_accuracy: float, times: int, tmp_path: Path
) -> None:
    data = WithUnlabelled()
    module = ByBrightness(relabel_every_n_epochs=relabel_every_n_epochs, start_accuracy=start_accuracy, lr=1e-30)
    silent_trainer(tmp_path, max_epochs=4, num_sanity_val_steps=1).fit(module, datamodule=data)
    assert len(data.given) == times


def test_the_loss_is_the_labelled_one_plus_the_weighted_pseudo_one() -> None:
    module = PseudoLabelClassifier(**TINY, **SIZES, norm="none", pseudo_label_weight=0.3)
    module.log_training = lambda *a: None  # type: ignore[method-assign]
    batch = next(iter(bright_or_dark(8, seed=0)))
    network: Any = module.network
    alone = module.training_step(batch, 0)
    torch.testing.assert_close(alone, cross_entropy(network(batch["image"]), batch["label"]))
    pseudo = {"pseudo_image": torch.rand(3, 1, 8, 8), "pseudo_label": torch.tensor([1, 0, 1])}
    both = module.training_step({**batch, **pseudo}, 0)
    added = cross_entropy(network(pseudo["pseudo_image"]), pseudo["pseudo_label"])
    torch.testing.assert_close(both, alone + 0.3 * added)


def fixmatch_batch() -> dict[str, Tensor]:
    batch = next(iter(bright_or_dark(8, seed=0)))
    views = {"weak_image": torch.rand(6, 1, 8, 8), "strong_image": torch.rand(6, 1, 8, 8)}
    return {**batch, **views, "unlabelled_index": torch.arange(6)}


def test_a_fixmatch_step_is_equations_3_to_5() -> None:
    module = FixMatchClassifier(**TINY, **SIZES, norm="none", threshold=0.5, lambda_u=0.7)
    module.log_training = lambda *a: None  # type: ignore[method-assign]
    batch, network = fixmatch_batch(), module.network
    assert network is not None
    label = network(batch["weak_image"]).argmax(1)  # of two classes one always has half
    supervised = cross_entropy(network(batch["image"]), batch["label"])
    unlabelled = cross_entropy(network(batch["strong_image"]), label)
    torch.testing.assert_close(module.training_step(batch, 0), supervised + 0.7 * unlabelled)
    assert module.counts.tolist() == [6, 6, 0, 0]


@pytest.mark.parametrize("low_precision", [False, True])
def test_every_weight_learns_though_the_weak_view_has_no_gradient(low_precision: bool) -> None:
    module = FixMatchClassifier(**TINY, **SIZES, threshold=0.5)
    module.log_training = lambda *a: None  # type: ignore[method-assign]
    with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
        module.training_step(fixmatch_batch(), 0).backward()
    assert module.network is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.network.parameters())


def test_fixmatch_without_views_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unlabelled='weak_strong'"):
        fit(FixMatchClassifier(**TINY), tmp_path)


def digits(unlabelled: str) -> ImageDataModule:
    return ImageDataModule(
        batch_size=16,
        labelled_per_class=120,
        unlabelled_per_batch=32,
        unlabelled=unlabelled,
        steps_per_epoch=4,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("module", "unlabelled"),
    [
        (
            PseudoLabelClassifier(**TINY, relabel_every_n_epochs=1, start_accuracy=0.0, threshold=0.1, norm="group"),
            "pseudo",
        ),
        (FixMatchClassifier(**TINY, threshold=0.11), "weak_strong"),
    ],
    ids=["relabelling", "fixmatch"],
)
def test_both_forms_train_on_few_labels_and_report(module: ImageClassifier, unlabelled: str, tmp_path: Path) -> None:
    trainer = silent_trainer(tmp_path, max_epochs=3)
    trainer.fit(module, datamodule=digits(unlabelled))
    assert trainer.callback_metrics["pseudo/labelled"] > 0
    assert 0 < trainer.callback_metrics["pseudo/accuracy"] < 1
    name = "train/pseudo_loss" if unlabelled == "pseudo" else "train/unlabelled_loss"
    assert trainer.callback_metrics[name] > 0


def test_pseudo_labels_and_their_figures_are_in_the_checkpoint(tmp_path: Path) -> None:
    arguments = {**TINY, "relabel_every_n_epochs": 2, "start_accuracy": 0.0, "threshold": 0.1}
    module, data = PseudoLabelClassifier(**arguments), digits("pseudo")
    trainer = silent_trainer(tmp_path, max_epochs=2)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again, fresh = PseudoLabelClassifier(**arguments), digits("pseudo")
    resumed = silent_trainer(tmp_path, max_epochs=3)
    resumed.fit(again, datamodule=fresh, ckpt_path=str(tmp_path / "a.ckpt"), weights_only=True)
    assert torch.equal(fresh.state_dict()["pseudo_labels"], data.state_dict()["pseudo_labels"])
    assert resumed.callback_metrics["pseudo/labelled"] == trainer.callback_metrics["pseudo/labelled"] > 0


def relabel_and_keep(folder: Path) -> None:
    torch.manual_seed(0)
    module = PseudoLabelClassifier(**TINY, norm="group", relabel_every_n_epochs=1, start_accuracy=0.0, threshold=0.12)
    data = ImageDataModule(
        batch_size=8, labelled_per_class=130, unlabelled_per_batch=8, unlabelled="pseudo", steps_per_epoch=2
    )
    nodes = int(os.environ.get("WORLD_SIZE", "1"))
    trainer = silent_trainer(folder, max_epochs=2, num_nodes=nodes, devices=1)
    trainer.fit(module, datamodule=data)
    torch.save(data.state_dict()["pseudo_labels"], folder / f"{nodes}_{trainer.global_rank}.pt")


def test_two_ranks_agree_on_the_labels_of_all_rows(tmp_path: Path) -> None:
    assert run_forked(relabel_and_keep, tmp_path, environments=torchrun_environments(2, nodes=2)) == [0, 0]
    first, second = (torch.load(tmp_path / f"2_{rank}.pt") for rank in (0, 1))
    assert torch.equal(first, second)
    assert (first[0::2] >= 0).any()  # rows of the first rank and of the second
    assert (first[1::2] >= 0).any()
