from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import seed_everything
from lightning.pytorch.callbacks import LambdaCallback
from torch import Tensor, nn

from lhy_lightning import DIRTT, VADA, SourceOnly
from lhy_lightning.adaptation.losses.virtual_adversarial import virtual_adversarial_perturbation
from tests.adaptation.two_domains import SMALL, Batch, TwoDomains, fit, some_batch

WEIGHTS: dict[str, Any] = {"target_cluster_weight": 0.2, "teacher_weight": 0.6, "radius": 1.5}


@pytest.fixture(scope="module")
def vada(tmp_path_factory: pytest.TempPathFactory) -> tuple[VADA, str]:
    folder = tmp_path_factory.mktemp("vada")
    seed_everything(0, verbose=False)
    module = VADA(**SMALL, lr=0.05)
    fit(module, folder).save_checkpoint(folder / "vada.ckpt")
    return module, str(folder / "vada.ckpt")


def divergence(one: Tensor, other: Tensor) -> Tensor:
    p, q = one.softmax(1), other.softmax(1)
    return (p * (p / q).log()).sum(1)


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def test_the_first_step_is_that_of_the_papers_objective(tmp_path: Path, vada: tuple[VADA, str]) -> None:
    before, path = vada
    module = DIRTT(**SMALL, **WEIGHTS, start_from=path, lr=0.1, momentum=0.0, schedule="constant")
    draws, step = [], module.losses

    def noted(batch: Batch) -> Any:
        draws.append(torch.get_rng_state())
        return step(batch)

    module.losses = noted  # type: ignore[method-assign]
    fit(module, tmp_path, TwoDomains(steps=1), epochs=1)

    student, teacher = nn.Sequential(*before.built()), before.average()
    images = some_batch()["target_image"]
    torch.set_rng_state(draws[0])
    logits = student(images)
    moves = virtual_adversarial_perturbation(student, images, radius=1.5)
    p = logits.softmax(1)
    loss = 0.2 * (divergence(logits.detach(), student(images + moves)).mean() - (p * p.log()).sum(1).mean())
    loss = loss + 0.6 * divergence(teacher(images), logits).mean()
    names, parameters = zip(*student.named_parameters(), strict=True)
    for name, value, gradient in zip(names, parameters, torch.autograd.grad(loss, parameters), strict=True):
        found = nn.Sequential(*module.built()).state_dict()[name]
        assert torch.allclose(found, value - 0.1 * gradient, atol=1e-6), name


def test_only_the_student_learns_and_nothing_of_the_source_is_looked_at(vada: tuple[VADA, str]) -> None:
    module = DIRTT(**SMALL, **WEIGHTS)
    module.load_initial_weights(vada[1])
    loss, _ = module.losses({"target_image": some_batch()["target_image"]})
    loss.backward()
    for name, parameter in module.named_parameters():
        assert (parameter.grad is not None) == name.startswith(("extractor.", "label_predictor.")), name


def test_the_teacher_is_the_average_of_every_fifth_step(tmp_path: Path, vada: tuple[VADA, str]) -> None:
    module = DIRTT(**SMALL, **WEIGHTS, start_from=vada[1], refresh=5, lr=0.05)
    averages, teachers = [], []

    def note(*_: Any) -> None:
        assert module.teacher is not None
        averages.append(weights_of(module.average()))
        teachers.append(weights_of(module.teacher))

    fit(module, tmp_path, None, LambdaCallback(on_train_start=note, on_train_batch_end=note), epochs=1)
    assert all(torch.equal(value, averages[0][name]) for name, value in weights_of(vada[0].average()).items())
    for step, teacher in enumerate(teachers):
        expected = averages[step - step % 5]
        assert all(torch.equal(value, expected[name]) for name, value in teacher.items()), step
    assert not torch.equal(averages[0]["0.0.weight"], averages[5]["0.0.weight"])


def test_it_starts_from_a_network_without_averages_too(tmp_path: Path) -> None:
    source = SourceOnly(**SMALL)
    fit(source, tmp_path, epochs=1).save_checkpoint(tmp_path / "source.ckpt")
    module = DIRTT(**SMALL)
    module.load_initial_weights(str(tmp_path / "source.ckpt"))
    assert module.teacher is not None
    for network in (module.average(), module.teacher):
        for name, value in nn.Sequential(*source.built()).state_dict().items():
            assert torch.equal(network.state_dict()[name], value)


def test_what_it_cannot_start_from_is_said(tmp_path: Path, vada: tuple[VADA, str]) -> None:
    with pytest.raises(ValueError, match="set start_from to a checkpoint of VADA"):
        fit(DIRTT(**SMALL), tmp_path)
    with pytest.raises(ValueError, match=r"no weights of the shape of label_predictor\.0\.weight"):
        fit(DIRTT(**{**SMALL, "label_hidden": (5,)}, start_from=vada[1]), tmp_path)
    with pytest.raises(ValueError, match=r"no weights of the shape of extractor\.0\.weight"):
        fit(DIRTT(**{**SMALL, "width": 5}, start_from=vada[1]), tmp_path)
    with pytest.raises(ValueError, match="refresh=0"):
        DIRTT(refresh=0)
    with pytest.raises(ValueError, match="teacher_weight=-1"):
        DIRTT(teacher_weight=-1.0)
