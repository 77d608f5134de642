"""Training windows of an epoch: which questions, from which token on, in batches of like length."""

from typing import Any

import numpy as np

from lhy_lightning.core.seeding import derive_seed, run_seed
from lhy_lightning.data.questions.window_batches import WindowMaker
from lhy_lightning.data.questions.windows import (
    AnswerTokens,
    Position,
    centred,
    places_with_answer,
    places_without_answer,
)
from lhy_lightning.data.samplers import TrainBatches
from lhy_lightning.data.sequences.length_batches import length_batches
from lhy_lightning.data.splits import shuffled

WINDOWS = 7  # stream of random windows


class QuestionBatches(TrainBatches):
    """Every question that can be answered once an epoch, in a window round its answer, and some windows without.

    Batches are lists of (question, first token of the window), for `TrainingWindows`. Windows are drawn anew every
    epoch, as functions of (seed, epoch).

    Args:
        maker: knows the lengths.
        answers: of the questions.
        use: (N,) bool, the questions that are trained on.
        position: "random" round the answer, or "centre", which puts the answer into the middle.
        no_answer_share: share of the windows that hold no answer, if there are paragraphs that are long enough.
        unanswerable: take the questions that are known to have no answer as well, one window each.
        batch_size, max_tokens, pad_to_multiple, bucket_batches: as `length_batches`.

    Attributes:
        with_answer, without_answer: windows of each kind in an epoch.

    Raises:
        ValueError: there is no window to train on.

    Example:
        >>> from lhy_lightning import QuestionAnsweringDataModule, QuestionBatches
        >>> sizes = {"max_length": 64, "max_question_length": 16, "window_overlap": 8}
        >>> data = QuestionAnsweringDataModule("embedded:questions", vocab_size=500, **sizes)
        >>> data.setup("fit")
        embedded:questions, scored as squad: 10,000 ...
        >>> isinstance(data.train_dataloader().sampler, QuestionBatches)
        True
    """

    def __init__(
        self,
        maker: WindowMaker,
        answers: AnswerTokens,
        use: np.ndarray,
        *,
        position: Position = "random",
        no_answer_share: float = 0.0,
        unanswerable: bool = False,
        batch_size: int = 16,
        max_tokens: int | None = None,
        pad_to_multiple: int = 8,
        bucket_batches: int = 50,
    ) -> None:
        self.position, self.answers, self.room = position, answers, maker.room
        self.holding = places_with_answer(answers, maker.lengths, maker.room)
        self.lacking = places_without_answer(answers, maker.lengths, maker.room)
        answered = np.flatnonzero(use & (self.holding.number > 0))
        long = np.flatnonzero(use & answers.found & (self.lacking.number > 0))
        wanted = round(len(answered) * no_answer_share / (1 - no_answer_share)) if len(long) else 0
        extra = np.resize(shuffled(long, WINDOWS), wanted)
        impossible = np.flatnonzero(use & answers.impossible) if unanswerable else extra[:0]
        self.with_answer, self.without_answer = len(answered), len(extra) + len(impossible)
        self.question = np.concatenate([answered, extra, impossible])
        if not len(self.question):
            longest = int((answers.last - answers.first + 1).max(initial=0))
            raise ValueError(
                f"no training question has an answer that fits into a window: {int(answers.found.sum()):,} of "
                f"{len(answers.found):,} have an answer, the longest of {longest} tokens, and a window has "
                f"{int(maker.room.max(initial=0))} tokens of the paragraph: raise max_length and window."
            )
        super().__init__(len(self.question), 1)
        lengths = maker.added + maker.question_lengths + np.minimum(maker.room, maker.lengths)
        self.batches = length_batches(
            lengths[self.question],
            batch_size=batch_size,
            max_tokens=max_tokens,
            pad_to_multiple=pad_to_multiple,
            bucket_batches=bucket_batches,
        )

    def __len__(self) -> int:
        return len(self.batches)

    def firsts(self, epoch: int) -> np.ndarray:
        """The first token of every window of an epoch: (rows,) int64."""
        uniform = np.random.Generator(np.random.PCG64(derive_seed(run_seed(), epoch, WINDOWS))).random(self.rows)
        holding, lacking = self.question[: self.with_answer], self.question[self.with_answer :]
        if self.position == "centre":
            first = centred(self.answers, self.room, self.holding)[holding]
        else:
            first = self.holding.draw(holding, uniform[: self.with_answer])
        return np.concatenate([first, self.lacking.draw(lacking, uniform[self.with_answer :])])

    def epoch_batches(self, epoch: int) -> list[Any]:
        windows = np.stack([self.question, self.firsts(epoch)], axis=1)
        return [windows[rows].tolist() for rows in self.batches.epoch_batches(epoch)]
