"""Layers of the Transformer: sublayers with their norm and residual connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lhy_lightning.layers.dropout import add_dropped, dropout
from lhy_lightning.layers.transformer.attention import CrossAttention, SelfAttention
from lhy_lightning.layers.transformer.packing import Packing
from lhy_lightning.layers.transformer.positions import RotaryPositions
from lhy_lightning.layers.transformer.state import TransformerState

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


@dataclass(frozen=True)
class Settings:
    """What every layer is built from; see `Transformer`."""

    width: int
    heads: int
    feedforward: int
    dropout: float
    attention_dropout: float
    activation_dropout: float
    norm: str
    activation: str
    rotary: RotaryPositions | None


class Residual(nn.Module):
    """Norm and residual connection of a sublayer f.

    Post-norm, the paper's: norm(x + dropout(f(x))). Pre-norm, which needs no warm-up: x + dropout(f(norm(x))); Xiong
    et al. 2020 (https://arxiv.org/abs/2002.04745) compare them.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.pre = settings.norm == "pre"
        self.dropout = settings.dropout
        self.norm = nn.LayerNorm(settings.width)

    def before(self, x: Tensor) -> Tensor:
        """What f takes."""
        return torch.as_tensor(self.norm(x)) if self.pre else x

    def after(self, x: Tensor, change: Tensor) -> Tensor:
        """From f's input and output to the next sublayer's input."""
        x = add_dropped(x, change, self.dropout, self.training)
        return x if self.pre else torch.as_tensor(self.norm(x))


class FeedForward(nn.Module):
    """Two linear layers on every token, equation 2 of the paper, or SwiGLU.

    SwiGLU (Shazeer 2020, https://arxiv.org/abs/2002.05202, equation 6) has a third matrix for its gate: with two
    thirds of the hidden width it has as many weights as the others.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.activation = settings.activation
        self.dropout = settings.activation_dropout
        gated = 2 if settings.activation == "swiglu" else 1
        self.inner = nn.Linear(settings.width, gated * settings.feedforward)
        self.outer = nn.Linear(settings.feedforward, settings.width)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Xavier-uniform, gate and value apart."""
        for block in self.inner.weight.split(self.outer.in_features):
            nn.init.xavier_uniform_(block)
        nn.init.xavier_uniform_(self.outer.weight)
        nn.init.zeros_(self.inner.bias)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        hidden = self.inner(x)
        if self.activation == "swiglu":
            gate, hidden = hidden.chunk(2, -1)
            hidden = F.silu(gate) * hidden
        else:
            hidden = ACTIVATIONS[self.activation](hidden)
        return torch.as_tensor(self.outer(dropout(hidden, self.dropout, self.training)))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.attention = SelfAttention(
            settings.width, settings.heads, dropout=settings.attention_dropout, rotary=settings.rotary
        )
        self.attention_residual = Residual(settings)
        self.feedforward = FeedForward(settings)
        self.feedforward_residual = Residual(settings)

    def forward(self, x: Tensor, packing: Packing, mask: Tensor) -> Tensor:
        """Source rows (M, D) to rows (M, D); mask (N, 1, 1, S) bool, True at tokens."""
        x = self.attention_residual.after(x, self.attention(self.attention_residual.before(x), packing, mask))
        return self.feedforward_residual.after(x, self.feedforward(self.feedforward_residual.before(x)))


class DecoderLayer(nn.Module):
    """Self-attention that sees no later token, cross-attention over the source, feed-forward."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.attention = SelfAttention(
            settings.width, settings.heads, dropout=settings.attention_dropout, rotary=settings.rotary
        )
        self.attention_residual = Residual(settings)
        self.cross = CrossAttention(settings.width, settings.heads, dropout=settings.attention_dropout)
        self.cross_residual = Residual(settings)
        self.feedforward = FeedForward(settings)
        self.feedforward_residual = Residual(settings)

    def forward(
        self, x: Tensor, packing: Packing, source: tuple[Tensor, Tensor], mask: Tensor, *, weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Target rows (M, D) to rows (M, D), and weights (N, H, T, S) where asked for.

        Args:
            x, packing: the target.
            source: keys and values of `CrossAttention.remember`.
            mask: (N, 1, 1, S) bool, True at tokens of the source.
            weights: return the cross-attention's.
        """
        x = self.attention_residual.after(x, self.attention(self.attention_residual.before(x), packing, causal=True))
        return self.rest(x, packing, source, mask, weights)

    def step(
        self, x: Tensor, packing: Packing, state: TransformerState, layer: int, *, weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Newest tokens (B*K, D) of `state`'s hypotheses; this is its layer number `layer`."""
        change = self.attention.step(
            self.attention_residual.before(x),
            packing,
            state.caches[layer],
            state.ancestors,
            position=state.length - 1,
            slots=state.beams,
        )
        x = self.attention_residual.after(x, change)
        return self.rest(x, packing, state.sources[layer], state.mask, weights)

    def rest(
        self, x: Tensor, packing: Packing, source: tuple[Tensor, Tensor], mask: Tensor, weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """All but self-attention."""
        change, shown = self.cross(self.cross_residual.before(x), packing, source, mask, weights=weights)
        x = self.cross_residual.after(x, change)
        return self.feedforward_residual.after(x, self.feedforward(self.feedforward_residual.before(x))), shown
