"""`TaggingDataModule`: sentences with a tag for each word, tokenised once, in batches of like length."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from torch.utils.data import DataLoader

from lhy_lightning.data.base import ResumableLoader
from lhy_lightning.data.class_counts import describe_classes, doubtful_classes
from lhy_lightning.data.controls import Control, most_frequent_tags
from lhy_lightning.data.labelled_texts.tag_batches import TagBatches
from lhy_lightning.data.labelled_texts.tagged_files import TaggedText, open_tagged_text, open_words, read_as_training
from lhy_lightning.data.labelled_texts.word_pieces import joined, pieces_of_words
from lhy_lightning.data.sequences.length_batches import LengthEvalBatches, length_batches
from lhy_lightning.data.sequences.ragged import text_cache_folder
from lhy_lightning.data.texts.base import SPLITS, CourseTextDataModule, SplitName, check_fractions, unknown_share
from lhy_lightning.data.texts.encoded_texts import EncodedTexts
from lhy_lightning.data.texts.row_splits import hold_out, predict_file, read_splits, shared_with_training, split_of
from lhy_lightning.data.texts.text_sources import Split
from lhy_lightning.data.tokenizers.encoder_choice import TokenizerChoice
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from lhy_lightning.metrics.texts.entities import are_entity_tags


@dataclass(frozen=True)
class Rows:
    """One split, tokenised.

    Attributes:
        text: its sentences.
        batches: makes its batches.
    """

    text: TaggedText
    batches: TagBatches


class TaggingDataModule(CourseTextDataModule):
    """Tagged sentences from CoNLL-U and BIO files, tables, the hub or an embedded set.

    Equal sentences are on one side of the splits that are made here; sentences that occur both in training and in a
    given split are counted and reported. A sentence of more than `max_length` tokens is cut between words into several
    rows: in every split each word has its tag.

    Args:
        source: `embedded:mentions` (people, places, money, dates), `embedded:mentions_zh`; a folder with
            `train.conllu`, `dev.conllu`, `test.conllu`, plain or .gz, or .bio files; such a file; a json, jsonl or
            parquet table with lists of words and of tags; a hub id.
        val_source: validation sentences from elsewhere.
        test_source: test sentences from elsewhere.
        predict_source: sentences to tag: a text file of one a line, spaces between the words, or CoNLL-U; the test
            split if not given.
        tag_column: in CoNLL-U "upos" (if not given), "xpos", "deprel" …; in files of columns the place of the tag
            (1, 2, …; the last if not given); in tables the column's name.
        val_fraction: share of the training sentences held out where the source has no validation split.
        test_fraction: the same for a test split; 0 for none.
        split_seed: of the splits made here; the same number, the same sentences, on every machine.
        tokenizer_file: hub id or folder of a tokenizer; the encoder's own if not given, and a new one where the encoder
            is trained from scratch.
        vocab_size: pieces of a new one.
        lowercase: whether a new one reads everything in small letters.
        max_length: tokens of a row, special ones included.
        batch_size: rows of a training batch and process.
        eval_batch_size: the same in evaluation.
        max_tokens: fill batches by padded tokens, rows × length, and not by rows.
        bucket_batches: how many batches' rows are sorted by length together; 0 for plain shuffling.
        pad_to_multiple: rows are padded to a multiple of it.
        num_workers: processes that make batches; 0 is fastest, as a batch takes less than a millisecond.
        cache_dir: folder for tokenised text; `~/.cache/lhy_lightning/text` if not given.

    Attributes:
        tokenizer: after `setup`; the model's own where it has been trained before.
        tag_names: names of the tags, in order.
        max_length: see the argument.
        has_test: whether there is a test split.
        test_labelled: whether it has tags.
    """

    split_settings: tuple[str, ...] = (
        "source", "val_source", "test_source", "tag_column", "val_fraction", "test_fraction", "split_seed",
    )  # fmt: skip
    order_settings: tuple[str, ...] = ("batch_size", "max_tokens", "max_length", "bucket_batches", "pad_to_multiple")
    kept_settings: tuple[str, ...] = ("tokenizer_file", "vocab_size", "lowercase")

    tokenizer: EncoderTokenizer

    def __init__(
        self,
        source: str = "embedded:mentions",
        *,
        val_source: str | None = None,
        test_source: str | None = None,
        predict_source: str | None = None,
        tag_column: str | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.0,
        split_seed: int = 0,
        tokenizer_file: str | None = None,
        vocab_size: int = 8000,
        lowercase: bool = False,
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
        self.max_length = max_length
        self.tag_names: tuple[str, ...] | None = None
        self._choice = TokenizerChoice(tokenizer_file, vocab_size, lowercase, keep_words=True)
        self._folder: Path = text_cache_folder(cache_dir)
        self._texts: dict[Split, TaggedText] | None = None
        self._source: dict[Split, TaggedText] | None = None
        self._rows: dict[SplitName, Rows] = {}
        self._made_by: tuple[str, tuple[str, ...] | None] | None = None

    # --- setup -----------------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Reads and tokenises what the stage needs; without a trainer, call it yourself.

        Raises:
            ValueError: a tag that no training word has, in whichever split, or one tag for all training words.
        """
        module = getattr(self.trainer, "lightning_module", None)
        names = getattr(module, "hparams", {}).get("tag_names")
        if names is None:
            train = self._undivided().get("train")
            names = None if train is None or train.tags is None else sorted({tag for row in train.tags for tag in row})
        self.tag_names = None if names is None else tuple(map(str, names))
        if stage in (None, "fit"):
            self._check_all()
        self.tokenizer = self._choice.choose(module, self._training_texts, self._folder)
        made_by = (self.tokenizer.to_json(), self.tag_names)
        if made_by != self._made_by:
            self._rows.clear()
            self._made_by = made_by
        for name in SPLITS[stage or "fit"]:
            self._open(name)
        self.say(f"{self.hparams['source']}")

    def _undivided(self) -> dict[Split, TaggedText]:
        """The splits as the sources hand them out."""
        if self._source is None:
            given = self.hparams
            texts = read_splits(
                lambda source: open_tagged_text(source, tag_column=given["tag_column"]),
                given["source"], val_source=given["val_source"], test_source=given["test_source"],
            )  # fmt: skip
            if (train := texts.get("train")) is not None:
                texts = {role: read_as_training(text, train) for role, text in texts.items()}
            for text in texts.values():
                for told in text.told:
                    self._tell(f"{text.origin}: {told}.")
            self._source = texts
        return self._source

    def _read(self) -> dict[Split, TaggedText]:
        if self._texts is None:
            self._texts = self._divided(self._undivided())
        return self._texts

    def _check_all(self) -> None:
        """Finds what can be seen in the files before training, in every split, and tells of the tags.

        Raises:
            ValueError: a tag that no training word has, one tag for all training words, no tags.
        """
        texts = self._undivided()
        for role, text in texts.items():
            if self._tags(text) is None and role != "test":
                raise ValueError(f"{text.origin} has no tags: set --data.tag_column to the column that holds them.")
        if (given := self.hparams["predict_source"]) is not None:
            predict_file(given)
        train = texts.get("train")
        if train is None or train.tags is None or self.tag_names is None:
            return
        if len(occurring := {tag for row in train.tags for tag in row}) == 1:
            words = sum(map(len, train.tags))
            raise ValueError(
                f"{train.origin}: all {words:,} training words have the tag {occurring.pop()!r}: there is nothing to "
                "tell apart. Set --data.tag_column if the tags stand in another column."
            )
        counts = Counter(tag for row in self._read()["train"].tags or () for tag in row)
        ordered = [counts[name] for name in self.tag_names]
        self._tell(f"{train.origin}: {describe_classes(self.tag_names, ordered, unit='training words')}.")
        for doubt in doubtful_classes(self.tag_names, ordered):
            self._report(f"{train.origin}: {doubt}.")
        other = next((name for name in self.tag_names if not are_entity_tags(("B-X", name))), None)
        if other is not None and any(name.startswith("B-") for name in self.tag_names):
            self._report(
                f"{train.origin}: some tags mark entities (B-…), but {other!r} is neither O nor begins with B-, I-, E- "
                "or S-: the score is accuracy over words, not F1 over entities."
            )

    def _divided(self, texts: dict[Split, TaggedText]) -> dict[Split, TaggedText]:
        """Holds out what the source does not bring, and counts what training shares with the other splits."""
        if "train" not in texts:
            return texts
        given = self.hparams
        texts = hold_out(
            texts, lambda text: (list(map(joined, text.words)), None),
            val_fraction=given["val_fraction"], test_fraction=given["test_fraction"], seed=given["split_seed"],
        )  # fmt: skip
        shared = shared_with_training(texts, lambda text: map(joined, text.words))
        self._said += [f"{count:,} {role} sentences also occur in training." for role, count in shared]
        return texts

    def _training_texts(self) -> list[str]:
        train = self._read().get("train")
        if train is None:
            raise ValueError("there are no training sentences to train a tokenizer on: set --data.tokenizer_file.")
        return list(map(joined, train.words))

    # --- splits ----------------------------------------------------------------------------------------------------

    @property
    def has_test(self) -> bool:
        return "test" in self._read()

    @property
    def test_labelled(self) -> bool:
        return self._read()["test"].tags is not None

    def _split(self, name: SplitName) -> TaggedText:
        if name == "predict":
            if (given := self.hparams["predict_source"]) is not None:
                return open_words(predict_file(given))
            name = "test"
        return split_of(self._read(), name, self.hparams["source"])

    def _open(self, name: SplitName) -> Rows:
        if name not in self._rows:
            text = self._split(name)
            tags = None if name == "predict" else self._tags(text)
            if name in ("train", "val") and tags is None:
                raise ValueError(f"{text.origin} has no tags: set --data.tag_column to the column that holds them.")
            if not any(text.words):
                raise ValueError(f"{text.origin} has no words.")
            stored = EncodedTexts(list(map(joined, text.words)), self.tokenizer, folder=self._folder)
            pieces = pieces_of_words(text.words, stored.ids, stored.ends, self.tokenizer.unk_id)
            batches = TagBatches(
                pieces, tags, self.tokenizer, max_length=self.max_length,
                pad_to_multiple=self.hparams["pad_to_multiple"], index=name != "train",
            )  # fmt: skip
            self._rows[name] = Rows(text, batches)
            cut = len(batches) - sum(map(bool, text.words))
            unknown = unknown_share(pieces.ids, self.tokenizer)
            self.check_unknown(name, unknown, self._choice, self._training_texts)
            self._said.append(
                f"{len(text):,} {name} sentences, {len(pieces.word_ends) - 1:,} words, {len(pieces.ids):,} pieces, "
                f"{unknown:.2%} unknown" + (f", {cut:,} more rows for what is above {self.max_length}." if cut else ".")
            )
        return self._rows[name]

    def _tags(self, text: TaggedText) -> np.ndarray | None:
        """(W,) int64, places in `tag_names`.

        Raises:
            ValueError: a tag that no training word has.
        """
        if text.tags is None:
            return None
        if self.tag_names is None:
            raise ValueError(f"{text.origin}: the tags are not known; fit, or load a checkpoint, first.")
        place = {name: number for number, name in enumerate(self.tag_names)}
        for row, tags in enumerate(text.tags):
            for word, tag in zip(text.words[row], tags, strict=True):
                if tag not in place:
                    raise ValueError(
                        f"{text.origin}, sentence {row}: the tag {tag!r} of {word!r} is none of the {len(place)} tags "
                        f"of the training words ({', '.join(self.tag_names[:12])}{' …' if len(place) > 12 else ''})."
                    )
        return np.array([place[tag] for tags in text.tags for tag in tags], dtype=np.int64)

    # --- what others ask -------------------------------------------------------------------------------------------

    def sentences(self, split: SplitName) -> list[list[str]]:
        """The words of a split's sentences."""
        return self._open(split).text.words

    def parts(self, split: SplitName) -> list[tuple[int, int, int]]:
        """For each row of a split, by `index`: its sentence, and from which word to which, counted in the sentence."""
        batches = self._open(split).batches
        first = batches.pieces.sentence_ends[batches.parts[:, 0]]
        rows = np.stack([batches.parts[:, 0], batches.parts[:, 1] - first, batches.parts[:, 2] - first], axis=1)
        return [(sentence, start, end) for sentence, start, end in rows.tolist()]

    def control(self, split: str) -> Control | None:
        train, scored = self._read().get("train"), self._read().get(cast(Split, split))
        if train is None or scored is None or train.tags is None or scored.tags is None:
            return None
        helps = (
            "take more pieces where some are unknown (--data.vocab_size), train longer (--trainer.max_epochs), or take "
            "a trained encoder (--model.encoder)"
        )
        return most_frequent_tags((train.words, train.tags), (scored.words, scored.tags), helps)

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
            batches.lengths, given["eval_batch_size"], pad_to_multiple=given["pad_to_multiple"],
            groups=batches.parts[:, 0], split=name,
        )  # fmt: skip
        return self.loader(batches, sampler, num_workers=given["num_workers"])
