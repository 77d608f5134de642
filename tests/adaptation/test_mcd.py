from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import seed_everything
from torch import Tensor, nn

from lhy_lightning import MCD
from tests.adaptation.two_domains import SMALL, Batch, TwoDomains, fit, some_batch

PLAIN: dict[str, Any] = {**SMALL, "momentum": 0.0, "schedule": "constant", "lr": 0.1}


def the_three_steps(module: MCD, batch: Batch, rate: float, extractor_steps: int) -> None:
    """Algorithm of section 3.3, by plain gradient descent on the module's own weights."""
    extractor, predictors = module.built()
    first, second = predictors.first, predictors.second

    def class_loss() -> Tensor:
        features = extractor(batch["source_image"])
        return F.cross_entropy(first(features), batch["source_label"]) + F.cross_entropy(
            second(features), batch["source_label"]
        )

    def discrepancy() -> Tensor:
        features = extractor(batch["target_image"])
        return (first(features).softmax(1) - second(features).softmax(1)).abs().mean()

    def descend(loss: Tensor, *networks: nn.Module) -> None:
        parameters = [parameter for network in networks for parameter in network.parameters()]
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.data -= rate * gradient

    descend(class_loss(), extractor, first, second)
    descend(class_loss() - discrepancy(), first, second)
    for _ in range(extractor_steps):
        descend(discrepancy(), extractor)


@pytest.mark.parametrize("extractor_steps", [1, 4])
def test_a_batch_takes_the_three_steps_of_the_paper(tmp_path: Path, extractor_steps: int) -> None:
    seed_everything(0, verbose=False)
    module = MCD(**PLAIN, extractor_steps=extractor_steps)
    by_hand = deepcopy(module)
    the_three_steps(by_hand, some_batch(), 0.1, extractor_steps)
    trainer = fit(module, tmp_path, TwoDomains(steps=1), epochs=1)
    assert trainer.global_step == 1
    for name, value in by_hand.state_dict().items():
        assert torch.allclose(module.state_dict()[name], value, atol=1e-6), name


def test_both_predictors_start_apart_and_their_mean_logits_are_the_prediction() -> None:
    module = MCD(**SMALL)
    extractor, predictors = module.built()
    image = some_batch()["target_image"]
    first, second = predictors.both(extractor(image))  # type: ignore[operator]
    assert not torch.allclose(first, second)
    assert torch.allclose(module(image), (first + second) / 2)
    assert torch.allclose(module.embed(image, "target")[1], (first + second) / 2, atol=1e-6)


def test_each_step_moves_only_its_own_networks(tmp_path: Path) -> None:
    seed_everything(1, verbose=False)
    module, moved = MCD(**PLAIN, extractor_steps=2), []
    step = module.backward_and_step

    def noted(names: Any, loss: Tensor) -> None:
        before = {name: value.clone() for name, value in module.state_dict().items()}
        step(names, loss)
        after = module.state_dict()
        moved.append(
            sorted({name.split(".")[0] for name, value in before.items() if not torch.equal(value, after[name])})
        )

    module.backward_and_step = noted  # type: ignore[method-assign]
    fit(module, tmp_path, TwoDomains(steps=1), epochs=1)
    assert moved == [["extractor", "label_predictor"], ["label_predictor"], ["extractor"], ["extractor"]]


def test_batch_statistics_of_the_two_domains_are_apart() -> None:
    """Other target pictures do not change the class loss."""
    module, batch = MCD(**SMALL, norm="batch"), some_batch()
    others = {**batch, "target_image": torch.full_like(batch["target_image"], 0.3)}
    assert torch.equal(module.class_losses(batch), module.class_losses(others))


def test_target_terms_are_part_of_the_first_step(tmp_path: Path) -> None:
    found = []
    for weight in (0.0, 0.5):
        seed_everything(2, verbose=False)
        module = MCD(**PLAIN, entropy_weight=weight)
        fit(module, tmp_path / str(weight), TwoDomains(steps=1), epochs=1)
        found.append(module.state_dict()["extractor.0.weight"])
    assert not torch.allclose(*found)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="accumulate=2: each network of MCD steps several times a batch"):
        MCD(accumulate=2)
    with pytest.raises(ValueError, match="extractor_steps=0"):
        MCD(extractor_steps=0)
    with pytest.raises(ValueError, match="give extractor_clip, label_predictor_clip or both"):
        MCD(network_clip=1.0)
    with pytest.raises(ValueError, match="label_predictor_clip=-1"):
        MCD(label_predictor_clip=-1.0)
