"""A small causal Transformer over the codes of a picture, row by row."""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Cache = list[tuple[Tensor, Tensor]]


class Block(nn.Module):
    """x + attention(norm x), then x + feedforward(norm x)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm, self.other_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feedforward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(N, T, W), and keys and values (N, heads, P, W / heads) of what came before, to the same with these."""
        parts = self.queries_keys_values(self.norm(x)).unflatten(2, (3 * self.heads, -1)).transpose(1, 2)
        queries, keys, values = parts.chunk(3, 1)  # (N, heads, T, W / heads)
        if past is not None:
            keys, values = torch.cat((past[0], keys), 2), torch.cat((past[1], values), 2)
        mixed = F.scaled_dot_product_attention(
            queries, keys, values, is_causal=past is None, dropout_p=self.dropout if self.training else 0.0
        )
        x = x + self.drop(self.out(mixed.transpose(1, 2).flatten(2)))
        return x + self.drop(self.feedforward(self.other_norm(x))), (keys, values)


class CodeTransformer(nn.Module):
    """Says of every code how likely it is after those above and to the left of it (Radford et al. 2019's blocks).

    A first token, one for each class, says which class the picture is to be of.

    Args:
        codebook_size: codes K.
        shape: of a picture's codes, (h, w) or (L,).
        classes: how many there are; 1 for an unconditional prior.
        width: of the residual stream.
        layers: blocks.
        heads: of attention.
        dropout: share of what a block adds that is set to zero.
    """

    def __init__(
        self,
        codebook_size: int,
        shape: tuple[int, ...],
        *,
        classes: int = 1,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width={width} cannot be shared out among heads={heads}")
        self.shape, self.codebook_size, self.classes = shape, codebook_size, classes
        self.tokens = nn.Embedding(codebook_size + classes, width)
        self.places = nn.Parameter(torch.zeros(prod(shape), width))
        self.drop = nn.Dropout(dropout)
        blocks = [Block(width, heads, dropout) for _ in range(layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, codebook_size)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.places, std=0.02)
        for block in blocks:  # what adds to the stream starts small, the more blocks the smaller
            nn.init.normal_(block.out.weight, std=0.02 / (2 * layers) ** 0.5)
            nn.init.normal_(block.feedforward[2].weight, std=0.02 / (2 * layers) ** 0.5)  # type: ignore[arg-type]

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Codes (N, h, w) and classes (N,) to logits (N, h, w, K), each of what it stands at without having seen it."""
        first = labels[:, None] + self.codebook_size
        ids = torch.cat((first, codes.flatten(1)[:, :-1]), 1)
        x = self.drop(self.tokens(ids) + self.places)
        for block in self.blocks:
            x, _ = block(x)
        logits: Tensor = self.head(self.norm(x)).unflatten(1, self.shape)
        return logits

    @torch.no_grad()
    def sample(self, labels: Tensor, *, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Draws codes (N, h, w) for classes (N,), one after the other; keys and values are kept."""
        ids, past = labels[:, None] + self.codebook_size, [None] * len(self.blocks)
        drawn: list[Tensor] = []
        for place in range(len(self.places)):
            x = self.tokens(ids) + self.places[place]
            for number, block in enumerate(self.blocks):
                x, past[number] = block(x, past[number])
            ids = draw_codes(self.head(self.norm(x[:, -1])), temperature, generator)[:, None]
            drawn.append(ids)
        codes: Tensor = torch.cat(drawn, 1).unflatten(1, self.shape)
        return codes


def draw_codes(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """Logits (N, K) to codes (N,), drawn on the CPU: a seed gives the same ones on every device.

    Raises:
        ValueError: logits are NaN.
    """
    probabilities = (logits.float() / temperature).softmax(1).cpu()
    if probabilities.isnan().any():
        raise ValueError("no codes can be drawn: the network's logits are NaN. Take a checkpoint from before that.")
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0].to(logits.device)
