"""A network is in evaluation mode for a while and then in the mode that it was in."""

import pytest
import torch
from torch import nn

from lhy_lightning.layers.evaluation_mode import evaluation_mode


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_put_back_even_after_an_error(training: bool) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train(training)
    with evaluation_mode(network) as same:
        assert same is network
        assert not any(module.training for module in network.modules())
    with pytest.raises(RuntimeError), evaluation_mode(network):
        network(torch.ones(1, 3))
    assert all(module.training is training for module in network.modules())
