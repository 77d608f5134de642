"""Exact match and F1 of answers as a torchmetrics metric, exact over batches and ranks."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lhy_lightning.metrics.texts.answer_texts import DEFINITIONS


class AnswerScores(Metric):
    """Mean exact match and F1 over questions, each against the best of its references.

    Args:
        definition: "squad", "cmrc", "drcd" or "homework"; see `lhy_lightning.metrics.texts.answer_texts`.

    Raises:
        ValueError: no such definition.

    Example:
        >>> from lhy_lightning import AnswerScores
        >>> scores = AnswerScores("squad")
        >>> scores.update(["in Taipei"], [["Taipei", "in Taipei"]])
        >>> scores.compute()["exact_match"].item()
        1.0
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    exact: Tensor
    f1: Tensor
    questions: Tensor

    def __init__(self, definition: str = "squad", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if definition not in DEFINITIONS:
            raise ValueError(f"no metric is called {definition!r}: one of {', '.join(DEFINITIONS)}.")
        self.definition = definition
        self.add_state("exact", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("f1", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("questions", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        """Adds questions.

        Args:
            answers: one a question; "" says that there is none.
            references: for each question all answers that count as right, at least one.

        Raises:
            ValueError: not as many lists of references as answers, or a question without a reference.
        """
        if len(answers) != len(references) or not all(references):
            raise ValueError(
                f"{len(answers)} answers and {len(references)} lists of references, "
                f"{sum(not listed for listed in references)} of them empty: every answer needs its references."
            )
        scores = DEFINITIONS[self.definition].scores
        found = [scores(answer, listed) for answer, listed in zip(answers, references, strict=True)]
        self.exact += int(sum(exact for exact, _ in found))
        self.f1 += sum(f1 for _, f1 in found)
        self.questions += len(found)

    def compute(self) -> dict[str, Tensor]:
        """`exact_match` and `f1`, scalars float32 of 0 to 1; none where nothing was added."""
        if not self.questions:
            return {}
        return {"exact_match": self.exact / self.questions, "f1": self.f1 / self.questions}
