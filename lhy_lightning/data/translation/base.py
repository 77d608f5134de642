"""What data modules of sentence pairs share: which languages, how pairs are read, cleaned and divided."""

from dataclasses import replace

from lhy_lightning.core.arguments.ranges import COUNT, NOT_NEGATIVE, Range, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.texts.base import AllTextArguments, CourseTextDataModule, TextArguments
from lhy_lightning.data.translation.translation_texts import Reading, TranslationTexts


class ParallelTextArguments(TextArguments, total=False):
    """Arguments of `ParallelTextDataModule` that those built on it hand on as they are."""

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
    vocab_size: int


class ParallelTextDataModule(CourseTextDataModule):
    """Base of the data modules of sentence pairs: read, cleaned, divided so that no sentence is on two sides.

    Args:
        source: `embedded:cldr` (dates and amounts), `embedded:names`, `embedded:lists`; a folder with `train` or `raw`,
            `val` and `test` files of two languages (`raw.en`, `raw.zh.gz` …); their common prefix; a tab-separated,
            csv, json, jsonl or parquet file; a hub id. `test_source` may have source lines alone, and `predict_source`
            takes a text file of one sentence a line, plain or .gz.
        source_lang: language to translate from, as the files end or the columns are called.
        target_lang: language to translate into.
        source_column: column of the source sentences in a table; by language if not given.
        target_column: column of the target sentences.
        reverse: swap the two sides right after reading: the model that back-translates.
        cleaning: names of cleaning steps (`lhy_lightning.data.texts.cleaning`) for both sides of every split; the
            homework's recipes name all of them. References stay untouched.
        max_ratio: training rows whose longer side has more than so many times the words of the shorter are dropped.
        min_words: training rows with fewer words (characters in Chinese) on a side are dropped.
        max_words: the same with more.
        drop_leaks: drop training rows that share a sentence with a validation or test split that is given.
        arguments: as `CourseTextDataModule`.

    Attributes:
        source_lang, target_lang: of the direction that is trained, so swapped with `reverse`.
        cleaning: names of the cleaning steps.
        has_test: whether there is a test split.
        test_labelled: whether it has references: not without targets, nor where all are one placeholder.
    """

    split_settings: tuple[str, ...] = (
        *CourseTextDataModule.split_settings, "source_lang", "target_lang", "source_column", "target_column",
        "reverse", "cleaning", "max_ratio", "min_words", "max_words", "drop_leaks",
    )  # fmt: skip

    argument_ranges = ranges(max_ratio=Range(at_least=1), min_words=NOT_NEGATIVE, max_words=COUNT)

    def __init__(
        self,
        source: str,
        *,
        source_lang: str = "en",
        target_lang: str = "zh",
        source_column: str | None = None,
        target_column: str | None = None,
        reverse: bool = False,
        cleaning: tuple[str, ...] = (),
        max_ratio: float = 9.0,
        min_words: int = 1,
        max_words: int = 1000,
        drop_leaks: bool = True,
        **arguments: Unpack[AllTextArguments],
    ) -> None:
        super().__init__(source, **arguments)
        self.cleaning = tuple(cleaning)
        self.source_lang, self.target_lang = (target_lang, source_lang) if reverse else (source_lang, target_lang)
        self._texts: TranslationTexts | None = None

    def read(self) -> TranslationTexts:
        """The texts of the sources, which are read when they are asked for, each once."""
        if self._texts is None:
            how = replace(self.settings_of(Reading), cleaning=self.cleaning)
            self._texts = TranslationTexts(how, self._summary.append)
        return self._texts

    @property
    def has_test(self) -> bool:
        return self._read().has_test

    @property
    def test_labelled(self) -> bool:
        return self._read().test_labelled

    def _read(self) -> TranslationTexts:
        if self._texts is None:
            raise RuntimeError("nothing read yet: call setup first.")
        return self._texts
