"""`CDAN`: a domain classifier that sees features together with what is predicted from them."""

from __future__ import annotations

import torch
from torch import Tensor

from lhy_lightning.adaptation.dann import DANN, DANNArguments
from lhy_lightning.adaptation.losses.conditional_adversarial import conditional_map, entropy_weights
from lhy_lightning.core.arguments.ranges import COUNT, ranges
from lhy_lightning.core.arguments.signatures import Unpack


class CDAN(DANN):
    """Conditional adversarial adaptation (Long et al. 2018, https://arxiv.org/abs/1705.10667).

    The domain classifier takes the outer product of features and class probabilities, through which no gradient goes
    into the probabilities; where it has more than 4,096 numbers, 1,024 random products of both.

    Args:
        entropy_conditioning: rows weigh 1 + exp(-entropy) in the domain loss (CDAN+E).
        randomized_features: numbers of the random products.
        arguments: as in `DANN`.

    Example:
        >>> import torch
        >>> from lhy_lightning import CDAN
        >>> module = CDAN(num_classes=10, image_size=16, channels=3, width=4, label_hidden=(8,))
        >>> logits = module(torch.zeros(2, 3, 16, 16))
        >>> tuple(logits.shape)
        (2, 10)
    """

    argument_ranges = ranges(randomized_features=COUNT)

    predicts_target = True

    def __init__(
        self,
        *,
        entropy_conditioning: bool = True,
        randomized_features: int = 1024,
        **arguments: Unpack[DANNArguments],
    ) -> None:
        self._randomized_features = randomized_features
        super().__init__(**arguments)
        self.entropy_conditioning = entropy_conditioning

    def domain_features(self) -> int:
        self.conditional_map = conditional_map(
            self.features, self.sizes()[0], randomized_size=self._randomized_features
        )
        return self.conditional_map.output_size

    def domain_inputs(self, source: Tensor, target: Tensor, logits: Tensor) -> Tensor:
        probabilities = logits.detach().float().softmax(1)
        return torch.as_tensor(self.conditional_map(torch.cat((source, target)), probabilities))

    def row_weights(self, logits: Tensor, source_rows: int) -> tuple[Tensor | None, Tensor | None]:
        if not self.entropy_conditioning:
            return None, None
        probabilities = logits.detach().float().softmax(1)
        return entropy_weights(probabilities[:source_rows]), entropy_weights(probabilities[source_rows:])
