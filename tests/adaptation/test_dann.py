from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import seed_everything
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from lhy_lightning import DANN, SourceOnly
from lhy_lightning.adaptation.losses.domain_loss import domain_loss
from lhy_lightning.adaptation.schedules import reversal_coefficient
from lhy_lightning.training.checkpoints import read_checkpoint
from tests.adaptation.two_domains import SMALL, Batch, TwoDomains, fit, some_batch


def gradients(module: DANN, batch: Batch, coefficient: float) -> dict[str, Tensor]:
    """Of one loss by hand: class loss, and the domain loss times -λ for the extractor, times 1 for its classifier."""
    extractor, predictor = module.built()
    rows, classifier = len(batch["source_image"]), module.domain_classifier
    assert classifier is not None
    features = extractor(torch.cat((batch["source_image"], batch["target_image"])))
    domain = classifier(features).squeeze(1)
    found = {}
    domain_term = module.domain_weight * domain_loss(domain[:rows], domain[rows:])
    label_term = F.cross_entropy(predictor(features[:rows]), batch["source_label"])
    for name, part, loss in (
        ("extractor", extractor, label_term - coefficient * domain_term),
        ("label_predictor", predictor, label_term),
        ("domain_classifier", classifier, domain_term),
    ):
        names, parameters = zip(*part.named_parameters(), strict=True)
        values = torch.autograd.grad(loss, parameters, retain_graph=True)
        found |= {f"{name}.{key}": value for key, value in zip(names, values, strict=True)}
    return found


def test_one_backward_pass_is_the_minimax_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    seed_everything(0, verbose=False)
    module = DANN(**SMALL, domain_hidden=(6,), reversal="constant", coefficient=0.3)
    loss, _ = module.losses(some_batch())
    loss.backward()
    expected = gradients(module, some_batch(), 0.3)
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, expected[name], atol=1e-6), name


def test_lambda_follows_the_paper_over_the_steps_of_the_run(tmp_path: Path) -> None:
    module, seen = DANN(**SMALL, coefficient=2.0), []
    step = module.losses

    def noted(batch: Batch) -> Any:
        result = step(batch)
        seen.append(float(module.gradient_reversal.coefficient))
        return result

    module.losses = noted  # type: ignore[method-assign]
    fit(module, tmp_path)
    assert seen == pytest.approx([2 * reversal_coefficient(done / 24) for done in range(24)], abs=1e-6)
    assert seen[0] == 0
    assert seen[12] == pytest.approx(2 * 0.9866143, abs=1e-6)


def test_alternating_with_a_domain_rate_of_zero_is_the_one_pass_form(tmp_path: Path) -> None:
    """Adam would divide by what it sees of the gradient: plain SGD shows it as it is."""
    weights = []
    for alternating in (False, True):
        seed_everything(1, verbose=False)
        more = {"alternating": True, "domain_lr": 0.0} if alternating else {}
        module = DANN(**SMALL, reversal="constant", coefficient=0.5, momentum=0.0, schedule="constant", **more)
        frozen = module.domain_classifier
        assert frozen is not None
        if not alternating:
            frozen.requires_grad_(False)
        fit(module, tmp_path / str(alternating), epochs=1)
        weights.append({name: value.clone() for name, value in module.state_dict().items()})
    for name, value in weights[0].items():
        assert torch.allclose(value, weights[1][name], atol=1e-6), name


def test_the_alternating_form_steps_the_domain_classifier_first(tmp_path: Path) -> None:
    """Two updates by hand, of which the second sees the classifier that has just learnt."""
    seed_everything(2, verbose=False)
    module = DANN(
        **SMALL, reversal="constant", coefficient=0.5, momentum=0.0, schedule="constant", alternating=True, lr=0.05,
        domain_lr=0.2,
    )  # fmt: skip
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    by_hand = DANN(**SMALL)
    by_hand.load_state_dict(module.state_dict())
    batch, expected = some_batch(), dict(before)
    first = gradients(by_hand, batch, 0.5)
    for name in (name for name in expected if name.startswith("domain_classifier")):
        expected[name] = expected[name] - 0.2 * first[name]
    by_hand.load_state_dict(expected, strict=False)
    second = gradients(by_hand, batch, 0.5)
    for name in (name for name in expected if not name.startswith("domain_classifier")):
        expected[name] = expected[name] - 0.05 * second[name]
    fit(module, tmp_path, TwoDomains(steps=1), epochs=1)
    for name, value in module.named_parameters():
        assert torch.allclose(value, expected[name], atol=1e-6), name


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"alternating": True},
        {"domain_norm": True, "norm": "batch"},
        {"domain_norm": "statistics", "norm": "batch"},
    ],
)
def test_garbage_target_labels_change_no_weight_and_no_choice(tmp_path: Path, form: dict[str, Any]) -> None:
    """Nor the step at which early stopping stops: nothing that decides looks at a target label."""
    found = []
    for garbage in (False, True):
        seed_everything(3, verbose=False)
        module = DANN(**SMALL, selection="information", lr=0.05, **form)
        stop = EarlyStopping("val/information", mode="max", patience=1, min_delta=0.2)
        trainer = fit(module, tmp_path / str(garbage), TwoDomains(garbage=garbage), stop, epochs=8)
        best = read_checkpoint(tmp_path / str(garbage) / "best.ckpt")
        found.append((best["global_step"], trainer.global_step, stop.stopped_epoch, module.state_dict(), best))
    assert found[0][:3] == found[1][:3]
    for one, other in ((found[0][3], found[1][3]), (found[0][4]["state_dict"], found[1][4]["state_dict"])):
        assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("figure", ["val/target_accuracy", "test/accuracy"])
def test_stopping_by_target_labels_is_an_error(tmp_path: Path, figure: str) -> None:
    with pytest.raises(ValueError, match=f"EarlyStopping chooses by {figure}, which takes target labels"):
        fit(DANN(**SMALL), tmp_path, None, EarlyStopping(figure, mode="max"))


def test_choosing_by_target_labels_says_oracle_in_every_table(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="takes target labels"):
        DANN(**SMALL, selection="target_accuracy")
    module = DANN(**SMALL, selection="target_accuracy", oracle=True)
    with pytest.warns(UserWarning, match="ORACLE: BestCheckpoint chooses by val/target_accuracy"):
        trainer = fit(module, tmp_path)
    figures = trainer.test(module, datamodule=TwoDomains(), verbose=False)[0]
    assert set(figures) == {"test/accuracy_ORACLE", "test/loss_ORACLE"}
    assert "target_accuracy (ORACLE)" in (tmp_path / "selection.csv").read_text()


def test_the_table_of_a_run_names_every_way_of_choosing(tmp_path: Path) -> None:
    fit(DANN(**SMALL, selection="density"), tmp_path, epochs=4)
    lines = [line.split(",") for line in (tmp_path / "selection.csv").read_text().splitlines()]
    assert lines[0] == ["selection by", "", "step", "val/target_accuracy", "rank correlation"]
    ways = [line[0] for line in lines[1:]]
    assert ways == ["source_accuracy", "information", "density", "importance", "last", "target_accuracy (ORACLE)"]
    assert [line[0] for line in lines[1:] if line[1]] == ["density"]
    assert all(-1 <= float(line[4]) <= 1 for line in lines[1:] if line[4])


def test_source_only_looks_at_no_target_picture() -> None:
    seed_everything(4, verbose=False)
    module = SourceOnly(**SMALL, norm="batch")
    batch = some_batch()
    loss, _ = module.losses(batch)
    seed_everything(4, verbose=False)
    other = SourceOnly(**SMALL, norm="batch")
    again, _ = other.losses({**batch, "target_image": torch.full_like(batch["target_image"], torch.nan)})
    assert torch.equal(loss, again)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in module.state_dict().items())


def test_domain_norms_keep_statistics_apart() -> None:
    module = DANN(**SMALL, norm="batch", domain_norm=True)
    batch = some_batch()
    module.train()
    module.features_of_both(batch)
    norms = [layer for layer in module.modules() if type(layer).__name__ == "DomainBatchNorm"]
    alone = torch.nn.Conv2d(1, 4, 5, padding=2)
    extractor, _ = module.built()
    alone.load_state_dict(extractor[0].state_dict())  # type: ignore[index]
    for side, image in (("source", batch["source_image"]), ("target", batch["target_image"])):
        mean = getattr(norms[0], side).running_mean
        assert torch.allclose(mean, 0.1 * alone(image).mean((0, 2, 3)), atol=1e-6)
    assert module.sizes()[0] == module(batch["target_image"]).shape[1]


def test_bad_numbers_are_named() -> None:
    with pytest.raises(ValueError, match="coefficient=-1"):
        DANN(coefficient=-1.0)
    with pytest.raises(ValueError, match="alternating form: set alternating=true"):
        DANN(domain_lr=0.1)
    with pytest.raises(ValueError, match="did you mean 'paper'"):
        DANN(**{**SMALL, "network": "papr"})
    with pytest.raises(ValueError, match=r"entropy_weight=-0\.1"):
        SourceOnly(entropy_weight=-0.1)
    with pytest.raises(ValueError, match="too small for network='homework'"):
        DANN(**{**SMALL, "network": "homework"})
    with pytest.raises(ValueError, match="no batch norm"):
        DANN(**{**SMALL, "domain_norm": True})
    with pytest.raises(ValueError, match="domain_norm is one of True, False, statistics, not 'both'"):
        DANN(**SMALL, domain_norm="both")
