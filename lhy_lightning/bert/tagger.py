"""A tag for each word, as in part-of-speech tagging: the lecture's second way to use BERT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.nn import functional

from lhy_lightning.bert.module import BertArguments, BertModule
from lhy_lightning.bert.text_predictions import TagsCsv
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.core.messages import first_of
from lhy_lightning.data.batches import TagBatch
from lhy_lightning.data.labelled_texts.tag_batches import IGNORED, TagBatches
from lhy_lightning.data.labelled_texts.word_pieces import joined, pieces_of_words
from lhy_lightning.data.sequences.ragged import ragged
from lhy_lightning.data.texts.encoded_texts import without_surrogates
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.metrics.texts.entities import TaggingScores, are_entity_tags
from lhy_lightning.training.module import EvaluatedSplit


class BertTagger(BertModule):
    """Fine-tunes an encoder to tell the tag of every word, by what it makes of the word's first piece.

    Devlin et al. 2018 (https://arxiv.org/abs/1810.04805), section 5.3. The score is accuracy over words and, where tags
    mark entities (B-…, I-…), F1 over whole entities, which then chooses the best epoch.

    The last argument is taken from the data module when training starts and travels in the checkpoint, so that a
    checkpoint tags plain words alone.

    Args:
        tag_names: names of the tags; from the data if not given.
        arguments: those of `BertModule`.

    Example:
        >>> from lhy_lightning import BertTagger, EncoderTokenizer
        >>> tokenizer = EncoderTokenizer.train(["good film", "bad film"], vocabulary_size=40)
        >>> small = {"layers": 1, "width": 8, "heads": 2, "feedforward": 8, "max_length": 16}
        >>> model = BertTagger(**small, tokenizer=tokenizer.to_json(), tag_names=("O", "B-PER"))
        >>> [len(tags) for tags in model.tag([["good", "film"], ["bad"]])]
        [2, 1]
    """

    head = "tagging"
    needs_labels = True
    data_modules = ("TaggingDataModule",)
    learned = ("max_length", "tag_names")
    unscored = "the {split} words have no tags: there is no score. `lhy predict` writes the predictions."

    def __init__(self, *, tag_names: tuple[str, ...] | None = None, **arguments: Unpack[BertArguments]) -> None:
        super().__init__(**arguments)
        self.tag_names = None if tag_names is None else tuple(map(str, tag_names))
        self.build_if_known()

    @property
    def is_known(self) -> bool:
        return super().is_known and self.tag_names is not None

    def labels(self) -> tuple[str, ...]:
        return self.tag_names or ()

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:  # type: ignore[override]
        """F1 over entities where tags mark some, otherwise accuracy over words."""
        data = getattr(self._trainer, "datamodule", None)  # callbacks ask before `setup` has learned the tags
        names = self.tag_names or getattr(data, "tag_names", None) or ()
        return ("val/f1" if are_entity_tags(names) else "val/accuracy"), "max"

    def build(self) -> None:
        """Builds the network and what it is scored by."""
        super().build()
        self.val_scores, self.test_scores = TaggingScores(self.labels()), TaggingScores(self.labels())

    # --- training --------------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        super().on_fit_start()
        names = self.labels()
        others = [name for name in names if not are_entity_tags((name, "B-x"))]
        if others and any(name.startswith(("B-", "I-")) for name in names):
            named = first_of([*map(repr, others[:4])], 3)
            rank_zero_warn(
                f"accuracy over words is reported and chooses the best epoch, not F1 over entities: {named} of the "
                f"{len(names)} tags marks no entity as O, B-… and I-… do. Look at these rows, or rename the tag."
            )

    def forward(self, **inputs: Tensor) -> Tensor:
        """What the encoder takes, each (N, T), to logits (N, T, tags) float32."""
        logits: Tensor = self.network(**inputs).logits.float()
        return logits

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy summed over words."""
        return functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")

    def training_step(self, batch: TagBatch, batch_idx: int) -> Tensor:
        labels = batch["labels"]
        loss, words = self.loss(self(**self.inputs(batch)), labels), (labels != IGNORED).sum()
        self.log_training(batch_idx, {"train/loss": loss.detach() / words})
        return self.normalization.add(loss, words)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def evaluate(self, batch: TagBatch, split: EvaluatedSplit) -> None:
        if (labels := batch.get("labels")) is None:
            return
        logits, first, scores = self(**self.inputs(batch)), batch["first_pieces"], self.scores_of(split)
        scores.loss.update(self.loss(logits, labels))
        words = first.sum(1).tolist()
        said, gold = (values[first].tolist() for values in (logits.argmax(2), labels))
        places = list(zip(batch["sentence"].tolist(), batch["index"].tolist(), strict=True))
        scores.update(parts(said, words), parts(gold, words), places)

    # --- inference -------------------------------------------------------------------------------------------------

    def tags_of(self, batch: Mapping[str, Any]) -> list[list[str]]:
        """The tags of the words of each row of a batch."""
        best = self(**self.inputs(batch)).argmax(2)
        first = batch["first_pieces"]
        names = [self.labels()[tag] for tag in best[first].tolist()]
        return parts(names, first.sum(1).tolist())

    def predict_step(self, batch: TagBatch, batch_idx: int) -> dict[str, Any]:
        """Returns `index` (N,), and `tags`, for each row those of its words."""
        return {"index": batch["index"], "tags": self.tags_of(batch)}

    @torch.inference_mode()
    def tag(self, sentences: Sequence[Sequence[str]], *, batch_size: int = 64) -> list[list[str]]:
        """The tags of the words of each sentence.

        Args:
            sentences: N lists of words.
            batch_size: rows at a time, of like length.

        Raises:
            RuntimeError: there is no network yet.
            TypeError: a sentence is a string and not a list of words.
        """
        self.built()
        wrong = next((sentence for sentence in sentences if isinstance(sentence, str)), None)
        if wrong is not None:
            raise TypeError(f"{wrong!r} is a string: give each sentence as a list of words.")
        found: list[list[str]] = [[] for _ in sentences]
        if not any(sentences):
            return found
        ids, _, ends = self.vocabulary.encode_with_offsets([without_surrogates(joined(words)) for words in sentences])
        pieces = pieces_of_words(sentences, ragged(ids), ragged(ends), self.vocabulary.unk_id)
        rows = TagBatches(pieces, None, self.vocabulary, max_length=self.max_length or 512, index=True)
        tags: dict[int, list[str]] = {}
        order = np.argsort(rows.lengths, kind="stable")
        with evaluation_mode(self):
            for at in range(0, len(order), batch_size):
                batch = rows[order[at : at + batch_size].tolist()]
                moved = {name: value.to(self.device) for name, value in batch.items()}
                tags |= dict(zip(batch["index"].tolist(), self.tags_of(moved), strict=True))
        for row, sentence in enumerate(rows.parts[:, 0].tolist()):
            found[sentence] += tags[row]
        return found

    def prediction_writers(self) -> list[Callback]:
        return [TagsCsv()]


def parts(values: list[Any], lengths: list[int]) -> list[list[Any]]:
    """A list cut into parts of so many values."""
    ends = np.cumsum(lengths).tolist()
    return [values[end - length : end] for length, end in zip(lengths, ends, strict=True)]
