"""What the test says of a module: figures of the target's rows, with their labels or without."""

from __future__ import annotations

import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lhy_lightning.adaptation.selection.feature_buffer import Rows, accuracy_of


def target_figures(rows: Rows, *, oracle: bool) -> dict[str, Tensor]:
    """Accuracy and loss on the target, or without labels how sure the predictions are.

    Args:
        rows: evaluated target test rows.
        oracle: target labels may have chosen the epoch; the accuracy's name says so.
    """
    mark = "_ORACLE" if oracle else ""
    if rows.labelled:
        loss = F.cross_entropy(rows.logits, rows.labels)
        return {f"test/accuracy{mark}": accuracy_of(rows), f"test/loss{mark}": loss}
    rank_zero_warn(
        "the target's test pictures have no labels: there is no test/accuracy, only the mean probability of "
        "the predicted class (test/confidence). Set --data.target_labelled true where they have some; "
        "`lhy predict` writes the predictions."
    )
    return {"test/confidence": rows.logits.softmax(1).max(1).values.mean()}
