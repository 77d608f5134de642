"""Binary and one-hot codes between encoder and decoder (lecture: "discrete representation")."""

from __future__ import annotations

from math import exp
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lhy_lightning.autoencoders.straight_through import straight_through

Gradient = Literal["straight_through", "gumbel"]


def gumbel_temperature(step: int, *, start: float = 1.0, end: float = 0.5, rate: float = 1e-4) -> float:
    """max(end, start exp(-rate step)), the schedule of Jang et al. 2016 (https://arxiv.org/abs/1611.01144)."""
    return max(end, start * exp(-rate * step))


def gumbel_noise(like: Tensor) -> Tensor:
    """-log(-log u) with u uniform: adding it to logits and taking the largest draws from their softmax."""
    return -torch.empty_like(like).exponential_().log()


def _known(gradient: str) -> None:
    if gradient not in ("straight_through", "gumbel"):
        raise ValueError(f"gradient is one of straight_through, gumbel, not {gradient!r}")


class OneHotCodes(nn.Module):
    """The largest of K numbers as 1, the others as 0.

    In evaluation there is no noise. In training `straight_through` sends the gradient of the softmax; `gumbel` draws by
    Gumbel noise and sends the gradient of softmax((logits + noise) / temperature) (Jang et al. 2016), and `temperature`
    may be set anew in every step.

    Args:
        gradient: "straight_through" or "gumbel".
        temperature: of the softmax.
    """

    def __init__(self, gradient: Gradient = "gumbel", temperature: float = 1.0) -> None:
        super().__init__()
        _known(gradient)
        self.gradient, self.temperature = gradient, temperature

    def forward(self, logits: Tensor) -> Tensor:
        """Logits (..., K) to one-hot rows (..., K) of the same dtype."""
        if self.training and self.gradient == "gumbel":
            logits = logits + gumbel_noise(logits)
        soft = (logits / self.temperature).softmax(-1)
        hard = F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
        return straight_through(soft, hard)


class BinaryCodes(nn.Module):
    """Each number as 0 or 1, by whether it is positive.

    In evaluation there is no noise. In training `straight_through` sends the gradient of the sigmoid; `gumbel` draws
    each bit with the sigmoid's probability and sends the gradient of sigmoid((logits + noise) / temperature), the noise
    being the difference of two Gumbel draws (Maddison et al. 2016, https://arxiv.org/abs/1611.00712, appendix B).

    Args:
        gradient: "straight_through" or "gumbel".
        temperature: of the sigmoid.
    """

    def __init__(self, gradient: Gradient = "gumbel", temperature: float = 1.0) -> None:
        super().__init__()
        _known(gradient)
        self.gradient, self.temperature = gradient, temperature

    def forward(self, logits: Tensor) -> Tensor:
        """Logits (...) to 0 and 1 (...) of the same dtype."""
        if self.training and self.gradient == "gumbel":
            logits = logits + gumbel_noise(logits) - gumbel_noise(logits)
        return straight_through((logits / self.temperature).sigmoid(), (logits > 0).to(logits.dtype))
