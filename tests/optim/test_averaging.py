"""Averaged weights equal the plain loop of their definition and leave the network alone."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from lhy_lightning.optim import AveragedWeights


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def train_a_step(network: nn.Module) -> None:
    loss = network(torch.randn(8, 3)).square().sum()
    gradients = torch.autograd.grad(loss, [*network.parameters()])
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        parameter.data -= 0.1 * gradient


def test_the_average_equals_the_plain_loop_statistics_included() -> None:
    network = small_network()
    averaged = AveragedWeights(network, 0.9)
    expected: dict[str, Tensor] = deepcopy(network.state_dict())
    for step in range(30):
        train_a_step(network)
        averaged.update(network)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
            else:
                expected[name] = value.clone()
    for name, value in averaged.network.state_dict().items():
        torch.testing.assert_close(value, expected[name])


def test_it_is_a_copy_without_gradients_that_always_evaluates() -> None:
    network = small_network()
    averaged = AveragedWeights(network, 0.5)
    averaged.train()
    before = averaged.network[1].running_mean.clone()
    output = averaged(torch.randn(8, 3))
    assert not output.requires_grad
    assert torch.equal(averaged.network[1].running_mean, before)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_state_dict_holds_average_and_count() -> None:
    network = small_network()
    averaged = AveragedWeights(network, 0.999)
    for _ in range(3):
        train_a_step(network)
        averaged.update(network)
    again = AveragedWeights(small_network(), 0.999)
    again.load_state_dict(averaged.state_dict())
    assert again.count == 3
    x = torch.randn(2, 3)
    assert torch.equal(again(x), averaged(x))


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_outside_of_its_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        AveragedWeights(small_network(), decay)
