"""What all modules of the topic promise, and the losses of those that are one formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from lhy_lightning import CDAN, DANN, DIRTT, MCC, MCD, VADA, MomentMatching, SourceOnly
from lhy_lightning.adaptation.adaptation import AdaptationModule
from lhy_lightning.adaptation.losses.class_confusion import class_confusion
from lhy_lightning.adaptation.losses.conditional_adversarial import entropy_weights
from lhy_lightning.adaptation.losses.domain_loss import domain_loss
from lhy_lightning.adaptation.losses.moments import coral, mmd
from lhy_lightning.core.arguments.signatures import constructor_arguments
from lhy_lightning.training.csv_logger import RunLogger
from tests.adaptation.two_domains import SMALL, ResumableDomains, TwoDomains, fit, some_batch
from tests.going_on import Unbroken
from tests.two_networks import trainer

ALL = [CDAN, DANN, DIRTT, MCC, MCD, MomentMatching, SourceOnly, VADA]


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> dict[type, dict[str, Any]]:
    """What a module takes besides, to fit."""
    folder = tmp_path_factory.mktemp("start")
    seed_everything(0, verbose=False)
    fit(VADA(**SMALL, norm="batch"), folder, TwoDomains(steps=2), epochs=1).save_checkpoint(folder / "vada.ckpt")
    return {DIRTT: {"start_from": str(folder / "vada.ckpt"), "refresh": 4}}


@pytest.mark.parametrize("kind", ALL)
def test_hyperparameters_are_the_arguments_and_a_checkpoint_predicts_the_same(
    kind: type[AdaptationModule], tmp_path: Path, starts: dict[type, dict[str, Any]]
) -> None:
    module = kind(width=4, label_hidden=(8,), projection="none", norm="batch", lr=0.05, **starts.get(kind, {}))
    fit(module, tmp_path, TwoDomains(steps=3)).save_checkpoint(tmp_path / "all.ckpt")
    assert set(module.hparams) == set(constructor_arguments(kind))
    again = kind.load_from_checkpoint(tmp_path / "all.ckpt", weights_only=True)
    images = TwoDomains().val[1][0]
    for domain in ("source", "target"):
        for one, other in zip(module.embed(images, domain), again.embed(images, domain), strict=True):
            assert torch.equal(one, other)
    module.save_pretrained(tmp_path / "hub")
    assert torch.equal(kind.from_pretrained(tmp_path / "hub").embed(images, "target")[1], other)


@pytest.mark.parametrize("kind", [DIRTT, MCD, VADA])
def test_garbage_target_labels_change_no_weight(
    kind: type[AdaptationModule], tmp_path: Path, starts: dict[type, dict[str, Any]]
) -> None:
    found = []
    for garbage in (False, True):
        seed_everything(3, verbose=False)
        module = kind(**SMALL, norm="batch", selection="information", lr=0.05, **starts.get(kind, {}))
        fit(module, tmp_path / str(garbage), TwoDomains(garbage=garbage))
        found.append(module.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


@pytest.mark.parametrize("kind", [DIRTT, MCD, VADA])
def test_going_on_from_any_moment_equals_the_unbroken_run(
    kind: type[AdaptationModule], tmp_path: Path, starts: dict[type, dict[str, Any]]
) -> None:
    def fit_again(logger: RunLogger, *callbacks: Callback, **where: Any) -> tuple[Trainer, LightningModule]:
        seed_everything(0, verbose=False)
        more = starts.get(kind, {"dropout": 0.2})
        module = kind(**SMALL, norm="batch", optimizer="adam", lr=0.01, **more)
        run = trainer(*callbacks, max_steps=6, log_every_n_steps=1, logger=logger, num_sanity_val_steps=0)
        run.fit(module, datamodule=ResumableDomains(), **where)
        return run, module

    unbroken = Unbroken(tmp_path, fit_again)
    assert unbroken.trainer.global_step == 6
    unbroken.checkpoints = unbroken.checkpoints[2:8:2] + unbroken.checkpoints[-3:-2]
    assert unbroken.all_differences() == {}


def network_outputs(module: AdaptationModule) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features of source and target of some batch, and logits of both."""
    extractor, predictor = module.built()
    source, target = extractor(some_batch()["source_image"]), extractor(some_batch()["target_image"])
    return source, target, predictor(source), predictor(target)


@pytest.mark.parametrize("distance", ["coral", "mmd"])
@pytest.mark.parametrize("entropy_weight", [0.0, 0.5])
def test_moment_matching_adds_the_distance_of_features(distance: Any, entropy_weight: float) -> None:
    class AtTheStart(MomentMatching):
        progress = 0.0  # type: ignore[assignment]

    module = AtTheStart(**SMALL, distance=distance, distance_weight=0.4, entropy_weight=entropy_weight)
    source, target, source_logits, target_logits = network_outputs(module)
    expected = F.cross_entropy(source_logits, some_batch()["source_label"])
    expected = expected + 0.4 * {"coral": coral, "mmd": mmd}[distance](source, target)
    p = target_logits.softmax(1)
    expected = expected - entropy_weight * (p * p.log()).sum(1).mean()
    loss, _ = module.losses(some_batch())
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_mcc_adds_the_confusion_of_target_classes() -> None:
    class AtTheStart(MCC):
        progress = 0.0  # type: ignore[assignment]

    module = AtTheStart(**SMALL, confusion_weight=0.3)
    _, _, source, target = network_outputs(module)
    expected = F.cross_entropy(source, some_batch()["source_label"]) + 0.3 * class_confusion(target)
    assert float(module.losses(some_batch())[0].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize("entropy_conditioning", [False, True])
def test_cdan_judges_the_products_of_features_and_probabilities(entropy_conditioning: bool) -> None:
    module = CDAN(**SMALL, reversal="constant", coefficient=0.3, entropy_conditioning=entropy_conditioning)
    loss, _ = module.losses(some_batch())
    loss.backward()
    source, target, source_logits, target_logits = network_outputs(module)
    rows, (extractor, predictor), classifier = len(source), module.built(), module.domain_classifier
    assert classifier is not None
    probabilities = torch.cat((source_logits, target_logits)).softmax(1).detach()
    seen = torch.einsum("nd,nk->ndk", torch.cat((source, target)), probabilities).flatten(1)
    domain = classifier(seen).squeeze(1)
    weights = [entropy_weights(part) for part in (probabilities[:rows], probabilities[rows:])]
    domain_term = 2 * domain_loss(domain[:rows], domain[rows:], *(weights if entropy_conditioning else ()))
    label_term = F.cross_entropy(source_logits, some_batch()["source_label"])
    assert float(loss.detach()) == pytest.approx(float((label_term + domain_term).detach()), rel=1e-5)
    for part, term in ((extractor, label_term - 0.3 * domain_term), (classifier, domain_term), (predictor, label_term)):
        parameters = list(part.parameters())
        values = torch.autograd.grad(term, parameters, retain_graph=True)
        for parameter, value in zip(parameters, values, strict=True):
            assert parameter.grad is not None
            assert torch.allclose(parameter.grad, value, atol=1e-6)
