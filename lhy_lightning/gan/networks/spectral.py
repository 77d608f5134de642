"""Spectral normalization of a whole network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from lhy_lightning.gan.networks.conditioning import ClassProjection
from lhy_lightning.layers.evaluation_mode import evaluation_mode

WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


class FullPrecision(nn.Module):
    """Computes a weight outside autocast: half precision would measure a norm to three digits at best.

    Args:
        parametrization: maps a stored weight to the one that is used.
    """

    def __init__(self, parametrization: nn.Module) -> None:
        super().__init__()
        self.parametrization = parametrization

    def forward(self, weight: Tensor) -> Tensor:
        """The weight to use, of the stored weight's shape."""
        with torch.autocast(weight.device.type, enabled=False):
            return torch.as_tensor(self.parametrization(weight))

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Stores an assigned weight as it is, as `spectral_norm` does."""
        return weight


def add_spectral_norm(network: nn.Module, *, power_iterations: int = 1) -> nn.Module:
    """Divides the weights of a network by their largest singular value, at every use.

    Spectral normalization (Miyato et al. 2018, https://arxiv.org/abs/1802.05957) of every convolution and linear layer
    and of the embedding of a class projection, through `torch.nn.utils.parametrizations.spectral_norm`: one power
    iteration at each training forward. A convolution's weight is taken as the matrix (out, rest), as in the paper. The
    convolution as a map between pictures may stretch by more, at most by the square root of how many windows a
    pixel is in (kernel height times width over the stride squared, rounded up each way): the network is not exactly
    1-Lipschitz. Embeddings of label maps and normalization weights stay as they are. The singular vectors are
    buffers, so they are in the state dict; the network itself cannot be pickled.

    Args:
        network: changed in place; layers that have a normalized weight already are left alone.
        power_iterations: at each training forward.

    Returns:
        The same network.

    Raises:
        ValueError: nothing in the network can be normalized.
    """
    layers: list[nn.Module] = []
    for module in network.modules():
        if isinstance(module, WEIGHTED):
            layers.append(module)
        elif isinstance(module, ClassProjection):
            layers.append(module.embedding)
    if not layers:
        raise ValueError("spectral normalization found no convolution and no linear layer in the network")
    for layer in layers:
        if not parametrize.is_parametrized(layer, "weight"):
            spectral_norm(layer, n_power_iterations=power_iterations)
            steps = layer.get_submodule("parametrizations.weight")
            assert isinstance(steps, nn.ModuleList)
            steps[0] = FullPrecision(steps[0])
    return network


@torch.no_grad()
def largest_singular_values(network: nn.Module) -> dict[str, float]:
    """Largest singular value of every spectrally normalized weight as (out, rest), by the layer's name.

    Exact (a decomposition each), without a power iteration: about 1 where `add_spectral_norm` works. For tests and
    diagnosis, not for every step.
    """
    values: dict[str, float] = {}
    for name, module in network.named_modules():
        if not parametrize.is_parametrized(module, "weight"):
            continue
        with evaluation_mode(module):  # reading the weight in training mode would move the singular vectors
            weight = module.weight
        assert isinstance(weight, Tensor)
        if isinstance(module, nn.ConvTranspose2d):
            weight = weight.transpose(0, 1)
        values[name] = float(torch.linalg.matrix_norm(weight.flatten(1), 2))
    return values
