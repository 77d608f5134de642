"""Translation with a recurrent network or a Transformer: cross entropy, decoding, BLEU. Homework 5."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer

from lhy_lightning.core.arguments.ranges import COUNT, NOT_NEGATIVE, POSITIVE, any_number, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import TranslationBatch
from lhy_lightning.data.tokenizers.special_tokens import PAD
from lhy_lightning.decoding.interface import Decoded, Memory
from lhy_lightning.metrics.averages import Sum
from lhy_lightning.metrics.texts.translation import TranslationMetrics
from lhy_lightning.seq2seq.copying import copy_negative_log_likelihood
from lhy_lightning.seq2seq.decode import decode
from lhy_lightning.seq2seq.losses.guided_attention import coverage_loss, diagonality, guided_attention_loss
from lhy_lightning.seq2seq.losses.sequence_losses import projected_cross_entropy
from lhy_lightning.seq2seq.plots import TranslationPictures
from lhy_lightning.seq2seq.predictions import TranslationsFile
from lhy_lightning.seq2seq.text_translator import TextTranslator, TextTranslatorArguments
from lhy_lightning.seq2seq.translator_ensemble import TranslatorEnsemble
from lhy_lightning.training.module import EvaluatedSplit
from lhy_lightning.training.token_normalization import TokenNormalization


class TranslatorArguments(TextTranslatorArguments, total=False):
    """Arguments of `Translator`, for the `**arguments` of those built on it."""

    attention_layer: int
    attention_heads: int | None
    guided_attention: float
    guided_width: float
    coverage: float
    label_smoothing: float


class Translator(TextTranslator):
    """Trains an encoder-decoder to translate, and translates.

    A checkpoint translates plain text alone. To use a network of your own, override `build_network`.

    Gradients are sums over target tokens divided by the tokens of the whole accumulated batch of all ranks. The mean
    of the means of unequal batches, which is what a loss averaged a batch gives, weighs the tokens of short ones more.

    Args:
        attention_layer: the Transformer's decoder layer whose cross-attention is looked at, copied by or guided.
        attention_heads: how many of its heads, from the first; None for the mean of all.
        guided_attention: weight of the loss that draws attention to the diagonal; 0 disables it.
        guided_width: width of the diagonal, Tachibana's g.
        coverage: weight of the loss against attending twice (See et al. 2017); 0 disables it.
        label_smoothing: share of the training target spread over the vocabulary, PyTorch's form (see `losses/`).
        arguments: those of `TextTranslator`, `EncoderDecoderModule` and `SingleOptimizerModule`.

    Raises:
        ValueError: a name or number that does not exist or does not fit another.

    Example:
        >>> from lhy_lightning import Translator
        >>> model = Translator(layers=2, width=64, heads=4, feedforward=256, beam=5)
        >>> model.hparams["beam"]
        5
    """

    data_modules = ("TranslationDataModule",)

    argument_ranges = ranges(
        attention_layer=any_number("counts from the first or, below 0, from the last"), attention_heads=COUNT,
        guided_attention=NOT_NEGATIVE, guided_width=POSITIVE, coverage=NOT_NEGATIVE,
    )  # fmt: skip

    monitor: tuple[str, Literal["max", "min"]] = ("val/bleu", "max")

    def __init__(
        self,
        *,
        attention_layer: int = -1,
        attention_heads: int | None = None,
        guided_attention: float = 0.0,
        guided_width: float = 0.2,
        coverage: float = 0.0,
        label_smoothing: float = 0.1,
        **arguments: Unpack[TextTranslatorArguments],
    ) -> None:
        super().__init__(**arguments)
        if self.copies and label_smoothing:
            raise ValueError(
                f"label_smoothing={label_smoothing} with copying: smoothing is defined over the vocabulary, copying "
                "goes beyond it. Set label_smoothing to 0."
            )
        self.guided_attention, self.guided_width, self.coverage = guided_attention, guided_width, coverage
        self.label_smoothing = label_smoothing
        self.normalization = TokenNormalization()
        self.val_loss, self.val_tokens = Sum(), Sum()
        self.build_if_known()

    def build(self) -> None:
        """Builds network and figures, once the vocabularies are known."""
        super().build()
        language = self.hparams["target_lang"] or "en"
        self.val_scores, self.test_scores = TranslationMetrics(language), TranslationMetrics(language)

    @property
    def looks_at_attention(self) -> bool:
        """Whether training needs attention weights, which the fast path never forms."""
        return self.copies or bool(self.guided_attention or self.coverage)

    # --- training --------------------------------------------------------------------------------------------------

    def decode_target(self, memory: Memory, batch: TranslationBatch) -> tuple[Decoded, Tensor]:
        """Decoder states for every target position, and the inputs (ids or embeddings) that they were made from.

        Teacher forcing: position t is fed the gold token t - 1.
        """
        inputs = gold_inputs(batch)
        return self.translation_network.body.decode(inputs, memory, attention=self.looks_at_attention), inputs

    def token_loss(
        self, decoded: Decoded, inputs: Tensor, memory: Memory, batch: TranslationBatch, *, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """Sums over the batch's target tokens: the loss, and the negative log-likelihood without gradient."""
        network = self.translation_network
        gold = batch["target_ids"][:, 1:]
        real = gold != PAD
        if not self.copies:
            weight, bias = network.body.output_layer()
            return projected_cross_entropy(decoded.states[real], weight, bias, gold[real], smoothing=smoothing)
        assert decoded.attention is not None
        assert memory.copy_ids is not None
        embedded = inputs if inputs.is_floating_point() else network.body.embed_target(inputs)
        each = copy_negative_log_likelihood(
            network.body.project(decoded.states), decoded.attention, network.gate(decoded, embedded),
            memory.copy_ids, batch["copy_targets"][:, 1:],
        )  # fmt: skip
        loss = each[real].sum()
        return loss, loss.detach()

    def loss(self, batch: TranslationBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The training loss summed over the batch's target tokens, and figures to log, means a token."""
        memory = self.encode(batch)
        decoded, inputs = self.decode_target(memory, batch)
        loss, nll = self.token_loss(decoded, inputs, memory, batch, smoothing=self.label_smoothing)
        real = batch["target_ids"][:, 1:] != PAD
        tokens = real.sum()
        figures = {"train/loss": loss.detach() / tokens, "train/nll": nll / tokens}
        if self.guided_attention:
            assert decoded.attention is not None
            guided = guided_attention_loss(decoded.attention, memory.mask, real, width=self.guided_width)
            figures["train/guided_loss"] = guided.detach()
            figures["train/diagonality"] = diagonality(decoded.attention.detach(), memory.mask, real)
            loss = loss + self.guided_attention * guided * tokens
        if self.coverage:
            assert decoded.attention is not None
            covered = coverage_loss(decoded.attention, real)
            figures["train/coverage_loss"] = covered.detach()
            loss = loss + self.coverage * covered * tokens
        return loss, figures

    def training_step(self, batch: TranslationBatch, batch_idx: int) -> Tensor:
        loss, figures = self.loss(batch)
        self.log_training(batch_idx, figures)
        return self.normalization.add(loss, (batch["target_ids"][:, 1:] != PAD).sum())

    def log_training(self, batch_idx: int, figures: dict[str, Tensor]) -> None:
        """Logs on the steps that the loggers take."""
        if self.should_log(batch_idx):
            self.log_dict(figures, prog_bar=True)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.normalization.divide_gradients(self)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def scores_of(self, split: EvaluatedSplit) -> TranslationMetrics:
        """What adds up the figures of a split."""
        return self.val_scores if split == "val" else self.test_scores

    def evaluate(self, batch: TranslationBatch, split: EvaluatedSplit) -> None:
        """Adds a batch to loss and BLEU; the loss is the plain negative log-likelihood, so that runs compare."""
        scores, beam = self.scores_of(split), self.val_beam_size if split == "val" else self.beam
        memory = self.encode(batch)
        data = getattr(self.trainer, "datamodule", None)
        rows = batch["index"].tolist()
        references = None if data is None else data.references(split)
        if "target_ids" in batch and (data is None or references is not None):
            inputs = gold_inputs(batch)
            decoded = self.translation_network.body.decode(inputs, memory, attention=self.copies)
            _, nll = self.token_loss(decoded, inputs, memory, batch, smoothing=0.0)
            self.val_loss.update(nll)
            self.val_tokens.update((batch["target_ids"][:, 1:] != PAD).sum())
        found = decode(self, self.translation_network, memory, beam, 1, False)
        texts = self.texts([best[0].ids for best in found], batch)
        if data is not None and references is not None:
            rebuilt = data.cleaned_references(split)
            scores.update(texts, [references[row] for row in rows], [rebuilt[row] for row in rows])
        elif data is None and "target_ids" in batch:
            rebuilt = self.texts(batch["target_ids"].tolist(), batch)
            scores.update(texts, rebuilt, rebuilt)

    def report(self, split: EvaluatedSplit) -> None:
        """Logs loss and scores over all ranks, where there are references."""
        scores = self.scores_of(split)
        loss, tokens, figures = self.val_loss.compute(), self.val_tokens.compute(), scores.compute()
        for metric in (self.val_loss, self.val_tokens, scores):
            metric.reset()
        if not figures:
            rank_zero_warn(
                f"the {split} targets are missing or placeholders: there is no {split}/bleu. `lhy predict` writes the "
                "translations."
            )
            return
        named = {f"{split}/loss": loss / tokens, **{f"{split}/{name}": value for name, value in figures.items()}}
        self.log_dict({name: value.float().to(self.device) for name, value in named.items()}, prog_bar=True)

    def configure_callbacks(self) -> list[Callback]:
        return [*super().configure_callbacks(), TranslationPictures()]

    def prediction_writers(self) -> list[Callback]:
        return [TranslationsFile()]

    @classmethod
    def ensemble(cls, checkpoints: list[Path]) -> TranslatorEnsemble:
        return TranslatorEnsemble.from_checkpoints(checkpoints)


def gold_inputs(batch: TranslationBatch) -> Tensor:
    """The decoder's inputs (N, T) int64: BOS and all tokens but EOS, which nothing follows."""
    ids: Tensor = batch["target_ids"]
    return ids[:, :-1].masked_fill(ids[:, 1:] == PAD, PAD)
