"""`TaggingDataModule`: sentences with a tag for each word, tokenised once, in batches of like length."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.class_counts import describe_classes, doubtful_classes
from lhy_lightning.data.controls import Control, most_frequent_tags
from lhy_lightning.data.labelled_texts.base import LabelledTextDataModule, Rows
from lhy_lightning.data.labelled_texts.tag_batches import TagBatches
from lhy_lightning.data.labelled_texts.tagged_files import TaggedText, open_tagged_text, open_words, read_as_training
from lhy_lightning.data.labelled_texts.word_pieces import joined, pieces_of_words
from lhy_lightning.data.texts.base import SplitName
from lhy_lightning.data.texts.encoded_texts import EncodedTexts
from lhy_lightning.data.texts.encoder_base import EncoderTextArguments, EncoderTextDataModule, unknown_share
from lhy_lightning.data.texts.row_splits import predict_file
from lhy_lightning.data.texts.text_sources import Split
from lhy_lightning.metrics.texts.entities import are_entity_tags


class TaggingDataModule(LabelledTextDataModule[TaggedText, TagBatches]):
    """Tagged sentences from CoNLL-U and BIO files, tables, the hub or an embedded set.

    Equal sentences are on one side of the splits that are made here; sentences that occur both in training and in a
    given split are counted and reported. A sentence of more than `max_length` tokens, special ones included, is cut
    between words into several rows: in every split each word has its tag.

    Args:
        source: `embedded:mentions` (people, places, money, dates), `embedded:mentions_zh`; a folder with
            `train.conllu`, `dev.conllu`, `test.conllu`, plain or .gz, or .bio files; such a file; a json, jsonl or
            parquet table with lists of words and of tags; a hub id. `predict_source` takes a text file of a sentence a
            line, spaces between the words, or CoNLL-U.
        tag_column: in CoNLL-U "upos" (if not given), "xpos", "deprel" …; in files of columns the place of the tag
            (1, 2, …; the last if not given); in tables the column's name.
        arguments: as `EncoderTextDataModule`; `lowercase` is false if not given.

    Attributes:
        tag_names: names of the tags, in order.

    Example:
        >>> from lhy_lightning import TaggingDataModule
        >>> data = TaggingDataModule("embedded:mentions", vocab_size=300, batch_size=4)
        >>> data.setup("fit")
        embedded:mentions/train: 8 classes in 43,038 ...
        >>> data.tag_names[:3]
        ('B-DATE', 'B-DURATION', 'B-MONEY')
    """

    split_settings: tuple[str, ...] = (*EncoderTextDataModule.split_settings, "tag_column")

    keep_words = True
    unit = "sentences"

    def __init__(
        self,
        source: str = "embedded:mentions",
        *,
        tag_column: str | None = None,
        lowercase: bool = False,
        **arguments: Unpack[EncoderTextArguments],
    ) -> None:
        super().__init__(source, lowercase=lowercase, **arguments)
        self.tag_names: tuple[str, ...] | None = None

    # --- reading ---------------------------------------------------------------------------------------------------

    @property
    def label_names(self) -> tuple[str, ...] | None:
        return self.tag_names

    @property
    def test_labelled(self) -> bool:
        return self._read()["test"].tags is not None

    def learn(self, known: Mapping[str, Any]) -> None:
        names = known.get("tag_names")
        if names is None:
            train = self._undivided().get("train")
            names = None if train is None or train.tags is None else sorted({tag for row in train.tags for tag in row})
        self.tag_names = None if names is None else tuple(map(str, names))

    def open_source(self, source: str) -> dict[Split, TaggedText]:
        return open_tagged_text(source, tag_column=self._args.tag_column)

    def open_to_predict(self, path: Path) -> TaggedText:
        return open_words(path)

    def taken(self, texts: dict[Split, TaggedText]) -> dict[Split, TaggedText]:
        """All splits; tells what was found in reading them."""
        if (train := texts.get("train")) is not None:
            texts = {role: read_as_training(text, train) for role, text in texts.items()}
        for text in texts.values():
            for told in text.told:
                self._tell(f"{text.origin}: {told}.")
        return texts

    def together(self, text: TaggedText) -> tuple[list[str], list[str] | None]:
        return list(map(joined, text.words)), None

    def compared(self, text: TaggedText) -> Iterable[Hashable]:
        return map(joined, text.words)

    def check_all(self) -> None:
        """Finds what can be seen in the files before training, in every split, and tells of the tags.

        Raises:
            ValueError: a tag that no training word has, one tag for all training words, no tags.
        """
        texts = self._undivided()
        for role, text in texts.items():
            if self._tags(text) is None and role != "test":
                raise ValueError(f"{text.origin} has no tags: set --data.tag_column to the column that holds them.")
        if self.predict_source is not None:
            predict_file(self.predict_source)
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
            self._warn_once(f"{train.origin}: {doubt}.")
        other = next((name for name in self.tag_names if not are_entity_tags(("B-X", name))), None)
        if other is not None and any(name.startswith("B-") for name in self.tag_names):
            self._warn_once(
                f"{train.origin}: some tags mark entities (B-…), but {other!r} is neither O nor begins with B-, I-, E- "
                "or S-: the score is accuracy over words, not F1 over entities."
            )

    def training_texts(self) -> list[str]:
        train = self._read().get("train")
        if train is None:
            raise ValueError("there are no training sentences to train a tokenizer on: set --data.tokenizer_file.")
        return list(map(joined, train.words))

    # --- batches ---------------------------------------------------------------------------------------------------

    def tokenise(self, name: SplitName, text: TaggedText) -> Rows[TaggedText, TagBatches]:
        tags = None if name == "predict" else self._tags(text)
        if name in ("train", "val") and tags is None:
            raise ValueError(f"{text.origin} has no tags: set --data.tag_column to the column that holds them.")
        if not any(text.words):
            raise ValueError(f"{text.origin} has no words.")
        stored = EncodedTexts(list(map(joined, text.words)), self.tokenizer, folder=self._folder)
        pieces = pieces_of_words(text.words, stored.ids, stored.ends, self.tokenizer.unk_id)
        batches = TagBatches(
            pieces, tags, self.tokenizer, max_length=self.max_length,
            pad_to_multiple=self._args.pad_to_multiple, index=name != "train",
        )  # fmt: skip
        cut = len(batches) - sum(map(bool, text.words))
        unknown = unknown_share(pieces.ids, self.tokenizer)
        self.check_unknown(name, unknown)
        self._summary.append(
            f"{len(text):,} {name} sentences, {len(pieces.word_ends) - 1:,} words, {len(pieces.ids):,} pieces, "
            f"{unknown:.2%} unknown" + (f", {cut:,} more rows for what is above {self.max_length}." if cut else ".")
        )
        return Rows(text, batches)

    def groups(self, batches: TagBatches) -> np.ndarray:
        """The parts of a sentence are on one rank."""
        parts: np.ndarray = batches.parts[:, 0]
        return parts

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
