"""The sentences of every split of a translation corpus: read, cleaned, divided without leaks. No ids yet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from lhy_lightning.data.sources.utf8_files import open_lines
from lhy_lightning.data.texts.cleaning import CLEANING, Cleaned, clean_pairs
from lhy_lightning.data.texts.leak_free_splits import hold_out_pairs, remove_leaks
from lhy_lightning.data.texts.row_splits import TextReading, predict_file
from lhy_lightning.data.translation.back_translation import open_back_translated
from lhy_lightning.data.translation.parallel_files import open_parallel
from lhy_lightning.data.translation.parallel_tables import ParallelText


@dataclass(frozen=True)
class Reading(TextReading):
    """What to read and how: as the arguments of `ParallelTextDataModule` of the same names."""

    source_lang: str
    target_lang: str
    source_column: str | None
    target_column: str | None
    reverse: bool
    cleaning: tuple[str, ...]
    max_ratio: float
    min_words: int
    max_words: int
    drop_leaks: bool


@dataclass(frozen=True)
class TextSplit:
    """The rows of one split.

    Attributes:
        lines, references: N source and target lines as they are in the file; references are None where there are none.
        source, target: the same, cleaned.
    """

    lines: list[str]
    references: list[str] | None
    source: list[str]
    target: list[str] | None

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Sequence[int]) -> "TextSplit":
        def taken(side: list[str]) -> list[str]:
            return [side[row] for row in rows]

        return TextSplit(
            taken(self.lines),
            None if self.references is None else taken(self.references),
            taken(self.source),
            None if self.target is None else taken(self.target),
        )


class TranslationTexts:
    """Reads what is asked for, when it is asked for: prediction needs no training corpus.

    Args:
        how: what to read and how.
        report: is told, a sentence at a time, what was dropped or moved.

    Attributes:
        source_lang, target_lang: of the direction that is trained.
    """

    def __init__(self, how: Reading, report: Callable[[str], None]) -> None:
        self.how, self.report = how, report
        languages = (how.source_lang, how.target_lang)
        self.source_lang, self.target_lang = languages[::-1] if how.reverse else languages

    # --- what there is ---------------------------------------------------------------------------------------------

    @cached_property
    def has_test(self) -> bool:
        return self._handed("test") is not None or self.how.test_fraction > 0

    @cached_property
    def test_labelled(self) -> bool:
        """Whether the test lines have references: not where every one is a placeholder."""
        test = self._handed("test")
        if test is None:
            return self.how.test_fraction > 0
        return test.target is not None and not test.placeholder

    def split(self, name: str) -> TextSplit:
        """`train`, `val`, `test` or `predict`.

        Raises:
            ValueError: there is no such split, or nothing is left of it.
        """
        if name == "predict":
            return self._predict
        handed = self._handed(name) if name != "train" else None
        if handed is not None:
            return self._whole(name)
        splits = self._divided
        if name not in splits:
            raise ValueError(
                f"{self.how.source} has no {name} split: set --data.{name}_source or --data.{name}_fraction."
            )
        return splits[name]

    def check_all(self) -> None:
        """Reads what is needed only after training, so that a fault in it is known before.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it cannot be read.
        """
        if self._handed("test") is not None:
            self._whole("test")
        if self.how.predict_source is not None:
            predict_file(self.how.predict_source)

    # --- reading ---------------------------------------------------------------------------------------------------

    @cache  # noqa: B019  (lives as long as its data module)
    def _opened(self, source: str) -> dict[str, ParallelText]:
        how = self.how
        found = open_parallel(
            source,
            source_lang=how.source_lang,
            target_lang=how.target_lang,
            source_column=how.source_column,
            target_column=how.target_column,
        )
        return {str(name): text for name, text in found.items()}

    @cache  # noqa: B019
    def _handed(self, name: str) -> ParallelText | None:
        """A split as its file has it, sides swapped with `reverse`; None where the source has none."""
        apart = {"val": self.how.val_source, "test": self.how.test_source}.get(name)
        if apart is None:
            text = self._opened(self.how.source).get(name)
        else:
            splits = self._opened(apart)
            text = splits.get(name) or (next(iter(splits.values())) if len(splits) == 1 else None)
            if text is None:
                raise ValueError(f"{name}_source={apart!r} has the splits {', '.join(splits)}: which? Name one file.")
        if text is None or not self.how.reverse:
            return text
        if text.target is None or text.placeholder:
            self.report(f"{text.origin} has nothing to translate from in this direction: no {name} split.")
            return None
        return replace(text, source=text.target, target=text.source)

    def _cleaned(self, source: Sequence[str], target: Sequence[str] | None, *, keep_all: bool) -> Cleaned:
        how = self.how
        return clean_pairs(
            source,
            target,
            self.source_lang,
            self.target_lang,
            how.cleaning,
            min_length=how.min_words,
            max_length=how.max_words,
            max_ratio=how.max_ratio,
            keep_all=keep_all,
        )

    @cache  # noqa: B019
    def _whole(self, name: str) -> TextSplit:
        """A handed split with every row: what is tested on is cleaned and never dropped."""
        text = self._handed(name)
        assert text is not None
        references = None if text.placeholder else text.target
        if name == "val" and references is None:
            raise ValueError(f"{text.origin}: validation sentences need translations.")
        cleaned = self._cleaned(text.source, references, keep_all=True)
        return TextSplit(text.source, references, cleaned.source, cleaned.target)

    @cached_property
    def _predict(self) -> TextSplit:
        if self.how.predict_source is None:
            return self.split("test")
        lines = open_lines(self.how.predict_source)
        if not lines:
            raise ValueError(f"{self.how.predict_source} has no lines.")
        return TextSplit(lines, None, self._cleaned(lines, None, keep_all=True).source, None)

    # --- dividing --------------------------------------------------------------------------------------------------

    def _filtered(self, what: str, origin: str, lines: Sequence[str], references: Sequence[str]) -> TextSplit:
        """Training rows: those that no filter drops.

        Raises:
            ValueError: none is left.
        """
        cleaned = self._cleaned(lines, references, keep_all=False)
        changed = {name: count for name, count in cleaned.counts.items() if name in CLEANING}
        dropped = _listed({name: count for name, count in cleaned.counts.items() if name not in CLEANING})
        if not cleaned.source:
            raise ValueError(
                f"{origin}: nothing is left of {len(lines):,} {what} rows after filtering ({dropped}). Are these the "
                f"two languages, in this order: {lines[0][:40]!r} and {references[0][:40]!r}? If so, change "
                "--data.max_ratio, --data.min_words or --data.max_words."
            )
        if any(changed.values()):
            self.report(f"Cleaning changed {what} lines: {_listed(changed)}.")
        if dropped:
            self.report(f"{len(lines) - len(cleaned.source):,} of {len(lines):,} {what} rows dropped: {dropped}.")
        kept = [references[row] for row in cleaned.rows]
        equal = [one for one, other in zip(cleaned.source, cleaned.target or kept, strict=True) if one == other]
        if 2 * len(equal) > len(kept):
            self.report(
                f"{len(equal):,} of {len(kept):,} {what} rows are the same on both sides, such as {equal[0][:40]!r}."
            )
        return TextSplit([lines[row] for row in cleaned.rows], kept, cleaned.source, cleaned.target)

    @cached_property
    def _divided(self) -> dict[str, TextSplit]:
        """Training rows, and what is held out of them where the source hands out no such split."""
        how, text = self.how, self._handed("train")
        if text is not None and text.target is not None and text.placeholder:
            raise ValueError(
                f"{how.source} has no sentence pairs to train on: all targets are {text.target[0][:40]!r}."
            )
        if text is None or text.target is None:
            raise ValueError(f"{how.source} has no sentence pairs to train on.")
        splits = {"train": self._filtered("training", text.origin, text.source, text.target)}
        if how.drop_leaks:
            splits["train"] = self._without_leaks("training", splits["train"], self._evaluated)
        for stream, (name, fraction) in enumerate((("test", how.test_fraction), ("val", how.val_fraction))):
            if self._handed(name) is None and fraction > 0:
                self._hold_out(splits, name, fraction, stream)
        return splits

    @property
    def _evaluated(self) -> list[TextSplit]:
        return [self._whole(name) for name in ("val", "test") if self._handed(name) is not None]

    def synthetic(self, path: str) -> TextSplit:
        """Back-translated rows, filtered as training rows are; none has a sentence of validation or test.

        Args:
            path: of their file, see `open_back_translated`.
        """
        pairs = open_back_translated(path, source_lang=self.source_lang, target_lang=self.target_lang)
        split = self._filtered("back-translated", pairs.origin, pairs.source, pairs.target)
        held_out = [self._divided[name] for name in ("val", "test") if name in self._divided]
        return self._without_leaks("back-translated", split, self._evaluated + held_out)

    def _hold_out(self, splits: dict[str, TextSplit], name: str, fraction: float, stream: int) -> None:
        """Moves a share of the training rows into a split of their own."""
        train, how = splits["train"], self.how
        assert train.target is not None
        share = fraction if name == "test" or "test" not in splits else fraction / (1 - how.test_fraction)
        divided = hold_out_pairs(train.source, train.target, share, how.split_seed + stream)
        splits[name] = train.take(np.flatnonzero(divided.held).tolist())
        splits["train"] = train.take(np.flatnonzero(~divided.held).tolist())
        if divided.moved:
            self.report(f"{divided.moved:,} rows moved, as they share a sentence across training and {name} rows.")

    def _without_leaks(self, what: str, split: TextSplit, others: list[TextSplit]) -> TextSplit:
        """Drops the rows that share a source or target sentence with rows that are evaluated."""
        assert split.target is not None
        found = remove_leaks(split.source, split.target, [(other.source, other.target) for other in others])
        if not found.dropped:
            return split
        counts = {"pair": found.same_pair, "source": found.same_source, "target": found.same_target}
        self.report(
            f"{found.dropped:,} {what} rows dropped that share a sentence with validation or test ({_listed(counts)})."
        )
        if not found.keep.any():
            raise ValueError(f"all {len(split):,} {what} rows share a sentence with validation or test rows.")
        return split.take(np.flatnonzero(found.keep).tolist())


def _listed(counts: dict[str, int]) -> str:
    """`3 too long, 1 ratio`; what did not occur is left out."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
