"""The gated PixelCNN over the codes of a picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lhy_lightning.autoencoders.prior.code_transformer import draw_codes


def gate(x: Tensor) -> Tensor:
    """Tanh of the first half of the channels times the sigmoid of the second (equation 2)."""
    first, second = x.chunk(2, 1)
    return first.tanh() * second.sigmoid()


class GatedLayer(nn.Module):
    """One layer of both stacks (figure 2 of the paper).

    The vertical stack sees the rows above, the horizontal one what is left in its own row, and the vertical stack.

    Args:
        width: channels.
        kernel: side of the convolution, odd.
        classes: of the condition.
        first: whether the horizontal stack may not see its own place yet.
    """

    def __init__(self, width: int, kernel: int, classes: int, *, first: bool) -> None:
        super().__init__()
        self.reach, self.first = kernel // 2, first
        # a convolution over the rows above alone needs no mask: it is cut to them and shifted
        self.vertical = nn.Conv2d(width, 2 * width, (self.reach, kernel))
        self.to_horizontal = nn.Conv2d(2 * width, 2 * width, 1)
        self.horizontal = nn.Conv2d(width, 2 * width, (1, self.reach if first else self.reach + 1))
        self.out = nn.Conv2d(width, width, 1)
        self.condition = nn.Embedding(classes, 2 * width)

    def forward(self, above: Tensor, left: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Both stacks (N, W, h, w) and classes (N,) to both stacks."""
        half = self.reach
        condition = self.condition(labels)[:, :, None, None]
        # rows r - half ... r - 1 for row r
        rows = self.vertical(nn.functional.pad(above, (half, half, half, 0)))[:, :, : above.shape[2]]
        columns = self.horizontal(nn.functional.pad(left, (half, 0, 0, 0)))[..., : left.shape[3]]
        added = self.out(gate(columns + self.to_horizontal(rows) + condition))
        return gate(rows + condition), added if self.first else left + added


class GatedPixelCNN(nn.Module):
    """Says of every code how likely it is after those above and to the left of it (van den Oord et al. 2016,
    https://arxiv.org/abs/1606.05328).

    Args:
        codebook_size: codes K.
        shape: (h, w) of a picture's codes.
        classes: how many there are; 1 for an unconditional prior.
        width: channels.
        layers: of both stacks.
        kernel: side of the convolutions; the first layer's is 2 larger.
    """

    def __init__(
        self,
        codebook_size: int,
        shape: tuple[int, int],
        *,
        classes: int = 1,
        width: int = 128,
        layers: int = 4,
        kernel: int = 3,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"kernel={kernel}: an odd number")
        self.shape, self.classes = shape, classes
        self.tokens = nn.Embedding(codebook_size, width)
        kernels = [kernel + 2] + [kernel] * (layers - 1)
        self.layers = nn.ModuleList(
            GatedLayer(width, side, classes, first=number == 0) for number, side in enumerate(kernels)
        )
        self.head = nn.Sequential(
            nn.ReLU(), nn.Conv2d(width, 2 * width, 1), nn.ReLU(), nn.Conv2d(2 * width, codebook_size, 1)
        )

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Codes (N, h, w) and classes (N,) to logits (N, h, w, K), each of what it stands at without having seen it."""
        above = left = self.tokens(codes).permute(0, 3, 1, 2)
        for layer in self.layers:
            above, left = layer(above, left, labels)
        logits: Tensor = self.head(left)
        return logits.permute(0, 2, 3, 1)

    @torch.no_grad()
    def sample(self, labels: Tensor, *, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Draws codes (N, h, w) for classes (N,), one after the other; rows below the one drawn are not computed."""
        codes = torch.zeros(len(labels), *self.shape, dtype=torch.int64, device=labels.device)
        for row in range(self.shape[0]):
            for column in range(self.shape[1]):
                logits = self(codes[:, : row + 1], labels)[:, row, column]
                codes[:, row, column] = draw_codes(logits, temperature, generator)
        return codes
