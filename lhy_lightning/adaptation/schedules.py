"""How λ and the learning rate move with training's progress (0 at the start, 1 at the end): numbers to numbers."""

from __future__ import annotations

import math


def reversal_coefficient(progress: float, *, gamma: float = 10.0, maximum: float = 1.0) -> float:
    """λ, the weight of the reversed gradient, from 0 towards `maximum`: features form before domains are mixed.

    λ_p = 2 / (1 + exp(-γ p)) - 1, Ganin and Lempitsky 2015 (https://arxiv.org/abs/1409.7495), section 4.

    Raises:
        ValueError: progress outside 0 … 1.
    """
    _check(progress)
    return maximum * (2 / (1 + math.exp(-gamma * progress)) - 1)


def annealed_rate(progress: float, *, alpha: float = 10.0, beta: float = 0.75) -> float:
    """Factor on the first learning rate, from 1 downwards: μ_p / μ_0 = (1 + α p)^-β, as in the paper above.

    Raises:
        ValueError: progress outside 0 … 1.
    """
    _check(progress)
    return float((1 + alpha * progress) ** -beta)


def _check(progress: float) -> None:
    if not 0 <= progress <= 1:
        raise ValueError(f"progress is the share of training that is done, 0 to 1, not {progress}")
