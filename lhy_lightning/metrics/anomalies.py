"""How well scores tell anomalies from normal rows: AUROC, AUPR, and F1 at a threshold chosen elsewhere.

torchmetrics' own AUROC puts scores outside of [0, 1] through a sigmoid, in which large ones become equal: these take
scores as they are, of any scale.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

LEVELS = 2**16
NAN_LEVELS = slice(0xFF01, LEVELS)
"""Levels above that of infinity."""


def auroc(scores: Tensor, labels: Tensor) -> Tensor:
    """Area under the ROC curve: how often an anomaly scores higher than a normal row, ties counting half.

    Args:
        scores: (N,) higher = stranger.
        labels: (N,) 1 for anomalies, 0 for normal rows.

    Returns:
        Scalar float64.

    Raises:
        ValueError: not both kinds are there, or a score is NaN.
    """
    strange = _checked(scores, labels)
    _, places, counts = scores.unique(return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0) - (counts - 1) / 2).double()[places]  # from 1; the mean rank of those that are equal
    anomalies, normal = strange.sum(), (~strange).sum()
    area: Tensor = (ranks[strange].sum() - anomalies * (anomalies + 1) / 2) / (anomalies * normal)
    return area


class CountedAUROC(Metric):
    """`auroc` of so many scores, as of all pixels of all pictures, that they are counted and not kept.

    Adds up over batches and ranks without a difference. Two scores are told apart if they are 1/256 of their size
    apart, else they may be a tie.
    """

    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(2, LEVELS, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, scores: Tensor, strange: Tensor) -> None:
        """Scores of any shape, at least 0, and bools of the same shape."""
        # the bits of positive floats are in the order of the numbers: exponent and eight more of them
        levels = (scores.float().contiguous().view(torch.int32) >> 15) & (LEVELS - 1)
        for counts, kind in zip(self.counts, (~strange, strange), strict=True):
            counts += torch.bincount(levels[kind], minlength=LEVELS)

    def compute(self) -> Tensor:
        """Scalar float64; NaN where not both kinds are there.

        Raises:
            ValueError: a score was NaN.
        """
        if missing := int(self.counts[:, NAN_LEVELS].sum()):
            raise ValueError(f"{missing} of {int(self.counts.sum())} scores are NaN: there is no order among them")
        normal, strange = self.counts.double()
        area: Tensor = (strange * (normal.cumsum(0) - normal / 2)).sum() / (strange.sum() * normal.sum())
        return area


def average_precision(scores: Tensor, labels: Tensor) -> Tensor:
    """AUPR: the mean precision over the anomalies, each at the threshold that just finds it.

    Arguments and errors as in `auroc`. Depends on the share of anomalies, which is its value for random scores.
    """
    strange = _checked(scores, labels)
    _, places = scores.unique(return_inverse=True)
    levels = int(places.max()) + 1
    # of each threshold from the highest: the anomalies that score just so, and all rows that do
    anomalies = torch.bincount(places[strange], minlength=levels).flip(0).double()
    rows = torch.bincount(places, minlength=levels).flip(0).double()
    precision = anomalies.cumsum(0) / rows.cumsum(0)
    return (precision * anomalies).sum() / strange.sum()


def detection_figures(scores: Tensor, labels: Tensor, threshold: Tensor) -> dict[str, Tensor]:
    """`auroc` and `aupr`, and at a threshold `f1`, `detected` and `false_alarms`.

    Args:
        scores, labels: (N,), as in `auroc`.
        threshold: scalar; what scores higher is called an anomaly.

    Returns:
        Scalars: `detected` is the share of the anomalies that were found, `false_alarms` that of the normal rows.
    """
    strange, called = _checked(scores, labels), scores > threshold
    hits, alarms = (strange & called).sum(), (~strange & called).sum()
    return {
        "auroc": auroc(scores, labels),
        "aupr": average_precision(scores, labels),
        "f1": 2 * hits / (hits + alarms + strange.sum()),
        "detected": hits / strange.sum(),
        "false_alarms": alarms / (~strange).sum(),
    }


def threshold_of(scores: Tensor, false_alarm_rate: float) -> Tensor:
    """The smallest of normal scores that at most this share of them is higher than.

    Args:
        scores: (N,) of normal rows.
        false_alarm_rate: in [0, 1).

    Returns:
        Scalar, one of the scores.
    """
    allowed = int(false_alarm_rate * len(scores) + 1e-9)  # 0.07 * 100 is 7.000000000000001, 0.29 * 100 is 28.999…96
    return scores.sort().values[len(scores) - 1 - allowed]


def _checked(scores: Tensor, labels: Tensor) -> Tensor:
    if (missing := int(scores.isnan().sum())) > 0:
        raise ValueError(f"{missing} of {len(scores)} scores are NaN: there is no order among them")
    strange = labels.bool()
    if strange.all() or not strange.any():
        kind = "a normal row" if strange.any() else "an anomaly"
        raise ValueError(f"{len(scores)} rows without {kind}: AUROC and AUPR are undefined")
    return strange


def reason_without_figures(labels: Tensor) -> str | None:
    """Why these labels (N,) of test rows, 1, 0, or -1 where unknown, allow for no AUROC; None if they do."""
    if (labels < 0).any():
        return (
            "the test pictures have no labels: there is no test/auroc to report, only the mean score and the share "
            "above the threshold. `lhy predict` writes the scores."
        )
    for kind, name in ((1, "an anomaly"), (0, "a normal picture")):
        if not (labels == kind).any():
            return f"{len(labels):,} test pictures without {name}: test/auroc and test/aupr are undefined."
    return None
