"""Residual networks (blocks with a residual connection) of chosen depth, for small and for large images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lhy_lightning.cnn.sizes import SMALLEST, check_picture_size
from lhy_lightning.core.sizes import height_and_width
from lhy_lightning.layers.norms import norm_layer

# Blocks in each of the four stages (He et al. 2015, table 1) and whether they are bottlenecks.
LARGE_DEPTHS: dict[int, tuple[tuple[int, int, int, int], bool]] = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


def convolution(before: int, after: int, size: int, stride: int, norm: str) -> nn.Conv2d:
    """A convolution that keeps the map's size at stride 1; its bias is left out where a norm would remove it."""
    return nn.Conv2d(before, after, size, stride, padding=size // 2, bias=norm == "none")


class ResidualBlock(nn.Module):
    """relu(x + branch(x)): two 3x3 convolutions, or a 1x1-3x3-1x1 bottleneck that widens its output fourfold.

    Where map size or channels change, the shortcut is a 1x1 convolution with its norm (option B of He et al. 2015).
    Without a norm the branch is multiplied by a learned scalar that starts at zero (SkipInit, De and Smith 2020,
    https://arxiv.org/abs/2002.10444): each block starts as the identity, which is what lets deep networks train.

    Args:
        before: channels that come in.
        inner: channels of the 3x3 convolutions.
        stride: stride of the first 3x3 convolution.
        norm: "batch", "group" or "none".
        bottleneck: the 1x1-3x3-1x1 form, with 4 * inner channels out.
    """

    def __init__(self, before: int, inner: int, stride: int, norm: str, bottleneck: bool) -> None:
        super().__init__()
        # (channels, kernel, stride) of each convolution, in order
        plan = [(inner, 3, stride), (inner, 3, 1)]
        if bottleneck:
            plan = [(inner, 1, 1), (inner, 3, stride), (4 * inner, 1, 1)]
        layers: list[nn.Module] = []
        into = before
        for after, size, step in plan:
            layers += [convolution(into, after, size, step, norm), norm_layer(norm, after), nn.ReLU(inplace=True)]
            into = after
        self.branch = nn.Sequential(*layers[:-1])  # the last ReLU comes after the sum
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != into:
            # A 1x1 convolution of this stride, in two steps: a "mean" over one pixel every `stride`, then stride 1. It
            # is faster than the strided one, which with few channels innermost in memory also overwrites foreign
            # memory on CPUs (https://github.com/uxlfoundation/oneDNN/issues/6035).
            pick: list[nn.Module] = [nn.AvgPool2d(1, stride)] if stride != 1 else []
            self.shortcut = nn.Sequential(*pick, convolution(before, into, 1, 1, norm), norm_layer(norm, into))
        self.scale = nn.Parameter(torch.zeros(())) if norm == "none" else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H / stride, W / stride)."""
        branch = self.branch(x)
        if self.scale is not None:
            branch = self.scale * branch
        return torch.relu_(self.shortcut(x) + branch)


class ResNet(nn.Module):
    """A residual network (He et al. 2015, https://arxiv.org/abs/1512.03385).

    `stem="small"` is the paper's network for 32x32 pictures (section 4.2): a 3x3 convolution and three stages of
    width, 2 width, 4 width channels, depth 6n + 2. Depth 20 at width 16 is the paper's, but for the shortcuts: ours
    are 1x1 convolutions where the paper pads with zeros on small pictures, because they work for any width, keep
    the memory layout and cost 2,752 of 272,474 parameters (10 classes).

    `stem="large"` is the one for 224x224 (table 1): a 7x7 convolution of stride 2, a 3x3 pooling of stride 2, and
    four stages of width to 8 width; depth 18, 34, 50, 101 or 152 and width 64 are the paper's.

    Args:
        num_classes: classes K.
        channels: channels of a picture.
        image_size: side, or height and width, of a picture, only to refuse those that are too small.
        depth: layers with weights, shortcuts not counted.
        width: channels of the first stage.
        stem: "small" or "large" pictures.
        norm: "batch", "group" or "none".
        dropout: share of the averaged features set to zero before the linear layer.

    Raises:
        ValueError: a depth that the stem does not have, an unknown stem, or pictures that are too small.

    Example:
        >>> import torch
        >>> from lhy_lightning import ResNet
        >>> tuple(ResNet(10, channels=1, image_size=8, depth=8, width=4)(torch.zeros(2, 1, 8, 8)).shape)
        (2, 10)
    """

    def __init__(
        self,
        num_classes: int,
        *,
        channels: int = 3,
        image_size: int | tuple[int, int] = (32, 32),
        depth: int = 20,
        width: int = 16,
        stem: str = "small",
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        blocks: tuple[int, ...]
        if stem == "small":
            if depth < 8 or (depth - 2) % 6:
                nearest = max(8, 6 * round((depth - 2) / 6) + 2)
                raise ValueError(
                    f"a residual network for small pictures has depth 6n + 2 (8, 14, 20 ...), not {depth}: set "
                    f"--model.depth {nearest}"
                )
            blocks, bottleneck = ((depth - 2) // 6,) * 3, False
            first: list[nn.Module] = [convolution(channels, width, 3, 1, norm)]
            first += [norm_layer(norm, width), nn.ReLU(inplace=True)]
        elif stem == "large":
            if depth not in LARGE_DEPTHS:
                nearest = min(LARGE_DEPTHS, key=lambda known: abs(known - depth))
                raise ValueError(
                    f"a residual network for large pictures has depth {list(LARGE_DEPTHS)}, not {depth}: set "
                    f"--model.depth {nearest}"
                )
            blocks, bottleneck = LARGE_DEPTHS[depth]
            first = [convolution(channels, width, 7, 2, norm)]
            first += [norm_layer(norm, width), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)]
        else:
            raise ValueError(f"stem is 'small' or 'large', not {stem!r}")
        smallest, instead = (SMALLEST, "") if stem == "small" else (32, "--model.network resnet --model.depth 20")
        size = height_and_width(image_size)
        check_picture_size(f"the residual network with the {stem} stem", size, smallest, instead)
        self.stem = nn.Sequential(*first)
        stages: list[nn.Module] = []
        before = width
        for stage, count in enumerate(blocks):
            inner = width * 2**stage
            stack: list[nn.Module] = []
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                stack.append(ResidualBlock(before, inner, stride, norm, bottleneck))
                before = 4 * inner if bottleneck else inner
            stages.append(nn.Sequential(*stack))
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(before, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, K)."""
        maps = self.stages(self.stem(images))  # (N, D, h, w)
        return torch.as_tensor(self.head(self.dropout(maps.mean((2, 3)))))
