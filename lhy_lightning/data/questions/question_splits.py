"""The questions of every split: read, and divided so that no paragraph is in two of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from lhy_lightning.data.questions.question_files import open_question_file, open_questions
from lhy_lightning.data.questions.question_set import QuestionSet
from lhy_lightning.data.splits import held_out
from lhy_lightning.data.texts.row_splits import TextReading, predict_file


@dataclass(frozen=True)
class QuestionReading(TextReading):
    """What to read and how to divide it: as the arguments of `QuestionAnsweringDataModule` of the same names."""

    drop_leaks: bool


class QuestionSplits:
    """Reads what is asked for, when it is asked for: prediction needs no training data.

    Args:
        how: what to read and how to divide it.
        report: is told, a sentence at a time, what was dropped.
    """

    def __init__(self, how: QuestionReading, report: Callable[[str], None]) -> None:
        self.how, self.report = how, report

    @cached_property
    def has_test(self) -> bool:
        return self._handed("test") is not None or self.how.test_fraction > 0

    @cached_property
    def test_labelled(self) -> bool:
        """Whether any answer of the test questions is known."""
        test = self._handed("test")
        return self.how.test_fraction > 0 if test is None else test.labelled

    def split(self, name: str) -> QuestionSet:
        """`train`, `val`, `test` or `predict`.

        Raises:
            ValueError: there is no such split, or nothing is left of it.
        """
        if name == "predict":
            return self._predict
        handed = self._handed(name) if name != "train" else None
        if handed is not None:
            if name == "val" and not handed.labelled:
                raise ValueError(
                    f"{handed.origin}: no answer of its {len(handed):,} questions is known, and validation needs them: "
                    "name a file with answers by --data.val_source."
                )
            return handed
        if name not in self._divided:
            raise ValueError(
                f"{self.how.source} has no {name} split: set --data.{name}_source or --data.{name}_fraction."
            )
        return self._divided[name]

    def check_scored(self, name: str) -> None:
        """Refuses to score questions none of whose answers is known, before anything is read by a network.

        Raises:
            ValueError: no answer of the split is known.
        """
        questions = self.split(name)
        if not questions.labelled:
            raise ValueError(
                f"{questions.origin}: no answer of its {len(questions):,} questions is known, so there is nothing to "
                f"score: `lhy predict` writes the answers; to score others name a file with answers by "
                f"--data.{name}_source."
            )

    def check_all(self) -> None:
        """Reads what is needed only after training, so that a fault in it is known before.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it cannot be read.
        """
        self._handed("test")
        if self.how.predict_source is not None:
            predict_file(self.how.predict_source)

    # --- reading ---------------------------------------------------------------------------------------------------

    @cache  # noqa: B019  (lives as long as its data module)
    def _opened(self, source: str) -> dict[str, QuestionSet]:
        return {str(name): found for name, found in open_questions(source).items()}

    @cache  # noqa: B019
    def _handed(self, name: str) -> QuestionSet | None:
        """A split as its source has it; None where there is none."""
        found = self._found(name)
        if found is not None and name == "test":
            found.check_ids()
        return found

    def _found(self, name: str) -> QuestionSet | None:
        apart = {"val": self.how.val_source, "test": self.how.test_source}.get(name)
        if apart is None:
            return self._opened(self.how.source).get(name)
        splits = self._opened(apart)
        found = splits.get(name) or (next(iter(splits.values())) if len(splits) == 1 else None)
        if found is None:
            raise ValueError(f"{name}_source={apart!r} has the splits {', '.join(splits)}: which? Name one file.")
        return found

    @cached_property
    def _predict(self) -> QuestionSet:
        source = self.how.predict_source
        if source is None:
            if not self.has_test:
                there = ", ".join(sorted(self._opened(self.how.source)))
                raise ValueError(
                    f"{self.how.source} has no test questions to answer, only {there}: name the file of questions by "
                    "--data.predict_source."
                )
            return self.split("test")
        found = open_question_file(predict_file(source))
        found.check_ids()
        return found

    # --- dividing --------------------------------------------------------------------------------------------------

    @cached_property
    def _divided(self) -> dict[str, QuestionSet]:
        """Training questions, and what is held out of them where the source hands out no such split."""
        how, train = self.how, self._handed("train")
        if train is None:
            there = ", ".join(sorted(self._opened(how.source)))
            raise ValueError(
                f"{how.source} has no training questions, only {there}: --data.source takes a folder with a file such "
                "as hw7_train.json or train.json, or the file itself."
            )
        if not train.labelled:
            raise ValueError(
                f"{train.origin}: no answer of its {len(train):,} questions is known, so there is nothing to train on: "
                "training takes a file with answers, such as hw7_train.json."
            )
        if how.drop_leaks:
            train = self._without_leaks(train)
        splits = {"train": train}
        for stream, (name, fraction) in enumerate((("test", how.test_fraction), ("val", how.val_fraction))):
            if self._handed(name) is None and fraction > 0:
                rest = splits["train"]
                share = fraction / (1 - how.test_fraction) if "test" in splits else fraction
                paragraph = np.array([question.paragraph for question in rest.questions])
                held = held_out(np.zeros(len(rest), dtype=np.int64), paragraph, share, how.split_seed, stream=stream)
                splits[name] = rest.take(np.flatnonzero(held).tolist())
                splits["train"] = rest.take(np.flatnonzero(~held).tolist())
                self.report(f"{how.source} has no {name} questions of its own: {fraction:.0%} of training held out.")
                if not len(splits["train"]) or not len(splits[name]):
                    raise ValueError(
                        f"{train.origin} has too few paragraphs to hold out {fraction:.0%} of its questions as {name} "
                        f"split: set --data.{name}_source, or --data.{name}_fraction to another share."
                    )
        return splits

    def _without_leaks(self, train: QuestionSet) -> QuestionSet:
        """Drops training questions about a paragraph that is evaluated on."""
        evaluated = {
            paragraph
            for name in ("val", "test")
            if (handed := self._handed(name)) is not None
            for paragraph in handed.paragraphs
        }
        kept = [row for row, q in enumerate(train.questions) if train.paragraphs[q.paragraph] not in evaluated]
        if len(kept) == len(train):
            return train
        dropped = len(train) - len(kept)
        self.report(f"{dropped:,} training questions dropped whose paragraph is in validation or test.")
        if not kept:
            raise ValueError(f"all {len(train):,} training questions are about paragraphs of validation or test.")
        return train.take(kept)
