"""`TextDataModule`: texts, or pairs of texts, with a class or a number each, in batches of like length."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from torch.utils.data import DataLoader

from lhy_lightning.data.base import ResumableLoader
from lhy_lightning.data.controls import Control, most_frequent_class
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
    Split,
    Task,
    class_names_of,
    open_labelled_text,
    open_text_file,
    read_as_training,
)
from lhy_lightning.data.labelled_texts.records import LabelledText
from lhy_lightning.data.labelled_texts.text_batches import TextBatches
from lhy_lightning.data.sequences.length_batches import LengthEvalBatches, length_batches
from lhy_lightning.data.sequences.ragged import text_cache_folder
from lhy_lightning.data.sources.column_files import tabbed_rows, usual_width
from lhy_lightning.data.texts.base import SPLITS, CourseTextDataModule, SplitName, check_fractions, unknown_share
from lhy_lightning.data.texts.encoded_texts import EncodedTexts
from lhy_lightning.data.texts.row_splits import hold_out, predict_file, read_splits, shared_with_training, split_of
from lhy_lightning.data.tokenizers.encoder_choice import TokenizerChoice
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer


@dataclass(frozen=True)
class Rows:
    """One split, tokenised.

    Attributes:
        text: its rows.
        batches: makes its batches.
    """

    text: LabelledText
    batches: TextBatches


class TextDataModule(CourseTextDataModule):
    """Labelled texts, or pairs of texts, from files, tables, the hub, questions or an embedded set.

    Rows that share a text (with `task="answer_sentences"` a paragraph) are on one side of the splits that are made
    here; rows that occur both in training and in a given split are counted and reported.

    Args:
        source: `embedded:reviews` (positive or negative), `embedded:reviews_zh`, or with `task="answer_sentences"`
            `embedded:questions`; a folder with `train.tsv`, `dev.tsv`, `test.tsv`; a tab-separated file with a header,
            or without one (text, second text where there are three columns, label); a csv, json, jsonl or parquet
            table; a hub id.
        val_source: validation rows from elsewhere.
        test_source: test rows from elsewhere.
        predict_source: a file of texts to label, one a line (pairs: a tab between), or any table; the test split if not
            given.
        text_column: column of the text: its name, or in a tab-separated file its place (0, 1, …); found by the usual
            names if not given, as the next two.
        pair_column: column of the second text of pairs.
        label_column: column of the label.
        task: "rows" are taken as they are; "answer_sentences" makes balanced pairs of a question and a sentence of its
            paragraph out of questions in SQuAD's, DRCD's, CMRC's or homework 7's form: does it hold the answer?
        regression: labels are numbers to come close to, not classes.
        val_fraction: share of the training rows held out where the source has no validation split.
        test_fraction: the same for a test split; 0 for none.
        split_seed: of the splits made here; the same number, the same rows, on every machine.
        tokenizer_file: hub id or folder of a tokenizer; the encoder's own if not given, and a new one where the encoder
            is trained from scratch.
        vocab_size: pieces of a new one.
        lowercase: whether a new one reads everything in small letters.
        max_length: tokens of a row, special ones included; longer ones are cut, of pairs the longer text first.
        batch_size: rows of a training batch and process.
        eval_batch_size: the same in evaluation.
        max_tokens: fill batches by padded tokens, rows × length, and not by rows.
        bucket_batches: how many batches' rows are sorted by length together; 0 for plain shuffling.
        pad_to_multiple: rows are padded to a multiple of it.
        num_workers: processes that make batches; 0 is fastest, as a batch takes less than a millisecond.
        cache_dir: folder for tokenised text; `~/.cache/lhy_lightning/text` if not given.

    Attributes:
        tokenizer: after `setup`; the model's own where it has been trained before.
        class_names: names of the classes, in order; None with `regression`.
        pairs: whether rows have two texts.
        max_length: see the argument.
        has_test: whether there is a test split.
        test_labelled: whether it has labels.
    """

    split_settings: tuple[str, ...] = (
        "source", "val_source", "test_source", "text_column", "pair_column", "label_column", "task", "regression",
        "val_fraction", "test_fraction", "split_seed",
    )  # fmt: skip
    order_settings: tuple[str, ...] = ("batch_size", "max_tokens", "max_length", "bucket_batches", "pad_to_multiple")
    kept_settings: tuple[str, ...] = ("tokenizer_file", "vocab_size", "lowercase")

    tokenizer: EncoderTokenizer

    def __init__(
        self,
        source: str = "embedded:reviews",
        *,
        val_source: str | None = None,
        test_source: str | None = None,
        predict_source: str | None = None,
        text_column: str | None = None,
        pair_column: str | None = None,
        label_column: str | None = None,
        task: Task = "rows",
        regression: bool = False,
        val_fraction: float = 0.1,
        test_fraction: float = 0.0,
        split_seed: int = 0,
        tokenizer_file: str | None = None,
        vocab_size: int = 8000,
        lowercase: bool = True,
        max_length: int = 128,
        batch_size: int = 32,
        eval_batch_size: int = 64,
        max_tokens: int | None = None,
        bucket_batches: int = 50,
        pad_to_multiple: int = 8,
        num_workers: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        check_fractions(val_fraction, test_fraction)
        self.regression, self.max_length = regression, max_length
        self.class_names: tuple[str, ...] | None = None
        self.pairs: bool | None = None
        self._choice = TokenizerChoice(tokenizer_file, vocab_size, lowercase)
        self._folder: Path = text_cache_folder(cache_dir)
        self._texts: dict[Split, LabelledText] | None = None
        self._source: dict[Split, LabelledText] | None = None
        self._classes: tuple[str, ...] | None = None
        self._rows: dict[SplitName, Rows] = {}
        self._made_by: tuple[str, tuple[str, ...] | None] | None = None

    # --- setup -----------------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Reads and tokenises what the stage needs; without a trainer, call it yourself.

        Raises:
            ValueError: a label that is no class or number, in whichever split, or all training rows of one class.
        """
        module = getattr(self.trainer, "lightning_module", None)
        names, pairs = self._known_classes(), getattr(module, "hparams", {}).get("pairs")
        if pairs is None:  # a module that has been trained knows both, and need not have its training rows at hand
            train = self._undivided().get("train")
            pairs = None if train is None else train.second is not None
            names = names or self._classes
        self.class_names, self.pairs = names, pairs
        if stage in (None, "fit"):
            self._check_all()
        self.tokenizer = self._choice.choose(module, self._training_texts, self._folder)
        made_by = (self.tokenizer.to_json(), self.class_names)
        if made_by != self._made_by:
            self._rows.clear()
            self._made_by = made_by
        for name in SPLITS[stage or "fit"]:
            self._open(name)
        self.say(f"{self.hparams['source']}")

    def _known_classes(self) -> tuple[str, ...] | None:
        """The classes of a module that has been trained, or was given them."""
        names = getattr(getattr(self.trainer, "lightning_module", None), "hparams", {}).get("class_names")
        return None if names is None else tuple(map(str, names))

    def _undivided(self) -> dict[Split, LabelledText]:
        """The splits as the sources hand them out, without the rows that no gold label is known of."""
        if self._source is None:
            given = self.hparams
            columns = (given["text_column"], given["pair_column"], given["label_column"])
            texts = read_splits(
                lambda source: open_labelled_text(source, task=given["task"], columns=columns),
                given["source"], val_source=given["val_source"], test_source=given["test_source"],
            )  # fmt: skip
            if (train := texts.get("train")) is not None:
                texts = {role: read_as_training(text, train) for role, text in texts.items()}
                self._classes = None if self.regression else class_names_of(train)
            classes = self._known_classes() or self._classes
            self._source = {role: with_gold(text, role, classes, self._report) for role, text in texts.items()}
        return self._source

    def _read(self) -> dict[Split, LabelledText]:
        if self._texts is None:
            self._texts = self._divided(self._undivided())
        return self._texts

    def _check_all(self) -> None:
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
        if (given := self.hparams["predict_source"]) is not None:
            predict_file(given)
        if (train := self._read().get("train")) is not None:
            labels = self._labels(train, "train")
            assert labels is not None
            told, doubts = describe_labels(labels, self.class_names)
            self._tell(f"{train.origin}: {told}.")
            if self.class_names is not None and (twofold := told_twofold(train, labels)):
                doubts.append(twofold)
            for doubt in doubts:
                self._report(f"{train.origin}: {doubt}.")

    def _divided(self, texts: dict[Split, LabelledText]) -> dict[Split, LabelledText]:
        """Holds out what the source does not bring, and counts what training shares with the other splits."""
        if "train" not in texts:
            return texts
        given = self.hparams
        texts = hold_out(
            {**texts, "train": self._without_empty(texts["train"])},
            lambda rows: (rows.first, rows.second) if rows.groups is None else (rows.groups, None),
            val_fraction=given["val_fraction"], test_fraction=given["test_fraction"], seed=given["split_seed"],
        )  # fmt: skip
        shared = shared_with_training(texts, lambda rows: zip(rows.first, rows.second or rows.first, strict=True))
        self._said += [f"{count:,} {role} rows also occur in training." for role, count in shared]
        return texts

    def _without_empty(self, train: LabelledText) -> LabelledText:
        full = [row for row, text in enumerate(train.first) if text.strip()]
        if len(full) == len(train):
            return train
        if not full:
            raise ValueError(f"{train.origin}: every text is empty.")
        self._said.append(f"{len(train) - len(full):,} training rows without text left out.")
        return train.take(full)

    def _training_texts(self) -> list[str]:
        train = self._read().get("train")
        if train is None:
            raise ValueError("there are no training texts to train a tokenizer on: set --data.tokenizer_file.")
        return [*train.first, *(train.second or [])]

    # --- splits ----------------------------------------------------------------------------------------------------

    @property
    def has_test(self) -> bool:
        return "test" in self._read()

    @property
    def test_labelled(self) -> bool:
        return self._read()["test"].labels is not None

    def _split(self, name: SplitName) -> LabelledText:
        if name == "predict":
            if (given := self.hparams["predict_source"]) is not None:
                return self._to_predict(predict_file(given))
            name = "test"
        return split_of(self._read(), name, self.hparams["source"])

    def _to_predict(self, path: Path) -> LabelledText:
        """Texts alone; a text file of one column or, for pairs, two is read as that and not as text and label."""
        given = self.hparams
        columns = (given["text_column"], given["pair_column"], None)
        tabbed = Path(path.name.removesuffix(".gz")).suffix.lower() in TABBED
        if columns == (None, None, None) and tabbed and usual_width(tabbed_rows(path)) == 1 + bool(self.pairs):
            columns = ("0", "1" if self.pairs else None, None)
        found = open_text_file(path, columns)
        found.labels = None
        if (found.second is not None) != bool(self.pairs):
            needed = "pairs of texts" if self.pairs else "single texts"
            raise ValueError(f"{path} does not hold {needed}, which this model takes: see --data.pair_column.")
        return found

    def _open(self, name: SplitName) -> Rows:
        if name not in self._rows:
            text = self._split(name)
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
                pad_to_multiple=self.hparams["pad_to_multiple"], index=name != "train",
            )  # fmt: skip
            self._rows[name] = Rows(text, batches)
            unknown = unknown_share(stored.ids.values, self.tokenizer)
            self.check_unknown(name, unknown, self._choice, self._training_texts)
            told = f" ({text.told})" if text.told else ""
            self._said.append(
                f"{len(text):,} {name} rows{told}, {batches.lengths.mean():.1f} tokens a row, {unknown:.2%} unknown"
                + (f", {batches.cut:,} cut to {self.max_length}." if batches.cut else ".")
            )
        return self._rows[name]

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

    # --- loaders ---------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> ResumableLoader:
        given, batches = self.hparams, self._open("train").batches
        sampler = length_batches(
            batches.lengths, batch_size=given["batch_size"], max_tokens=given["max_tokens"],
            pad_to_multiple=given["pad_to_multiple"], bucket_batches=given["bucket_batches"],
        )  # fmt: skip
        return self.train_loader(batches, sampler, num_workers=given["num_workers"])

    def rows_once(self, name: SplitName) -> DataLoader:
        given, batches = self.hparams, self._open(name).batches
        sampler = LengthEvalBatches(
            batches.lengths, given["eval_batch_size"], pad_to_multiple=given["pad_to_multiple"], split=name
        )
        return self.loader(batches, sampler, num_workers=given["num_workers"])
