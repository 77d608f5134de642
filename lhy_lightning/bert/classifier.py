"""Classes or numbers of one text or two, as in sentiment analysis: the lecture's first and third use of BERT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.nn import functional

from lhy_lightning.bert.module import BertArguments, BertModule
from lhy_lightning.bert.text_predictions import TextPredictionsCsv
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import TextBatch
from lhy_lightning.data.labelled_texts.text_batches import TextBatches
from lhy_lightning.data.sequences.ragged import ragged
from lhy_lightning.data.texts.encoded_texts import without_surrogates
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.metrics.texts.glue import TextScores
from lhy_lightning.training.module import EvaluatedSplit

Metric = Literal["accuracy", "f1", "macro_f1", "matthews", "pearson", "spearman", "mse"]


class BertClassifier(BertModule):
    """Fine-tunes an encoder to name the class of a text, or of a pair of texts, or to give it a number.

    Devlin et al. 2018 (https://arxiv.org/abs/1810.04805), section 4.1: a linear map of what the encoder makes of the
    first token, cross entropy or, for numbers, squared error.

    The last arguments are taken from the data module when training starts and travel in the checkpoint, so that a
    checkpoint classifies plain text alone.

    Args:
        metrics: figures to report, the first of which chooses the best epoch: "accuracy", "f1" (of two classes; of
            more, "macro_f1" stands in its place unless it is the first), "macro_f1", "matthews"; with regression
            "pearson", "spearman", "mse". Accuracy, or both correlations, if None.
        class_names: names of the classes; from the data if not given, as the next two.
        regression: whether labels are numbers.
        pairs: whether rows have two texts.
        arguments: those of `BertModule`.

    Example:
        >>> from lhy_lightning import BertClassifier, EncoderTokenizer
        >>> tokenizer = EncoderTokenizer.train(["good film", "bad film"], vocabulary_size=40)
        >>> small = {"layers": 1, "width": 8, "heads": 2, "feedforward": 8, "max_length": 16}
        >>> model = BertClassifier(**small, tokenizer=tokenizer.to_json(), class_names=("bad", "good"), pairs=False)
        >>> tuple(model.logits_of(["a good film", "bad"]).shape)
        (2, 2)
    """

    head = "classification"
    needs_labels = True
    data_modules = ("TextDataModule",)
    learned = ("max_length", "class_names", "regression", "pairs")
    unscored = "the {split} rows have no labels: there is no score. `lhy predict` writes the predictions."

    def __init__(
        self,
        *,
        metrics: tuple[Metric, ...] | None = None,
        class_names: tuple[str, ...] | None = None,
        regression: bool | None = None,
        pairs: bool | None = None,
        **arguments: Unpack[BertArguments],
    ) -> None:
        super().__init__(**arguments)
        self.metrics = None if metrics is None else tuple(metrics)
        self.class_names = None if class_names is None else tuple(map(str, class_names))
        self.regression, self.pairs = regression, pairs
        self.build_if_known()

    @property
    def is_known(self) -> bool:
        return super().is_known and (bool(self.regression) or self.class_names is not None)

    def labels(self) -> tuple[str, ...]:
        return () if self.regression else self.class_names or ()

    @property
    def chosen_metrics(self) -> tuple[str, ...]:
        """The figures that are reported."""
        usual = ("pearson", "spearman") if self._regresses() else ("accuracy",)
        first, *others = self.metrics or usual
        if len(self.class_names or ()) > 2:  # a recipe of two classes also serves data of three
            others = ["macro_f1" if name == "f1" else name for name in others]
        return tuple(dict.fromkeys((first, *others)))

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:  # type: ignore[override]
        """The first of the figures: what the best epoch is chosen by."""
        name = self.chosen_metrics[0]
        return f"val/{name}", "min" if name == "mse" else "max"

    def _regresses(self) -> bool:
        """Known before `setup` has learned it: callbacks ask for the headline earlier."""
        data = getattr(self._trainer, "datamodule", None)
        return bool(self.regression if self.regression is not None else getattr(data, "regression", False))

    def build(self) -> None:
        """Builds the network and what it is scored by."""
        super().build()
        classes = 0 if self.regression else len(self.labels())
        if self.metrics is not None and self.chosen_metrics != self.metrics:
            rank_zero_warn(f"f1 is of two classes, these are {classes}: macro_f1 is reported in its place.")
        self.val_scores = TextScores(self.chosen_metrics, classes)
        self.test_scores = TextScores(self.chosen_metrics, classes)

    # --- training --------------------------------------------------------------------------------------------------

    def forward(self, **inputs: Tensor) -> Tensor:
        """What the encoder takes, each (N, L), to logits (N, K), or numbers (N,), float32."""
        logits: Tensor = self.network(**inputs).logits.float()
        return logits.squeeze(1) if self.regression else logits

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy, or squared error, summed over the rows."""
        if self.regression:
            return functional.mse_loss(logits, labels.float(), reduction="sum")
        return functional.cross_entropy(logits, labels, reduction="sum")

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        labels = batch["labels"]
        loss = self.loss(self(**self.inputs(batch)), labels)
        rows = torch.tensor(len(labels), device=self.device)
        self.log_training(batch_idx, {"train/loss": loss.detach() / rows})
        return self.normalization.add(loss, rows)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def evaluate(self, batch: TextBatch, split: EvaluatedSplit) -> None:
        if (labels := batch.get("labels")) is None:
            return
        logits = self(**self.inputs(batch))
        if split == "test":  # rows without a gold label are there to be predicted
            gold = labels.isfinite() if self.regression else labels >= 0
            logits, labels = logits[gold], labels[gold]
        self.scores_of(split).update(logits, labels, self.loss(logits, labels))

    # --- inference -------------------------------------------------------------------------------------------------

    def predict_step(self, batch: TextBatch, batch_idx: int) -> dict[str, Tensor]:
        """Returns `index` (N,) and `probabilities` (N, K), or `number` (N,), float32."""
        logits = self(**self.inputs(batch))
        result = {"number": logits} if self.regression else {"probabilities": logits.softmax(1)}
        return {"index": batch["index"], **result}

    @torch.inference_mode()
    def logits_of(self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, batch_size: int = 64) -> Tensor:
        """Logits (N, K), or numbers (N,), of plain texts, float32 on the CPU; batches are of like length.

        Args:
            texts: N texts.
            pairs: the second text of each, for a model of pairs.
            batch_size: texts at a time.

        Raises:
            RuntimeError: there is no network yet.
            ValueError: one text where the model takes two, or the other way round, or lists of different length.
        """
        self.built()
        if (pairs is not None) != bool(self.pairs):
            raise ValueError(f"this model takes {'two texts' if self.pairs else 'one text'} a row.")
        if pairs is not None and len(pairs) != len(texts):
            raise ValueError(f"{len(texts)} texts and {len(pairs)} second texts: as many of both are needed.")
        if not len(texts):
            return torch.zeros(0) if self.regression else torch.zeros(0, len(self.labels()))
        pieces = ragged(self.vocabulary.encode([without_surrogates(text) for text in (*texts, *(pairs or ()))]))
        first = np.arange(len(texts))
        second = None if pairs is None else first + len(texts)
        rows = TextBatches(pieces, first, second, None, self.vocabulary, max_length=self.max_length or 512)
        order = np.argsort(rows.lengths, kind="stable")
        parts = (rows[order[at : at + batch_size].tolist()] for at in range(0, len(order), batch_size))
        with evaluation_mode(self):
            found = [self(**{name: value.to(self.device) for name, value in part.items()}) for part in parts]
        return torch.cat(found).cpu()[torch.from_numpy(np.argsort(order))]

    def classify(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, batch_size: int = 64
    ) -> list[tuple[str, float]]:
        """The class of each text and its probability; arguments as `logits_of`."""
        if self.regression:
            raise ValueError("this model gives numbers: `numbers` returns them.")
        best = self.logits_of(texts, pairs, batch_size=batch_size).softmax(1).max(1)
        return [(self.labels()[k], p) for k, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]

    def numbers(self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, batch_size: int = 64) -> list[float]:
        """The number of each text, of a model of numbers; arguments as `logits_of`."""
        if not self.regression:
            raise ValueError("this model names classes: `classify` returns them.")
        numbers: list[float] = self.logits_of(texts, pairs, batch_size=batch_size).tolist()
        return numbers

    def prediction_writers(self) -> list[Callback]:
        return [TextPredictionsCsv()]
