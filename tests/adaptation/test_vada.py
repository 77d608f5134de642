from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import seed_everything
from lightning.pytorch.callbacks import LambdaCallback
from torch import Tensor

from lhy_lightning import DANN, VADA, SourceOnly
from lhy_lightning.adaptation.losses.domain_loss import domain_loss
from lhy_lightning.adaptation.losses.virtual_adversarial import virtual_adversarial_perturbation
from tests.adaptation.two_domains import SMALL, Batch, TwoDomains, fit, some_batch

WEIGHTS: dict[str, Any] = {
    "source_smoothness_weight": 0.7,
    "target_cluster_weight": 0.2,
    "coefficient": 0.3,
    "radius": 1.5,
}


def divergence(one: Tensor, other: Tensor) -> Tensor:
    p, q = one.softmax(1), other.softmax(1)
    return (p * (p / q).log()).sum(1)


def gradients(module: VADA, batch: Batch) -> dict[str, Tensor]:
    """Of the objective of section 4, written out."""
    extractor, predictor = module.built()
    classifier, rows = module.domain_classifier, len(batch["source_image"])
    assert classifier is not None
    images = torch.cat((batch["source_image"], batch["target_image"]))
    features = extractor(images)
    domain, logits = classifier(features).squeeze(1), predictor(features)

    moves = virtual_adversarial_perturbation(lambda x: predictor(extractor(x)), images, radius=1.5)
    vat = divergence(logits.detach(), predictor(extractor(images + moves)))
    target = logits[rows:].softmax(1)
    entropy = -(target * target.log()).sum(1).mean()
    class_loss = F.cross_entropy(logits[:rows], batch["source_label"])
    label_term = class_loss + 0.7 * vat[:rows].mean() + 0.2 * (vat[rows:].mean() + entropy)
    domain_term = domain_loss(domain[:rows], domain[rows:])
    found = {}
    for name, part, loss in (
        ("extractor", extractor, label_term - 0.3 * domain_term),
        ("label_predictor", predictor, label_term),
        ("domain_classifier", classifier, domain_term),
    ):
        names, parameters = zip(*part.named_parameters(), strict=True)
        values = torch.autograd.grad(loss, parameters, retain_graph=True)
        found |= {f"{name}.{key}": value for key, value in zip(names, values, strict=True)}
    return found


def test_the_gradient_is_that_of_the_papers_objective() -> None:
    seed_everything(0, verbose=False)
    module = VADA(**SMALL, **WEIGHTS)
    torch.manual_seed(5)
    loss, _ = module.losses(some_batch())
    loss.backward()
    torch.manual_seed(5)
    expected = gradients(module, some_batch())
    for name, parameter in module.named_parameters():
        if name.startswith("averaged."):
            assert parameter.grad is None
        else:
            assert parameter.grad is not None
            assert torch.allclose(parameter.grad, expected[name], atol=1e-6), name


def test_the_alternating_form_has_the_same_terms(tmp_path: Path) -> None:
    """One step with a domain classifier that does not learn is one of gradient descent on the gradient above."""
    seed_everything(1, verbose=False)
    module = VADA(**SMALL, **WEIGHTS, alternating=True, domain_lr=0.0, lr=0.1, momentum=0.0, schedule="constant")
    seen, step = {}, module.training_step

    def noted(batch: Batch, batch_idx: int) -> None:
        seen["draws"] = torch.get_rng_state()
        seen["weights"] = {name: value.clone() for name, value in module.state_dict().items()}
        step(batch, batch_idx)

    module.training_step = noted  # type: ignore[method-assign]
    fit(module, tmp_path, TwoDomains(steps=1), epochs=1)
    by_hand = VADA(**SMALL, **WEIGHTS)
    by_hand.load_state_dict(seen["weights"])
    torch.set_rng_state(seen["draws"])
    expected = gradients(by_hand, some_batch())
    for name in (name for name in expected if not name.startswith("domain_classifier")):
        assert torch.allclose(module.state_dict()[name], seen["weights"][name] - 0.1 * expected[name], atol=1e-6), name


@pytest.mark.parametrize("domain_norm", [False, True, "statistics"])
def test_perturbed_pictures_leave_the_running_statistics_alone(domain_norm: bool | str) -> None:
    seed_everything(2, verbose=False)
    form = {**SMALL, "norm": "batch", "domain_norm": domain_norm}
    module, plain = VADA(**form, **WEIGHTS), DANN(**form, reversal="constant")
    plain.load_state_dict(module.state_dict(), strict=False)
    for one in (module, plain):
        one.train()
        one.losses(some_batch())
    buffers = dict(module.named_buffers())
    statistics = {name: value for name, value in plain.named_buffers() if "running" in name or "tracked" in name}
    assert statistics
    assert all(torch.equal(value, buffers[name]) for name, value in statistics.items())
    assert all(norm.track_running_stats for norm in module.modules() if isinstance(norm, torch.nn.BatchNorm2d))


@pytest.mark.parametrize("domain_norm", [False, "statistics"])
def test_without_a_source_term_the_target_rows_have_the_same_divergences(domain_norm: bool | str) -> None:
    """With norms of their own target rows are passed alone, which changes nothing for them."""
    module = VADA(**SMALL, norm="batch", domain_norm=domain_norm, source_smoothness_weight=0.0)
    batch = some_batch()
    images, rows = torch.cat((batch["source_image"], batch["target_image"])), len(batch["source_image"])
    sizes = list[int]()
    module.built()[0].register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    torch.manual_seed(7)
    _, figures = module.losses(batch)
    alone = domain_norm == "statistics"
    assert sizes == [len(images)] + 2 * [len(images) - rows * alone]
    assert ("source_vat_loss" in figures) is not alone

    torch.manual_seed(7)
    logits = module.built()[1](module.extract(images, rows))
    first, passed = (rows, slice(rows, None)) if alone else (0, slice(None))
    expected = module.divergences(images[passed], rows - first, logits[passed])[rows - first :].mean()
    torch.testing.assert_close(figures["target_vat_loss"], expected)
    if alone:
        torch.testing.assert_close(module.extract(images[rows:], 0), module.extract(images, rows)[rows:])


def test_an_unmoved_picture_has_no_divergence_under_batch_norm() -> None:
    """The perturbed pass has the batch statistics of the networks' own pass."""
    seed_everything(3, verbose=False)
    module = VADA(**SMALL, norm="batch", radius=1e-6)
    batch = some_batch()
    images = torch.cat((batch["source_image"], batch["target_image"]))
    extractor, predictor = module.built()
    found = module.divergences(images, 16, predictor(extractor(images)))
    assert found.max() < 1e-6


def test_the_averaged_weights_evaluate(tmp_path: Path) -> None:
    seed_everything(4, verbose=False)
    module = VADA(**SMALL, **WEIGHTS, lr=0.05, ema_decay=0.3)
    raw = []
    average = {name: value.clone() for name, value in torch.nn.Sequential(*module.built()).state_dict().items()}
    note = LambdaCallback(
        on_train_batch_end=lambda *_: raw.append(
            {name: value.clone() for name, value in torch.nn.Sequential(*module.built()).state_dict().items()}
        )
    )
    trainer = fit(module, tmp_path, None, note)
    for step, weights in enumerate(raw):
        decay = min(0.3, (1 + step) / (10 + step))
        average = {name: decay * value + (1 - decay) * weights[name] for name, value in average.items()}
    for name, value in average.items():
        assert torch.allclose(module.average().state_dict()[name], value, atol=1e-5), name
    own = DANN(**SMALL)
    extractor, predictor = own.built()
    torch.nn.Sequential(extractor, predictor).load_state_dict(module.average().state_dict())
    image, labels = TwoDomains().val[1]
    for domain in ("source", "target"):
        for found, expected in zip(module.embed(image, domain), own.embed(image, domain), strict=True):
            assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(module.train()(image), own.eval()(image), atol=1e-6)
    assert module.built()[0] is module.extractor
    trainer.validate(module, datamodule=TwoDomains(), verbose=False)
    accuracy = float((own(image).argmax(1) == labels).float().mean())
    assert float(trainer.callback_metrics["val/target_accuracy"]) == pytest.approx(accuracy)


def test_weights_to_start_from_are_taken_whether_sizes_are_given_or_learnt(tmp_path: Path) -> None:
    seed_everything(5, verbose=False)
    source = SourceOnly(**SMALL)
    fit(source, tmp_path / "source").save_checkpoint(tmp_path / "source.ckpt")
    for given in (SMALL, {name: value for name, value in SMALL.items() if name not in ("num_classes", "image_size")}):
        module = VADA(**given, start_from=str(tmp_path / "source.ckpt"), lr=1e-12)
        fit(module, tmp_path / "vada", TwoDomains(steps=1), epochs=1)
        for name, value in torch.nn.Sequential(*source.built()).state_dict().items():
            assert torch.allclose(torch.nn.Sequential(*module.built()).state_dict()[name], value, atol=1e-6)
            assert torch.allclose(module.average().state_dict()[name], value, atol=1e-6)
    fit(module, tmp_path / "on", TwoDomains(steps=1), epochs=1)  # goes on: no second start
    again = VADA.load_from_checkpoint(tmp_path / "vada/best.ckpt", weights_only=True)
    (tmp_path / "source.ckpt").unlink()
    fit(again, tmp_path / "again", TwoDomains(steps=1), epochs=1)


def test_bad_numbers_are_named() -> None:
    for name in ("source_smoothness_weight", "target_cluster_weight"):
        with pytest.raises(ValueError, match=f"{name}=-1"):
            VADA(**{name: -1.0})
    with pytest.raises(ValueError, match=r"radius=0\.0"):
        VADA(radius=0.0)
    with pytest.raises(ValueError, match=r"ema_decay=1\.\d: must be at least 0 and below 1"):
        VADA(**SMALL, ema_decay=1.0)
