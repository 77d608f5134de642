"""The pairs of this topic by name: noise (N, Z) to pictures in [-1, 1], and pictures to scores. Plain torch."""

from __future__ import annotations

from difflib import get_close_matches
from typing import NotRequired, TypedDict, Unpack

from torch import nn

from lhy_lightning.gan.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lhy_lightning.gan.networks.norms import has_batch_norm
from lhy_lightning.gan.networks.residual import ResidualDiscriminator, ResidualGenerator

__all__ = [
    "NETWORKS",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "ResidualDiscriminator",
    "ResidualGenerator",
    "discriminator_by_name",
    "generator_by_name",
    "has_batch_norm",
]

NETWORKS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "dcgan": (DCGANGenerator, DCGANDiscriminator),
    "residual": (ResidualGenerator, ResidualDiscriminator),
}


class NetworkArguments(TypedDict):
    """Arguments that both of a pair have."""

    width: int
    channels: int
    image_size: int
    norm: NotRequired[str]
    condition: NotRequired[str]
    num_classes: NotRequired[int]


class GeneratorArguments(NetworkArguments):
    """Arguments of a generator."""

    latent_dim: int


def generator_by_name(name: str, **arguments: Unpack[GeneratorArguments]) -> nn.Module:
    """Builds the generator of "dcgan" or "residual"; arguments as in `DCGANGenerator`.

    Raises:
        ValueError: no pair of this name, or an argument that it does not take.
    """
    return pair(name)[0](**arguments)


def discriminator_by_name(name: str, **arguments: Unpack[NetworkArguments]) -> nn.Module:
    """Builds the discriminator of "dcgan" or "residual"; arguments as in `DCGANDiscriminator`.

    Raises:
        ValueError: no pair of this name, or an argument that it does not take.
    """
    return pair(name)[1](**arguments)


def pair(name: str) -> tuple[type[nn.Module], type[nn.Module]]:
    """Generator and discriminator class of a pair.

    Raises:
        ValueError: no pair of this name.
    """
    if name not in NETWORKS:
        near = get_close_matches(name, NETWORKS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f": one of {', '.join(NETWORKS)}"
        raise ValueError(f"no pair of networks is called {name!r}{hint}")
    return NETWORKS[name]
