"""What VADA and DIRT-T share: predictions that stay the same round a picture, and averaged weights that evaluate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lhy_lightning.adaptation.adaptation import AdaptationModule
from lhy_lightning.adaptation.losses.virtual_adversarial import virtual_adversarial_divergences
from lhy_lightning.core.arguments.ranges import NOT_NEGATIVE, POSITIVE, ranges
from lhy_lightning.layers.batch_statistics import running_statistics_kept
from lhy_lightning.optim import AveragedWeights


class ClusterAssumption(AdaptationModule):
    """Base: decision boundaries keep away from the pictures (Shu et al. 2018, https://arxiv.org/abs/1802.08735).

    Args:
        target_cluster_weight: λt, weight of the target's virtual adversarial loss and conditional entropy.
        radius: ε, the norm of the virtual adversarial perturbation of a picture in [-1, 1].
        ema_decay: of the averaged weights of extractor and label predictor, which evaluate and predict.
        arguments: as in the class that follows.

    Raises:
        ValueError: an argument is out of range.
    """

    argument_ranges = ranges(target_cluster_weight=NOT_NEGATIVE, radius=POSITIVE)

    averaged: AveragedWeights | None
    needs_float32 = "the first step towards a virtual adversarial picture is a millionth of a pixel's range"

    def __init__(self, *, target_cluster_weight: float, radius: float, ema_decay: float, **arguments: Any) -> None:
        self.ema_decay, self._in_use = ema_decay, list[nn.Sequential]()  # for `build`
        super().__init__(**arguments)
        self.target_cluster_weight, self.radius = target_cluster_weight, radius

    def build(self) -> None:
        super().build()
        self.averaged = AveragedWeights(nn.Sequential(*super().built()), self.ema_decay)

    def built(self) -> tuple[nn.Module, nn.Module]:
        """The feature extractor and label predictor in use: those that learn, outside of `using` others."""
        return (self._in_use[-1][0], self._in_use[-1][1]) if self._in_use else super().built()

    @contextmanager
    def using(self, networks: nn.Module) -> Iterator[None]:
        """Predictions inside of `with` are those of another feature extractor and label predictor, in evaluation mode.

        Args:
            networks: both, in this order, as an `nn.Sequential`.
        """
        assert isinstance(networks, nn.Sequential)
        self._in_use.append(networks.eval())
        try:
            yield
        finally:
            self._in_use.pop()

    def load_initial_weights(self, path: str) -> set[str]:
        taken = super().load_initial_weights(path)
        assert self.averaged is not None
        if not {name for name in self.state_dict() if name.startswith("averaged.")} <= taken:
            self.averaged = AveragedWeights(nn.Sequential(*self.built()), self.ema_decay)  # a new average starts here
        return taken

    # --- training --------------------------------------------------------------------------------------------------

    def divergences(self, images: Tensor, source_rows: int, logits: Tensor) -> Tensor:
        """KL (N,) between the prediction of a picture and that of its virtual adversarial neighbour.

        The perturbed passes go by batch statistics of the same rows together, as the networks' own pass did:
        otherwise predictions would differ by these. Running statistics do not move by them, as the
        evaluation sees no perturbed picture.

        Args:
            images: (N, C, H, W), source rows first.
            source_rows: how many they are.
            logits: (N, K) of the networks' own pass.
        """
        extractor, predictor = self.built()

        def network(pictures: Tensor) -> Tensor:
            found: Tensor = predictor(self.extract(pictures, source_rows))
            return found

        with running_statistics_kept(extractor, predictor):
            return virtual_adversarial_divergences(network, images, logits, radius=self.radius)

    def on_network_step(self, name: str) -> None:
        super().on_network_step(name)
        if name == "network":
            assert self.averaged is not None
            self.averaged.update(nn.Sequential(*self.built()))

    # --- inference, by the averaged weights ------------------------------------------------------------------------

    def average(self) -> nn.Module:
        """The averaged feature extractor and label predictor."""
        self.built()  # or an error that says what is missing
        assert self.averaged is not None
        return self.averaged.network

    def forward(self, images: Tensor) -> Tensor:
        """Target pictures (N, C, H, W) in [-1, 1] to logits (N, K), by the averaged weights in evaluation mode."""
        with self.using(self.average()):
            return super().forward(images)

    @torch.no_grad()
    def embed(self, images: Tensor, domain: Literal["source", "target"]) -> tuple[Tensor, Tensor]:
        with self.using(self.average()):
            return super().embed(images, domain)


def frozen_copy(network: nn.Module) -> nn.Module:
    """A copy that does not learn."""
    return deepcopy(network).requires_grad_(False)
