"""How λ moves with training's progress (0 at the start, 1 at the end): numbers to numbers."""

from __future__ import annotations

import math

from lhy_lightning.optim.schedules import check_progress


def reversal_coefficient(progress: float, *, gamma: float = 10.0, maximum: float = 1.0) -> float:
    """λ, the weight of the reversed gradient, from 0 towards `maximum`: features form before domains are mixed.

    λ_p = 2 / (1 + exp(-γ p)) - 1, Ganin and Lempitsky 2015 (https://arxiv.org/abs/1409.7495), section 4.

    Raises:
        ValueError: progress outside 0 … 1.
    """
    check_progress(progress)
    return maximum * (2 / (1 + math.exp(-gamma * progress)) - 1)
