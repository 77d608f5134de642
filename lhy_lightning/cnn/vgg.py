"""A VGG-like network: 3x3 convolutions, a pooling after each stage, one linear layer on the averaged map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lhy_lightning.cnn.sizes import SMALLEST, check_picture_size
from lhy_lightning.core.sizes import height_and_width
from lhy_lightning.layers.norms import norm_layer

MOST_STAGES = 5


def stages_for(image_size: tuple[int, int]) -> int:
    """Halvings that leave at least a 2x2 map, five at most (VGG's own number): 28 pixels give 3, 32 give 4."""
    side, stages = min(image_size), 0
    while side // 2 >= 2 and stages < MOST_STAGES:
        side, stages = side // 2, stages + 1
    return max(stages, 1)


def convolutions_per_stage(convolutions: int, stages: int) -> list[int]:
    """Shares convolutions out evenly, what is left over to the later stages, as VGG-11, -13 and -16 have them."""
    share, rest = divmod(convolutions, stages)
    return [share + (stage >= stages - rest) for stage in range(stages)]


class VGG(nn.Module):
    """Stages of 3x3 convolutions, each ended by 2x2 pooling; channels double from stage to stage.

    After Simonyan and Zisserman 2014 (https://arxiv.org/abs/1409.1556), with normalization, and with a mean over
    the map and one linear layer in place of three fully connected ones: those hold nine tenths of VGG's parameters.
    Depth counts layers with weights, so VGG-16's thirteen convolutions are `depth=14` here.

    Args:
        num_classes: classes K.
        channels: channels of a picture.
        image_size: side, or height and width, of a picture; decides the number of stages (see `stages_for`).
        depth: convolutions plus the linear layer, at least 2.
        width: channels of the first stage; later ones double it up to eightfold.
        norm: "batch", "group" or "none".
        dropout: share of the averaged features set to zero before the linear layer.

    Raises:
        ValueError: pictures under 4 pixels, or a depth without a convolution.

    Example:
        >>> import torch
        >>> from lhy_lightning import VGG
        >>> tuple(VGG(10, channels=1, image_size=8, depth=3, width=4)(torch.zeros(2, 1, 8, 8)).shape)
        (2, 10)
    """

    def __init__(
        self,
        num_classes: int,
        *,
        channels: int = 3,
        image_size: int | tuple[int, int] = (32, 32),
        depth: int = 9,
        width: int = 64,
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"a VGG-like network has at least one convolution and its linear layer, not depth={depth}")
        image_size = height_and_width(image_size)
        check_picture_size(f"the VGG-like network of depth {depth}", image_size, SMALLEST)
        stages = min(stages_for(image_size), depth - 1)
        layers: list[nn.Module] = []
        before = channels
        for stage, convolutions in enumerate(convolutions_per_stage(depth - 1, stages)):
            after = width * min(2**stage, 8)
            for _ in range(convolutions):
                layers += [
                    nn.Conv2d(before, after, 3, padding=1, bias=norm == "none"),
                    norm_layer(norm, after),
                    nn.ReLU(inplace=True),
                ]
                before = after
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(before, num_classes)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, K)."""
        maps = self.features(images)  # (N, D, h, w)
        return torch.as_tensor(self.head(self.dropout(maps.mean((2, 3)))))
