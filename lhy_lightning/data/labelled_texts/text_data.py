"""`TextDataModule`: texts, or pairs of texts, with a class or a number each, in batches of like length."""

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.controls import Control, most_frequent_class
from lhy_lightning.data.labelled_texts.base import LabelledTextDataModule, Rows
from lhy_lightning.data.labelled_texts.label_checks import (
    check_pairs,
    check_variety,
    coded_labels,
    describe_labels,
    told_twofold,
    with_gold,
    without_labels,
)
from lhy_lightning.data.labelled_texts.labelled_files import (
    TABBED,
    Task,
    class_names_of,
    open_labelled_text,
    open_text_file,
    read_as_training,
)
from lhy_lightning.data.labelled_texts.records import LabelledText
from lhy_lightning.data.labelled_texts.text_batches import TextBatches
from lhy_lightning.data.sources.column_files import tabbed_rows, usual_width
from lhy_lightning.data.texts.base import SplitName
from lhy_lightning.data.texts.encoded_texts import EncodedTexts
from lhy_lightning.data.texts.encoder_base import AllEncoderTextArguments, EncoderTextDataModule, unknown_share
from lhy_lightning.data.texts.row_splits import predict_file
from lhy_lightning.data.texts.text_sources import Split


class TextDataModule(LabelledTextDataModule[LabelledText, TextBatches]):
    """Labelled texts, or pairs of texts, from files, tables, the hub, questions or an embedded set.

    Rows that share a text (with `task="answer_sentences"` a paragraph) are on one side of the splits that are made
    here; rows that occur both in training and in a given split are counted and reported. Rows of more than `max_length`
    tokens, special ones included, are cut, of pairs the longer text first.

    Args:
        source: `embedded:reviews` (positive or negative), `embedded:reviews_zh`, or with `task="answer_sentences"`
            `embedded:questions`; a folder with `train.tsv`, `dev.tsv`, `test.tsv`; a tab-separated file with a header,
            or without one (text, second text where there are three columns, label); a csv, json, jsonl or parquet
            table; a hub id. `predict_source` takes a file of texts to label, one a line (pairs: a tab between), or any
            table.
        text_column: column of the text: its name, or in a tab-separated file its place (0, 1, …); found by the usual
            names if not given, as the next two.
        pair_column: column of the second text of pairs.
        label_column: column of the label.
        task: "rows" are taken as they are; "answer_sentences" makes balanced pairs of a question and a sentence of its
            paragraph out of questions in SQuAD's, DRCD's, CMRC's or homework 7's form: does it hold the answer?
        regression: labels are numbers to come close to, not classes.
        arguments: as `EncoderTextDataModule`.

    Attributes:
        class_names: names of the classes, in order; None with `regression`.
        pairs: whether rows have two texts.

    Example:
        >>> from lhy_lightning import TextDataModule
        >>> data = TextDataModule("embedded:reviews", vocab_size=300, batch_size=4)
        >>> data.setup("fit")
        embedded:reviews/train: 2 classes in 6,000 ...
        >>> data.class_names
        ('negative', 'positive')
    """

    split_settings: tuple[str, ...] = (
        *EncoderTextDataModule.split_settings, "text_column", "pair_column", "label_column", "task", "regression",
    )  # fmt: skip

    def __init__(
        self,
        source: str = "embedded:reviews",
        *,
        text_column: str | None = None,
        pair_column: str | None = None,
        label_column: str | None = None,
        task: Task = "rows",
        regression: bool = False,
        **arguments: Unpack[AllEncoderTextArguments],
    ) -> None:
        super().__init__(source, **arguments)
        self.regression = regression
        self.class_names: tuple[str, ...] | None = None
        self.pairs: bool | None = None
        self._classes: tuple[str, ...] | None = None

    # --- reading ---------------------------------------------------------------------------------------------------

    @property
    def label_names(self) -> tuple[str, ...] | None:
        return self.class_names

    @property
    def test_labelled(self) -> bool:
        return self._read()["test"].labels is not None

    def learn(self, known: Mapping[str, Any]) -> None:
        names, pairs = self._known_classes(), known.get("pairs")
        if pairs is None:  # a module that has been trained knows both, and need not have its training rows at hand
            train = self._undivided().get("train")
            pairs = None if train is None else train.second is not None
            names = names or self._classes
        self.class_names, self.pairs = names, pairs

    def _known_classes(self) -> tuple[str, ...] | None:
        """The classes of a module that has been trained, or was given them."""
        names = getattr(getattr(self.trainer, "lightning_module", None), "hparams", {}).get("class_names")
        return None if names is None else tuple(map(str, names))

    def open_source(self, source: str) -> dict[Split, LabelledText]:
        given = self._args
        columns = (given.text_column, given.pair_column, given.label_column)
        return open_labelled_text(source, task=given.task, columns=columns)

    def taken(self, texts: dict[Split, LabelledText]) -> dict[Split, LabelledText]:
        """The splits without the rows that no gold label is known of."""
        if (train := texts.get("train")) is not None:
            texts = {role: read_as_training(text, train) for role, text in texts.items()}
            self._classes = None if self.regression else class_names_of(train)
        classes = self._known_classes() or self._classes
        return {role: with_gold(text, role, classes, self._warn_once) for role, text in texts.items()}

    def check_all(self) -> None:
        """Finds what can be seen in the files before training, in every split, and tells of the labels.

        Raises:
            ValueError: a label that is no class or number, no labels, all training rows of one class, splits of other
                columns.
        """
        for role, text in self._undivided().items():
            check_pairs(text, self.pairs)
            labels = self._labels(text, role)
            if labels is None and role != "test":
                raise ValueError(without_labels(text))
            if labels is not None and role == "train":
                check_variety(labels, text.origin, self.class_names)
        if self.predict_source is not None:
            predict_file(self.predict_source)
        if (train := self._read().get("train")) is not None:
            labels = self._labels(train, "train")
            assert labels is not None
            told, doubts = describe_labels(labels, self.class_names)
            self._tell(f"{train.origin}: {told}.")
            if self.class_names is not None and (twofold := told_twofold(train, labels)):
                doubts.append(twofold)
            for doubt in doubts:
                self._warn_once(f"{train.origin}: {doubt}.")

    def together(self, text: LabelledText) -> tuple[list[str], list[str] | None]:
        return (text.first, text.second) if text.groups is None else (text.groups, None)

    def compared(self, text: LabelledText) -> Iterable[Hashable]:
        return zip(text.first, text.second or text.first, strict=True)

    def trained_on(self, train: LabelledText) -> LabelledText:
        """Rows that have a text."""
        full = [row for row, text in enumerate(train.first) if text.strip()]
        if len(full) == len(train):
            return train
        if not full:
            raise ValueError(f"{train.origin}: every text is empty.")
        self._summary.append(f"{len(train) - len(full):,} training rows without text left out.")
        return train.take(full)

    def training_texts(self) -> list[str]:
        train = self._read().get("train")
        if train is None:
            raise ValueError("there are no training texts to train a tokenizer on: set --data.tokenizer_file.")
        return [*train.first, *(train.second or [])]

    def open_to_predict(self, path: Path) -> LabelledText:
        """Texts alone; a text file of one column or, for pairs, two is read as that and not as text and label."""
        columns: tuple[str | None, str | None, None] = (self._args.text_column, self._args.pair_column, None)
        tabbed = Path(path.name.removesuffix(".gz")).suffix.lower() in TABBED
        if columns == (None, None, None) and tabbed and usual_width(tabbed_rows(path)) == 1 + bool(self.pairs):
            columns = ("0", "1" if self.pairs else None, None)
        found = open_text_file(path, columns)
        found.labels = None
        if (found.second is not None) != bool(self.pairs):
            needed = "pairs of texts" if self.pairs else "single texts"
            raise ValueError(f"{path} does not hold {needed}, which this model takes: see --data.pair_column.")
        return found

    # --- batches ---------------------------------------------------------------------------------------------------

    def tokenise(self, name: SplitName, text: LabelledText) -> Rows[LabelledText, TextBatches]:
        labels = self._labels(text, name)
        if name in ("train", "val") and labels is None:
            raise ValueError(without_labels(text))
        texts = list(dict.fromkeys([*text.first, *(text.second or [])]))  # a text of many pairs is tokenised once
        place = {value: number for number, value in enumerate(texts)}
        stored = EncodedTexts(texts, self.tokenizer, folder=self._folder)
        first = np.array([place[value] for value in text.first], dtype=np.int64)
        second = None if text.second is None else np.array([place[value] for value in text.second], dtype=np.int64)
        batches = TextBatches(
            stored.ids, first, second, labels, self.tokenizer, max_length=self.max_length,
            pad_to_multiple=self._args.pad_to_multiple, index=name != "train",
        )  # fmt: skip
        unknown = unknown_share(stored.ids.values, self.tokenizer)
        self.check_unknown(name, unknown)
        told = f" ({text.told})" if text.told else ""
        self._summary.append(
            f"{len(text):,} {name} rows{told}, {batches.lengths.mean():.1f} tokens a row, {unknown:.2%} unknown"
            + (f", {batches.cut:,} cut to {self.max_length}." if batches.cut else ".")
        )
        return Rows(text, batches)

    def _labels(self, text: LabelledText, name: SplitName) -> np.ndarray | None:
        """(N,) float32 numbers or int64 places in `class_names`; NaN or -1 for test rows without a gold label.

        Raises:
            ValueError: a label that is no number, or no class of the training rows.
        """
        if text.labels is None or name == "predict":
            return None
        if not self.regression and self.class_names is None:
            raise ValueError(f"{text.origin}: the classes are not known; fit, or load a checkpoint, first.")
        return coded_labels(text, None if self.regression else self.class_names)

    # --- what others ask -------------------------------------------------------------------------------------------

    def texts(self, split: SplitName) -> tuple[list[str], list[str] | None]:
        """First and second texts of a split, by `index`."""
        opened = self._open(split).text
        return opened.first, opened.second

    def control(self, split: str) -> Control | None:
        train, scored = self._read().get("train"), self._read().get(cast(Split, split))
        if self.regression or self.class_names is None or train is None or scored is None:
            return None
        known, truth = self._labels(train, "train"), self._labels(scored, cast(SplitName, split))
        if known is None or truth is None:
            return None
        helps = (
            "train longer (--trainer.max_epochs), try another --model.lr, or take a trained encoder (--model.encoder)"
        )
        return most_frequent_class(known, truth, self.class_names, helps)
