"""pix2pix's U-Net: an encoder to one pixel and a decoder that sees every map of it. Plain torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lhy_lightning.gan.networks.dcgan import initialize
from lhy_lightning.gan.networks.norms import map_norm
from lhy_lightning.layers.dropout import dropout as dropped

SIZES = tuple(2**depth for depth in range(4, 11))  # 16 ... 1024
WIDEST = 8  # times the width: 512 channels in the paper
DROPPED = 3  # blocks of the decoder with dropout, counted from the bottleneck


class UNet(nn.Module):
    """The generator of pix2pix (Isola et al. 2017, https://arxiv.org/abs/1611.07004, section 6.1.1).

    4x4 convolutions of stride 2 halve the picture until one pixel is left, as many transposed ones double it again, and
    each level of the decoder also gets the encoder's map of its size. Channels are 1, 2, 4 and then 8 times the width:
    at 256 pixels and width 64 this is the paper's C64-C128-C256-C512-C512-C512-C512-C512 and its mirror image. Smaller
    pictures have fewer levels. The first layer has no norm, which would take the input's colours away, nor has the
    bottleneck: at one pixel a norm over pixels leaves zeros.

    The paper's only noise is dropout in the first three blocks of the decoder (of smaller networks: in all but the last
    two), also at test time.

    Args:
        input_channels: channels of the picture that is translated.
        output_channels: channels of the result.
        image_size: height and width of both: 16, 32, 64, 128, 256, 512 or 1024.
        width: channels after the first layer.
        norm: "batch" as in the paper, "instance" (which the paper's batches of one picture come to), "layer", "none".
        dropout: rate.

    Attributes:
        dropout_at_test: draw in evaluation mode too, one result of many; may be changed at any time.

    Raises:
        ValueError: another size, an unknown norm.
    """

    def __init__(
        self,
        *,
        input_channels: int = 3,
        output_channels: int = 3,
        image_size: int = 256,
        width: int = 64,
        norm: str = "batch",
        dropout: float = 0.5,
        dropout_at_test: bool = False,
    ) -> None:
        super().__init__()
        if image_size not in SIZES:
            near = min(SIZES, key=lambda size: abs(size - image_size))
            raise ValueError(
                f"image_size={image_size}: the U-Net halves pictures down to one pixel, so it takes "
                f"{', '.join(map(str, SIZES))}. Ask the data for image_size {near}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout}: a share in [0, 1).")
        self.input_channels, self.image_size, self.dropout_at_test = input_channels, image_size, dropout_at_test
        depth = image_size.bit_length() - 1
        widths = [width * min(2**level, WIDEST) for level in range(depth)]
        down: list[nn.Module] = [nn.Conv2d(input_channels, widths[0], 4, 2, 1)]
        for level in range(1, depth):
            inner = "none" if level == depth - 1 else norm
            down.append(
                nn.Sequential(
                    nn.LeakyReLU(0.2),
                    nn.Conv2d(widths[level - 1], widths[level], 4, 2, 1, bias=inner == "none"),
                    map_norm(inner, widths[level]),
                )
            )
        noisy = min(DROPPED, depth - 2)
        up: list[nn.Module] = []
        for number, level in enumerate(range(depth - 1, 0, -1)):
            before = widths[level] * (1 if level == depth - 1 else 2)  # the decoder's map and the encoder's
            up.append(Upward(before, widths[level - 1], norm, dropout if number < noisy else 0.0))
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)
        self.last = nn.Sequential(
            nn.ReLU(), nn.ConvTranspose2d(2 * widths[0], output_channels, 4, 2, 1), nn.Tanh()
        )  # fmt: skip
        initialize(self)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, input_channels, H, W) to (N, output_channels, H, W), both in [-1, 1].

        Raises:
            ValueError: pictures of another shape than the network was built for.
        """
        if tuple(pictures.shape[1:]) != (self.input_channels, self.image_size, self.image_size):
            given = "x".join(map(str, pictures.shape[1:]))
            raise ValueError(
                f"the U-Net was built for pictures of {self.input_channels}x{self.image_size}x{self.image_size}, not "
                f"{given}: build it with the data's channels and image_size, or ask the data for these"
            )
        draw = self.training or self.dropout_at_test
        x, encoded = pictures, []
        for layer in self.down:
            x = layer(x)  # (N, 8 width at most, H / 2, W / 2)
            encoded.append(x)
        encoded.pop()
        for block in self.up:
            x = torch.cat([block(x, draw), encoded.pop()], dim=1)
        return torch.as_tensor(self.last(x))


class Upward(nn.Module):
    """ReLU, 4x4 transposed convolution of stride 2, norm, and dropout where the caller draws.

    Args:
        before: channels that come in.
        after: channels that go out.
        norm: as in `map_norm`.
        dropout: rate; 0 disables it.
    """

    def __init__(self, before: int, after: int, norm: str, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose2d(before, after, 4, 2, 1, bias=norm == "none")
        self.norm, self.dropout = map_norm(norm, after), dropout

    def forward(self, x: Tensor, draw: bool) -> Tensor:
        """(N, before, H, W) to (N, after, 2 H, 2 W)."""
        return dropped(self.norm(self.convolution(functional.relu(x))), self.dropout, draw)
