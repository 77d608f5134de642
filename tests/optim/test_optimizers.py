"""Optimizers and schedules by plain names and numbers."""

import math
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from lhy_lightning.optim import build_optimizer, build_schedule, learning_rate_factor, parameter_groups


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sgd", torch.optim.SGD), ("momentum", torch.optim.SGD), ("nesterov", torch.optim.SGD),
        ("adagrad", torch.optim.Adagrad), ("rmsprop", torch.optim.RMSprop), ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW), ("nadam", torch.optim.NAdam), ("radam", torch.optim.RAdam),
    ],
)  # fmt: skip
def test_every_name_gives_its_optimizer_and_lowers_a_loss(name: str, kind: type) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 1)
    optimizer = build_optimizer(parameter_groups(layer, 0.01, 0.1), name, lr=0.01)
    assert type(optimizer) is kind
    images = torch.randn(16, 3)
    losses = []
    for _ in range(5):
        loss = layer(images).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}


def test_numbers_reach_the_optimizer() -> None:
    weight = [nn.Parameter(torch.zeros(2))]
    sgd = build_optimizer(weight, "nesterov", lr=0.1, momentum=0.8, weight_decay=0.01).defaults
    assert (sgd["lr"], sgd["momentum"], sgd["nesterov"], sgd["weight_decay"]) == (0.1, 0.8, True, 0.01)
    assert build_optimizer(weight, "momentum", lr=0.1).defaults["nesterov"] is False
    adam = build_optimizer(weight, "adam", lr=0.1, betas=(0, 0.9)).defaults  # torch alone refuses the whole number
    assert adam["betas"] == (0.0, 0.9)


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'adamw'"):
        build_optimizer([nn.Parameter(torch.zeros(1))], "adamww")


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"lr": -1.0}, r"lr=-1\.0: must not be negative"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"weight_decay": -0.1}, r"weight_decay=-0\.1: must not be negative"),
        ({"betas": (0.9, 1.0)}, r"betas=\(0\.9, 1\.0\): two numbers in \[0, 1\)"),
    ],
)
def test_numbers_that_cannot_be_are_named_as_the_user_knows_them(numbers: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_optimizer([nn.Parameter(torch.zeros(1))], **numbers)


def test_norms_and_biases_do_not_decay_and_frozen_weights_are_left_out() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    network[2].requires_grad_(False)
    decayed, kept = parameter_groups(network, 0.1, 0.01)
    assert [p.shape for p in decayed["params"]] == [(2, 1, 3, 3)]
    assert [p.shape for p in kept["params"]] == [(2,), (2,), (2,)]
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.01, 0.0)


def factors(schedule: str, steps: range, **numbers: object) -> list[float]:
    numbers = {"total_steps": 10, **numbers}
    return [learning_rate_factor(step, schedule=schedule, **numbers) for step in steps]  # type: ignore[arg-type]


def test_schedules_have_their_literal_values() -> None:
    assert factors("constant", range(4), warmup_steps=3) == [0.25, 0.5, 0.75, 1.0]
    assert factors("linear", range(0, 11, 5)) == [1.0, 0.5, 0.0]
    assert factors("linear", range(2, 11, 4), warmup_steps=2, final_factor=0.5) == [1.0, 0.75, 0.5]
    assert factors("cosine", range(0, 11, 5)) == pytest.approx([1.0, 0.5, 0.0])
    assert factors("cosine", range(1, 2), final_factor=0.2) == pytest.approx([0.2 + 0.4 * (1 + math.cos(math.pi / 10))])
    assert factors("step", range(4, 9)) == pytest.approx([1.0, 0.1, 0.1, 0.1, 0.01])
    assert factors("step", range(3), drops=(0.1,), drop_factor=0.5) == [1.0, 0.5, 0.5]


def test_a_schedule_multiplies_every_groups_own_rate_and_can_be_pickled() -> None:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 0.1)]
    optimizer = build_optimizer(groups, "sgd", lr=7.0)
    schedule = build_schedule(optimizer, "linear", total_steps=4)
    rates = []
    for _ in range(5):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert rates == [pytest.approx([f, f / 10]) for f in (1.0, 0.75, 0.5, 0.25, 0.0)]
    pickle.dumps(schedule.state_dict())


def test_a_resumed_schedule_goes_on_and_takes_the_new_end() -> None:
    optimizer = build_optimizer([nn.Parameter(torch.zeros(1))], "sgd", lr=1.0)
    schedule = build_schedule(optimizer, "linear", total_steps=4)
    for _ in range(2):
        optimizer.step()
        schedule.step()
    other = build_optimizer([nn.Parameter(torch.zeros(1))], "sgd", lr=1.0)
    resumed = build_schedule(other, "linear", total_steps=12)
    other.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    other.step()
    resumed.step()
    assert other.param_groups[0]["lr"] == pytest.approx(0.75)


def test_a_decay_needs_an_end() -> None:
    optimizer = build_optimizer([nn.Parameter(torch.zeros(1))], "sgd", lr=1.0)
    with pytest.raises(ValueError, match="max_epochs or max_steps"):
        build_schedule(optimizer, "cosine", total_steps=math.inf)
    with pytest.raises(ValueError, match="constant, cosine, linear, step"):
        build_schedule(optimizer, "cosinus", total_steps=3)


def test_inverse_square_root_and_noam_are_the_papers_curve() -> None:
    for step in (0, 10, 3999, 4000, 20_000):
        taken = step + 1
        papers = min(taken**-0.5, taken * 4000**-1.5)  # Vaswani et al. 2017, section 5.3, without width^-0.5
        [noam] = factors("noam", range(step, step + 1), warmup_steps=4000, total_steps=math.inf)
        [peak_at_one] = factors("inverse_sqrt", range(step, step + 1), warmup_steps=4000, total_steps=math.inf)
        assert noam == pytest.approx(papers)
        assert peak_at_one == pytest.approx(papers * 4000**0.5)
