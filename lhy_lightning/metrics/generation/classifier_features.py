"""A trained classifier as a feature network: what its last linear layer sees, and what it says."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


class ClassifierFeatures(nn.Module):
    """Pictures (N, C, H, W) in [-1, 1] to the features (N, D) that a classifier's last linear layer takes.

    It works on a copy, always in evaluation mode and without gradients: training the classifier further, or the
    module that holds this one, changes nothing here.

    Args:
        classifier: an `ImageClassifier`, or any module from pictures to logits (N, K) that ends with a linear layer.
            Of a module with an `inference_network` that one is taken, so averaged weights where there are any; its
            `image_size` and `channels`, where it has them, are what pictures must have.

    Raises:
        ValueError: there is no linear layer.

    Example:
        >>> import torch
        >>> from lhy_lightning import ClassifierFeatures, ImageClassifier
        >>> model = ImageClassifier(network="vgg", depth=3, width=4, num_classes=10, image_size=8, channels=1)
        >>> features = ClassifierFeatures(model)
        >>> tuple(features(torch.zeros(2, 1, 8, 8)).shape)
        (2, 8)
    """

    name = "classifier"

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        network = getattr(classifier, "inference_network", classifier)
        self.network = deepcopy(network).requires_grad_(False)  # a compiled network's copy is not compiled
        linear = [module for module in self.network.modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise ValueError(f"{type(network).__name__} has no linear layer whose input could be the features")
        self._head = len(linear) - 1
        self.num_features, self.num_classes = linear[-1].in_features, linear[-1].out_features
        size, channels = getattr(classifier, "image_size", None), getattr(classifier, "channels", None)
        self.shape = (channels, *size) if isinstance(channels, int) and isinstance(size, tuple) else None
        self.eval()

    def train(self, mode: bool = True) -> ClassifierFeatures:
        """Stays in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def features_and_logits(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, D) and logits (N, K) float32, in one pass.

        Raises:
            ValueError: pictures of another size than the classifier's, or a network that does not end with its last
                linear layer.
        """
        if self.shape is not None and tuple(pictures.shape[1:]) != self.shape:
            raise ValueError(
                f"the classifier takes pictures {self.shape} (channels, height, width), not "
                f"{tuple(pictures.shape[1:])}: train one at this size"
            )
        head = [module for module in self.network.modules() if isinstance(module, nn.Linear)][self._head]
        seen: list[Tensor] = []
        handle = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            with torch.autocast(pictures.device.type, enabled=False):
                logits = self.network(pictures)
        finally:
            handle.remove()
        if (
            len(seen) != 1
            or seen[0].shape != (len(pictures), self.num_features)
            or logits.shape[1:] != (self.num_classes,)
        ):
            raise ValueError("the classifier does not end with its last linear layer, once for each picture")
        return seen[0].float(), logits.float()

    def features_and_probabilities(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, D) and class probabilities (N, K) float32, in one pass."""
        features, logits = self.features_and_logits(pictures)
        return features, logits.softmax(1)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, C, H, W) to features (N, D) float32."""
        return self.features_and_logits(pictures)[0]
