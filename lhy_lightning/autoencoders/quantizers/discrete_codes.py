"""Binary and one-hot codes between encoder and decoder (lecture: "discrete representation")."""

from __future__ import annotations

from math import exp
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lhy_lightning.autoencoders.quantizers.straight_through import straight_through

Gradient = Literal["straight_through", "gumbel"]


def gumbel_temperature(step: int, *, start: float = 1.0, end: float = 0.5, rate: float = 1e-4) -> float:
    """max(end, start exp(-rate step)), the schedule of Jang et al. 2016 (https://arxiv.org/abs/1611.01144)."""
    return max(end, start * exp(-rate * step))


def gumbel_noise(like: Tensor) -> Tensor:
    """-log(-log u) with u uniform: adding it to logits and taking the largest draws from their softmax."""
    return -torch.empty_like(like).exponential_().log()


class HardCodes(nn.Module):
    """Base of codes that are hard values forward and have the gradient of soft ones.

    Args:
        gradient: "straight_through", of the soft values as they are, or "gumbel", of values drawn with Gumbel noise in
            training; in evaluation there is none.
        temperature: of the soft values; it may be set anew in every step.

    Raises:
        ValueError: no gradient of this name.
    """

    def __init__(self, gradient: Gradient = "gumbel", temperature: float = 1.0) -> None:
        super().__init__()
        if gradient not in ("straight_through", "gumbel"):
            raise ValueError(f"gradient is one of straight_through, gumbel, not {gradient!r}")
        self.gradient, self.temperature = gradient, temperature

    @property
    def draws(self) -> bool:
        return self.training and self.gradient == "gumbel"


class OneHotCodes(HardCodes):
    """The largest of K numbers as 1, the others as 0.

    `straight_through` sends the gradient of the softmax; `gumbel` draws by Gumbel noise and sends the gradient of
    softmax((logits + noise) / temperature) (Jang et al. 2016). Arguments as in `HardCodes`.
    """

    def forward(self, logits: Tensor) -> Tensor:
        """Logits (..., K) to one-hot rows (..., K) of the same dtype."""
        if self.draws:
            logits = logits + gumbel_noise(logits)
        soft = (logits / self.temperature).softmax(-1)
        hard = F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
        return straight_through(soft, hard)


class BinaryCodes(HardCodes):
    """Each number as 0 or 1, by whether it is positive.

    `straight_through` sends the gradient of the sigmoid; `gumbel` draws each bit with the sigmoid's probability and
    sends the gradient of sigmoid((logits + noise) / temperature), the noise being the difference of two Gumbel draws
    (Maddison et al. 2016, https://arxiv.org/abs/1611.00712, appendix B). Arguments as in `HardCodes`.
    """

    def forward(self, logits: Tensor) -> Tensor:
        """Logits (...) to 0 and 1 (...) of the same dtype."""
        if self.draws:
            logits = logits + gumbel_noise(logits) - gumbel_noise(logits)
        return straight_through((logits / self.temperature).sigmoid(), (logits > 0).to(logits.dtype))
