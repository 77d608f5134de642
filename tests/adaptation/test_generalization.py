"""`DomainGeneralization`: each method's loss by hand, its choice by source validation, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer, seed_everything
from torch import Tensor
from torch.utils.data import DataLoader

from lhy_lightning import DomainGeneralization, SourceOnly
from lhy_lightning.adaptation.losses.generalization_losses import GroupDRO, irm_penalty, mixup_across_domains
from lhy_lightning.cli.__main__ import main
from lhy_lightning.core.distributed import rank_and_world
from lhy_lightning.training.checkpoints import read_checkpoint
from tests.adaptation.two_domains import SMALL, Batch, TwoDomains, fit, pictures
from tests.picture_folders import Writer
from tests.processes import run_forked, torchrun_environments

THREE: dict[str, Any] = {**SMALL, "source_domains": 3}
METHODS = ("erm", "group_dro", "irm", "mixup")


class ThreeSources(TwoDomains):
    """Three brightnesses to learn from, a fourth to test on; the labels of the last source are wrong."""

    def __init__(self, *, steps: int = 12) -> None:
        super().__init__(steps=steps)
        self.domain_names, self.source_domains = ("dark", "grey", "wrong", "light"), 3
        rows = [pictures(24, seed, brighter=0.1 * seed) for seed in range(3)]
        rows[2] = (rows[2][0], torch.randint(3, (24,), generator=torch.Generator().manual_seed(0)))
        self.images, self.labels = (torch.cat(parts) for parts in zip(*rows, strict=True))
        self.domains = torch.arange(3).repeat_interleave(24)

    def part(self, step: int) -> Batch:
        rows = torch.cat([torch.arange(24 * n + 8 * (step % 3), 24 * n + 8 * (step % 3) + 8) for n in range(3)])
        return {
            "source_image": self.images[rows], "source_label": self.labels[rows], "source_domain": self.domains[rows]
        }  # fmt: skip

    def train_dataloader(self) -> DataLoader[Batch]:
        return self.loader([self.part(step) for step in range(self.steps)])

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        rows = torch.arange(72).roll(30).split(20)  # in another order than that of the domains
        names = {"image": self.images, "label": self.labels, "index": torch.arange(72), "source_domain": self.domains}
        source = self.loader([{name: value[part] for name, value in names.items()} for part in rows])
        return [source, self.evaluation(*self.val[1])]


def batch_and_logits(module: DomainGeneralization) -> tuple[Batch, Tensor]:
    batch, (extractor, predictor) = ThreeSources().part(0), module.built()
    return batch, predictor(extractor(batch["source_image"]))


# --- losses -----------------------------------------------------------------------------------------------------------


def test_erm_of_one_domain_is_the_loss_of_source_only() -> None:
    batch = ThreeSources().part(0)
    batch.pop("source_domain")
    losses = []
    for kind in (DomainGeneralization, SourceOnly):
        seed_everything(0, verbose=False)
        losses.append(kind(**{**SMALL, "source_domains": 1}).losses(batch)[0])
    assert torch.equal(*losses)


def test_erm_is_the_mean_of_the_domains_losses() -> None:
    module = DomainGeneralization(**THREE)
    batch, logits = batch_and_logits(module)
    each = [F.cross_entropy(logits[rows], batch["source_label"][rows]) for rows in torch.arange(24).split(8)]
    torch.testing.assert_close(module.losses(batch)[0], torch.stack(each).mean())


def test_group_dro_is_that_of_the_batch_losses() -> None:
    module = DomainGeneralization(**THREE, method="group_dro", group_step_size=0.5)
    batch, logits = batch_and_logits(module)
    robust = GroupDRO(3, step_size=0.5)
    each = F.cross_entropy(logits, batch["source_label"], reduction="none")
    torch.testing.assert_close(module.losses(batch)[0], robust(each, batch["source_domain"]))
    assert module.group_dro is not None
    torch.testing.assert_close(module.group_dro.weights, robust.weights)


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 1.0), (0.2499, 1.0), (0.25, 40.0), (1.0, 40.0)])
def test_irm_adds_the_mean_penalty_of_the_domains(
    progress: float, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DomainGeneralization, "progress", progress)
    module = DomainGeneralization(**THREE, method="irm", irm_weight=40.0, irm_from=0.25)
    batch, logits = batch_and_logits(module)
    label = batch["source_label"]
    penalty = torch.stack([irm_penalty(logits[rows], label[rows]) for rows in torch.arange(24).split(8)]).mean()
    expected = (F.cross_entropy(logits, label) + weight * penalty) / weight
    torch.testing.assert_close(module.losses(batch)[0], expected)


def test_the_weight_of_irm_rises_at_its_step(tmp_path: Path) -> None:
    module, seen = DomainGeneralization(**SMALL, method="irm", irm_weight=7.0, irm_from=0.25), []
    of_step = module.irm_loss

    def noted(batch: Batch) -> Any:
        seen.append(module.irm_weight_now())
        return of_step(batch)

    module.irm_loss = noted  # type: ignore[method-assign]
    fit(module, tmp_path, ThreeSources())
    assert seen == [1.0] * 6 + [7.0] * 18


def test_mixup_is_the_shared_loss_at_mixed_pictures() -> None:
    module = DomainGeneralization(**THREE, method="mixup", mixup_alpha=0.4)
    batch, (extractor, predictor) = ThreeSources().part(0), module.built()
    torch.manual_seed(5)
    mixed = mixup_across_domains(batch["source_image"], batch["source_label"], batch["source_domain"], alpha=0.4)
    logs = -predictor(extractor(mixed.images)).log_softmax(1)
    rows = torch.arange(24)
    expected = mixed.share * logs[rows, mixed.labels] + (1 - mixed.share) * logs[rows, mixed.partner_labels]
    torch.manual_seed(5)
    torch.testing.assert_close(module.losses(batch)[0], expected.mean())


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_run_chooses_by_source_validation_and_tests_on_the_held_out_domain(method: str, tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    module = DomainGeneralization(**SMALL, method=method, lr=0.05)  # type: ignore[arg-type]
    trainer = fit(module, tmp_path, ThreeSources(), epochs=3)
    figures = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
    names = ("dark", "grey", "wrong")
    each = [figures[f"val/{name}_accuracy"] for name in names]
    assert figures["val/source_accuracy"] == pytest.approx(sum(each) / 3)
    assert figures["val/worst_accuracy"] == pytest.approx(min(each))
    assert set(figures) == {
        "val/loss", "val/source_accuracy", "val/worst_accuracy", "val/target_accuracy",
        *(f"val/{name}_accuracy" for name in names),
    }  # fmt: skip
    images, labels = ThreeSources().images, ThreeSources().labels
    right = (module.eval()(images).argmax(1) == labels).float().view(3, 24).mean(1)
    assert each == pytest.approx(right.tolist())
    assert module.monitor == ("val/source_accuracy", "max")
    assert set(trainer.test(module, datamodule=ThreeSources(), verbose=False)[0]) == {"test/accuracy", "test/loss"}


def test_group_dro_weights_go_to_the_worst_domain_and_are_in_the_checkpoint(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    module = DomainGeneralization(**SMALL, method="group_dro", group_step_size=0.3, lr=0.05)
    trainer = fit(module, tmp_path, ThreeSources(steps=30))
    assert module.group_dro is not None
    weights = module.group_dro.weights
    assert weights.argmax() == 2
    assert weights[2] > 0.5
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = DomainGeneralization.load_from_checkpoint(tmp_path / "last.ckpt")
    assert again.group_dro is not None
    assert torch.equal(again.group_dro.weights, weights)
    assert again.hparams["source_domains"] == 3
    for name, value in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert "group_dro.log_weights" in read_checkpoint(tmp_path / "last.ckpt")["state_dict"]


def test_the_recipe_holds_out_a_domain_of_picture_folders(tmp_path: Path, write_picture: Writer) -> None:
    domains = ("photo", "painting", "cartoon", "sketch")
    for number, domain in enumerate(domains):
        for label in range(2):
            for i in range(20):
                write_picture(tmp_path / domain / "ab"[label] / f"{i}.png", 1000 * number + 100 * label + i, (16, 16))
    sources = ", ".join(str(tmp_path / domain) for domain in domains[:3])
    assert main([
        "fit", "--config", "pacs/leave_one_out", "--data.source", f"[{sources}]", "--data.target",
        str(tmp_path / "sketch"), "--model.method", "mixup", "--data.image_size", "16", "--data.batch_size", "12",
        "--model.width", "4", "--model.projection", "none", "--trainer.max_steps", "2", "--trainer.val_check_interval",
        "2", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu", "--trainer.default_root_dir",
        str(tmp_path / "runs"),
    ]) == 0  # fmt: skip
    folder = tmp_path / "runs/pacs/leave_one_out"
    results = json.loads((folder / "results.json").read_text())["results"]
    assert {"val/source_accuracy", "val/photo_accuracy", "val/painting_accuracy", "test/accuracy"} <= set(results)


class OneRanksRows(ThreeSources):
    """Every process takes its share of each batch's rows, of all domains."""

    def train_dataloader(self) -> DataLoader[Batch]:
        rank, world = rank_and_world()
        batches = [self.part(step) for step in range(self.steps)]
        return self.loader([{name: value[rank::world] for name, value in batch.items()} for batch in batches])


def fit_robustly(folder: Path, name: str, settings: dict[str, Any]) -> None:
    seed_everything(0, verbose=False)
    module = DomainGeneralization(**SMALL, method="group_dro", group_step_size=0.3, lr=0.05)
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, use_distributed_sampler=False, default_root_dir=folder, limit_val_batches=0,
        **settings,
    )  # fmt: skip
    trainer.fit(module, datamodule=OneRanksRows())
    torch.save(module.state_dict(), folder / f"{name}{trainer.global_rank}.pt")


def test_two_processes_train_the_group_weights_that_one_trains(tmp_path: Path) -> None:
    assert run_forked(fit_robustly, tmp_path, "one", {}) == [0]
    world = {"devices": 2, "strategy": "ddp"}
    assert run_forked(fit_robustly, tmp_path, "two", world, environments=torchrun_environments(2)) == [0, 0]
    one, *two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("one0", "two0", "two1"))
    for name, value in one.items():
        for rank in two:
            torch.testing.assert_close(rank[name], value, atol=1e-5, rtol=1e-5, msg=name)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_single_source_is_for_erm_alone(method: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="compares source domains, and there is 1"):
        DomainGeneralization(method=method, source_domains=1)
    data = ThreeSources()
    data.source_domains = 1
    with pytest.raises(ValueError, match=r"give several by --data.source, or take method='erm'"):
        fit(DomainGeneralization(**SMALL, method=method), tmp_path, data)


def test_pictures_of_the_target_in_training_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"set --data.target_batch_size 0"):
        fit(DomainGeneralization(**SMALL), tmp_path)


def test_a_domain_whose_figure_would_be_another_is_refused(tmp_path: Path) -> None:
    data = ThreeSources()
    data.domain_names = ("dark", "target", "wrong", "light")
    with pytest.raises(ValueError, match="a source domain is called 'target'"):
        fit(DomainGeneralization(**SMALL), tmp_path, data)


def test_another_number_of_domains_than_the_data_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="built for source_domains 2, the data has 3"):
        fit(DomainGeneralization(**{**SMALL, "source_domains": 2}), tmp_path, ThreeSources())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "emr"}, "method is one of erm, group_dro, irm, mixup, not 'emr': did you mean 'erm'"),
        ({"group_step_size": -1.0}, "group_step_size=-1.0: must not be negative"),
        ({"irm_weight": -1.0}, "irm_weight=-1.0: must not be negative"),
        ({"irm_from": 1.5}, "irm_from=1.5: a share"),
        ({"mixup_alpha": 0.0}, "mixup_alpha=0.0: must be above 0"),
        ({"entropy_weight": 0.1}, "entropy_weight: takes target pictures"),
        ({"selection": "information"}, "selection='information' takes target pictures"),
        ({"selection": "target_accuracy"}, "or set oracle=true"),
    ],
)
def test_bad_arguments_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DomainGeneralization(**settings)
