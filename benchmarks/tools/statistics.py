"""How figures of several seeds are told: mean ± standard error."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def standard_error(values: Sequence[float]) -> float:
    """Of the mean; NaN of a single value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else float("nan")


def mean_and_error(values: Sequence[float], digits: int = 2) -> str:
    """ "12.30 ± 0.40" """
    return f"{statistics.mean(values):.{digits}f} ± {standard_error(values):.{digits}f}"
