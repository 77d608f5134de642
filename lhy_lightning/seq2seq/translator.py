"""Translation with a recurrent network or a Transformer: cross entropy, decoding, BLEU. Homework 5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

from lhy_lightning.core.argument_ranges import COUNT, NOT_NEGATIVE, POSITIVE, any_number, ranges
from lhy_lightning.data.texts.cleaning import clean_text
from lhy_lightning.data.tokenizers.special_tokens import PAD
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer
from lhy_lightning.decoding.beam import Hypothesis
from lhy_lightning.decoding.interface import Decoded, Memory
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.metrics.averages import Sum
from lhy_lightning.metrics.texts.translation import TranslationMetrics
from lhy_lightning.optim import build_optimizer, parameter_groups
from lhy_lightning.seq2seq.copying import CopyHead, copy_negative_log_likelihood
from lhy_lightning.seq2seq.decode import decode
from lhy_lightning.seq2seq.losses.guided_attention import coverage_loss, diagonality, guided_attention_loss
from lhy_lightning.seq2seq.losses.sequence_losses import projected_cross_entropy
from lhy_lightning.seq2seq.networks import TranslationNetwork, build_body
from lhy_lightning.seq2seq.pictures import TranslationPictures
from lhy_lightning.seq2seq.predictions import TranslationsFile
from lhy_lightning.seq2seq.translation import Translation, score_translations, translate_texts
from lhy_lightning.seq2seq.translator_ensemble import TranslatorEnsemble
from lhy_lightning.training.checkpoints import read_checkpoint
from lhy_lightning.training.module import CourseModule
from lhy_lightning.training.token_normalization import TokenNormalization

Batch = dict[str, Any]


class Translator(CourseModule):
    """Trains an encoder-decoder to translate, and translates.

    The last five arguments are taken from the data module when training starts and travel in the checkpoint, so that
    a checkpoint translates plain text alone. A network of one's own is one method: override `build_network`.

    Gradients are sums over target tokens divided by the tokens of the whole accumulated batch of all ranks. The mean
    of the means of unequal batches, which is what a loss averaged a batch gives, weighs the tokens of short ones more.

    Args:
        network: "transformer" or "gru" (the homework's recurrent network with attention).
        layers: layers of encoder and of decoder.
        width: features of a Transformer's layer, or of a GRU's state.
        heads: attention heads of the Transformer.
        feedforward: features inside the Transformer's feed-forward layers.
        embedding: features of the GRU's word vectors.
        dropout: share of the features set to zero in training.
        norm: layer norms after ("post", the paper's) or before ("pre") each sublayer.
        activation: "relu", "gelu", "silu" or "swiglu".
        positions: "sinusoidal", "learned" or "rotary".
        rnn_attention: of the GRU: "homework", "general", "additive", "location" or "monotonic".
        share_embeddings: "all" (source, target and output), "decoder" (target and output) or "none"; None for "all"
            where the vocabulary is joint and "decoder" where it is not.
        attention_layer: the Transformer's decoder layer whose cross-attention is looked at, copied by or guided.
        attention_heads: how many of its heads, from the first; None for the mean of all.
        copying: mix the vocabulary with the words of the source (pointer-generator); the data needs `copying` too.
        guided_attention: weight of the loss that draws attention to the diagonal; 0 for none.
        guided_width: width of the diagonal, Tachibana's g.
        coverage: weight of the loss against attending twice (See et al. 2017); 0 for none.
        label_smoothing: share of the training target spread over the vocabulary, PyTorch's form (see `losses/`).
        optimizer: any of `torch.optim` by its name in small letters.
        lr: peak of the learning rate; with "noam" the factor before width^-0.5 (of a GRU: embedding^-0.5); the
            homework's is 2.
        betas: of Adam and its kin.
        weight_decay: of weights with two or more axes.
        schedule: "inverse_sqrt", "noam", "cosine", "linear" or "constant".
        warmup_steps: steps in which the learning rate rises.
        final_lr_factor: share of `lr` at which cosine and linear end.
        beam: hypotheses kept a sentence in test, predict and `translate`; 1 is greedy.
        val_beam: the same in validation.
        length_penalty: alpha in log-probability / length^alpha.
        coverage_penalty: beta of the coverage term of the beam's score (Wu et al. 2016).
        no_repeat_ngram: never write the same n tokens twice; 0 to allow it.
        max_length_factor: most tokens of a translation: this times the source's, plus `max_length_offset`.
        max_length_offset: see `max_length_factor`.
        max_positions: most tokens of a sentence on either side.
        start_from: checkpoint whose weights and vocabulary training starts from.
        source_tokenizer: JSON of the source's tokenizer; from the data if not given, as the next four.
        target_tokenizer: JSON of the target's; None where the source's serves both.
        source_lang: language of the source, "en".
        target_lang: language of the target, "zh"; it chooses BLEU's tokenization.
        cleaning: names of the cleaning steps that `translate` applies.

    Raises:
        ValueError: a name or number that does not exist or does not fit another.
    """

    data_modules = ("TranslationDataModule",)

    argument_ranges = ranges(
        embedding=COUNT, attention_layer=any_number("counts from the first or, below 0, from the last"),
        attention_heads=COUNT, guided_attention=NOT_NEGATIVE, guided_width=POSITIVE, coverage=NOT_NEGATIVE, beam=COUNT,
        val_beam=COUNT, length_penalty=NOT_NEGATIVE, coverage_penalty=NOT_NEGATIVE, no_repeat_ngram=NOT_NEGATIVE,
        max_length_factor=NOT_NEGATIVE, max_length_offset=NOT_NEGATIVE, max_positions=COUNT,
    )  # fmt: skip

    headline_metric: tuple[str, Literal["max", "min"]] = ("val/bleu", "max")

    network: TranslationNetwork | None

    def __init__(
        self,
        *,
        network: Literal["transformer", "gru"] = "transformer",
        layers: int = 3,
        width: int = 256,
        heads: int = 4,
        feedforward: int = 1024,
        embedding: int = 256,
        dropout: float = 0.1,
        norm: Literal["post", "pre"] = "pre",
        activation: Literal["relu", "gelu", "silu", "swiglu"] = "relu",
        positions: Literal["sinusoidal", "learned", "rotary"] = "sinusoidal",
        rnn_attention: Literal["homework", "general", "additive", "location", "monotonic"] = "homework",
        share_embeddings: Literal["all", "decoder", "none"] | None = None,
        attention_layer: int = -1,
        attention_heads: int | None = None,
        copying: bool = False,
        guided_attention: float = 0.0,
        guided_width: float = 0.2,
        coverage: float = 0.0,
        label_smoothing: float = 0.1,
        optimizer: str = "adam",
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.98),
        weight_decay: float = 0.0,
        schedule: Literal["constant", "cosine", "linear", "inverse_sqrt", "noam"] = "inverse_sqrt",
        warmup_steps: int = 1000,
        final_lr_factor: float = 0.0,
        beam: int = 5,
        val_beam: int = 1,
        length_penalty: float = 1.0,
        coverage_penalty: float = 0.0,
        no_repeat_ngram: int = 0,
        max_length_factor: float = 1.5,
        max_length_offset: int = 10,
        max_positions: int = 1024,
        start_from: str | None = None,
        source_tokenizer: str | None = None,
        target_tokenizer: str | None = None,
        source_lang: str | None = None,
        target_lang: str | None = None,
        cleaning: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if copying and label_smoothing:
            raise ValueError(
                f"label_smoothing={label_smoothing} with copying: smoothing is defined over the vocabulary, copying "
                "goes beyond it. Set label_smoothing to 0."
            )
        self.network_name, self.copies = network, copying
        self.guided_attention, self.guided_width, self.coverage = guided_attention, guided_width, coverage
        self.label_smoothing = label_smoothing
        self.optimizer_numbers = {"name": optimizer, "lr": lr, "betas": betas, "weight_decay": weight_decay}
        self.schedule_numbers = {
            "schedule": schedule, "warmup_steps": warmup_steps, "final_factor": final_lr_factor,
        }  # fmt: skip
        self.beam, self.val_beam = beam, val_beam
        self.search = {
            "length_penalty": length_penalty, "coverage_penalty": coverage_penalty, "no_repeat_ngram": no_repeat_ngram,
        }  # fmt: skip
        self.length_limit = (max_length_factor, max_length_offset, max_positions)
        self.start_from = start_from
        self.network = None
        self.normalization = TokenNormalization()
        self.val_loss, self.val_tokens = Sum(), Sum()
        if start_from is not None and source_tokenizer is None:
            start = read_checkpoint(start_from)
            learned = start.get("hyper_parameters", {})
            if lacking := [name for name in LEARNED if name not in learned]:
                made_by = str(start.get("class_path", "another program")).rpartition(".")[2]
                raise ValueError(
                    f"start_from={start_from} was made by {made_by}, not by a Translator: it has no {lacking[0]}."
                )
            for name in LEARNED:
                self.hparams[name] = learned[name]
        if self.hparams["source_tokenizer"] is not None:
            self.build()

    # --- network ---------------------------------------------------------------------------------------------------

    def build_network(self) -> nn.Module:
        """Returns the encoder-decoder, a `Seq2SeqBody`. Override it to train one of your own.

        `self.source_vocabulary` and `self.target_vocabulary` are known when it is called.
        """
        sizes = (len(self.source_vocabulary), len(self.target_vocabulary))
        return build_body(*sizes, joint=self.hparams["target_tokenizer"] is None, **self.hparams)

    def build(self) -> None:
        """Builds network and figures, once the vocabularies are known."""
        numbers = self.hparams
        self.source_vocabulary = TextTokenizer.from_json(numbers["source_tokenizer"])
        other = numbers["target_tokenizer"]
        self.target_vocabulary = self.source_vocabulary if other is None else TextTokenizer.from_json(other)
        body = self.build_network()
        self.network = TranslationNetwork(body, CopyHead.for_body(body) if self.copies else None)
        self.val_scores = TranslationMetrics(numbers["target_lang"] or "en")
        self.test_scores = TranslationMetrics(numbers["target_lang"] or "en")

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        if self.network is None:
            if data is None:
                raise ValueError("give the Translator source_tokenizer, or fit it with a TranslationDataModule.")
            source, target = data.source_tokenizer.to_json(), data.target_tokenizer.to_json()
            self.hparams["source_tokenizer"], self.hparams["target_tokenizer"] = source, target
            if source == target:
                self.hparams["target_tokenizer"] = None
            for name in ("source_lang", "target_lang", "cleaning"):
                self.hparams[name] = getattr(data, name)
            self.build()
        if data is not None and data.target_lang != self.hparams["target_lang"]:
            raise ValueError(
                f"the network translates to {self.hparams['target_lang']!r}, the data to {data.target_lang!r}."
            )
        if stage == "fit" and (longest := getattr(data, "longest_training_row", None)) is not None:
            self.check_positions(longest)
        if stage == "fit" and self.start_from is not None and self.trainer.ckpt_path is None:
            self.start_weights(read_checkpoint(self.start_from)["state_dict"])

    def check_positions(self, longest: int) -> None:
        """Refuses training sentences that are longer than any translation may be.

        Args:
            longest: most tokens of a training row on either side, without EOS.

        Raises:
            ValueError: names `max_positions` and both ways out.
        """
        positions = self.length_limit[2]
        if longest + 1 > positions:
            raise ValueError(
                f"max_positions={positions}: training sentences have up to {longest} tokens and EOS, and no "
                f"translation would be as long: set --model.max_positions {longest + 1} or more, or leave longer ones "
                f"out by --data.max_length {max(1, positions - 1)}."
            )

    def start_weights(self, state: dict[str, Tensor]) -> None:
        """Takes the weights of another run.

        Raises:
            ValueError: they are of another network.
        """
        own = self.state_dict()
        for name in sorted({*own, *state}):
            here, there = own.get(name), state.get(name)
            if here is None or there is None or here.shape != there.shape:
                shapes = [None if value is None else tuple(value.shape) for value in (here, there)]
                raise ValueError(
                    f"start_from={self.start_from!r} is of another network: {name} is {shapes[0]} here and "
                    f"{shapes[1]} there. Give the model the same sizes."
                )
        self.load_state_dict(state)

    @property
    def translation_network(self) -> TranslationNetwork:
        """The network, once it is there."""
        if self.network is None:
            raise RuntimeError("there is no network yet: fit first, or load a checkpoint.")
        return self.network

    @property
    def looks_at_attention(self) -> bool:
        """Whether training needs attention weights, which the fast path never forms."""
        return self.copies or bool(self.guided_attention or self.coverage)

    def encode(self, batch: Batch) -> Memory:
        """The encoded sources of a batch."""
        if not self.copies:
            return self.translation_network.encode(batch["source_ids"])
        if "copy_ids" not in batch:
            raise ValueError("copying needs copy_ids in every batch: set copying of the data to true as well.")
        beyond = max((len(words) for words in batch["unknown_words"]), default=0)
        return self.translation_network.encode(batch["source_ids"], batch["copy_ids"], beyond)

    # --- training --------------------------------------------------------------------------------------------------

    def decode_target(self, memory: Memory, batch: Batch) -> tuple[Decoded, Tensor]:
        """Decoder states for every target position, and the inputs (ids or embeddings) that they were made from.

        Teacher forcing: position t is fed the gold token t - 1.
        """
        inputs = gold_inputs(batch)
        return self.translation_network.body.decode(inputs, memory, attention=self.looks_at_attention), inputs

    def token_loss(
        self, decoded: Decoded, inputs: Tensor, memory: Memory, batch: Batch, *, smoothing: float
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

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
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

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss, figures = self.loss(batch)
        self.log_training(batch_idx, figures)
        return self.normalization.add(loss, (batch["target_ids"][:, 1:] != PAD).sum())

    def log_training(self, batch_idx: int, figures: dict[str, Tensor]) -> None:
        """Logs on the steps that the loggers take."""
        if self.logs_now(batch_idx):
            self.log_dict(figures, prog_bar=True)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.normalization.divide_gradients(self)

    def configure_optimizers(self) -> Any:
        numbers: dict[str, Any] = dict(self.optimizer_numbers)
        if self.schedule_numbers["schedule"] == "noam":
            size = self.hparams["embedding" if self.network_name == "gru" else "width"]
            numbers["lr"] *= size**-0.5
        groups = parameter_groups(self.translation_network, numbers["lr"], numbers["weight_decay"])
        return self.scheduled(build_optimizer(groups, **numbers), **self.schedule_numbers)

    # --- inference -------------------------------------------------------------------------------------------------

    def forward(self, source_ids: Tensor) -> list[list[int]]:
        """Source ids (N, S), padded, EOS included, to the ids of the best translations, without BOS and EOS."""
        return [best[0].ids for best in self.decode({"source_ids": source_ids})]

    def decode(
        self, batch: Batch, *, beam: int | None = None, n_best: int = 1, attention: bool = False, **search: Any
    ) -> list[list[Hypothesis]]:
        """The `n_best` translations of every row of a batch, best first.

        Args:
            batch: `source_ids` (N, S), and with copying `copy_ids` (N, S) and `unknown_words`.
            beam: hypotheses kept; the module's own if None.
            n_best: how many of them to return.
            attention: give their attention as well.
            search: other values for length_penalty, coverage_penalty, no_repeat_ngram.
        """
        return decode(self, self.translation_network, self.encode(batch), beam, n_best, attention, **search)

    def clean(self, text: str) -> str:
        """A source text as the training data's were cleaned."""
        return clean_text(text, self.hparams["source_lang"], tuple(self.hparams["cleaning"] or ()))

    @torch.inference_mode()
    def translate(
        self,
        texts: Sequence[str],
        *,
        beam: int | None = None,
        n_best: int = 1,
        attention: bool = False,
        max_tokens: int = 4096,
        **search: Any,
    ) -> list[list[Translation]]:
        """Translates plain texts, in batches of like length.

        Args:
            texts: as a user has them; they are cleaned as the training data were.
            beam, n_best, attention, search: as `decode`.
            max_tokens: padded source tokens a batch.

        Returns:
            For every text, in the order given, its `n_best` translations.
        """
        search = {"beam": beam, "n_best": n_best, "attention": attention, **search}
        with evaluation_mode(self):
            return translate_texts(self, [self.clean(text) for text in texts], max_tokens=max_tokens, **search)

    def score(self, sources: Sequence[str], targets: Sequence[str], *, max_tokens: int = 4096) -> list[Translation]:
        """How probable the network finds given translations: forced decoding.

        Args:
            sources, targets: N texts each, as a user has them.
            max_tokens: padded source tokens a batch.

        Returns:
            For every pair the target with its score and log-probability, as a beam that found it would give them.
        """
        cleaned = [self.clean(text) for text in sources]
        steps = tuple(self.hparams["cleaning"] or ())
        wanted = [clean_text(text, self.hparams["target_lang"], steps) for text in targets]
        with evaluation_mode(self):
            return score_translations(self, cleaned, wanted, max_tokens=max_tokens)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def evaluate(self, batch: Batch, split: Literal["val", "test"], beam: int) -> None:
        """Adds a batch to loss and BLEU; the loss is the plain negative log-likelihood, so that runs compare."""
        scores = self.val_scores if split == "val" else self.test_scores
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

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate(batch, "val", self.val_beam)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate(batch, "test", self.beam)

    def on_validation_epoch_end(self) -> None:
        self.report("val", self.val_scores)

    def on_test_epoch_end(self) -> None:
        self.report("test", self.test_scores)

    def report(self, split: str, scores: TranslationMetrics) -> None:
        """Logs loss and scores over all ranks, where there are references."""
        loss, tokens = self.val_loss.compute(), self.val_tokens.compute()
        figures = scores.compute()
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

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Returns `index` (N,), `text`, N strings, and `score` (N,) float32, log-probability / length^alpha."""
        return self.predictions(batch, self.decode(batch))

    def predictions(self, batch: Batch, found: list[list[Hypothesis]]) -> dict[str, Any]:
        """What `predict_step` returns of translations that search has found."""
        scores = torch.tensor([best[0].score for best in found])
        texts = self.texts([best[0].ids for best in found], batch)
        return {"index": batch["index"], "text": texts, "score": scores}

    def texts(self, rows: list[list[int]], batch: Batch) -> list[str]:
        """Target ids of every row of a batch as text, copied words among them."""
        words = batch.get("unknown_words") or [()] * len(rows)
        return [self.target_vocabulary.decode(ids, unknown) for ids, unknown in zip(rows, words, strict=True)]

    def configure_callbacks(self) -> list[Callback]:
        return [*super().configure_callbacks(), TranslationPictures()]

    def prediction_writers(self) -> list[Callback]:
        return [TranslationsFile()]

    @classmethod
    def ensemble(cls, checkpoints: list[Path]) -> TranslatorEnsemble:
        return TranslatorEnsemble.from_checkpoints(checkpoints)


LEARNED = ("source_tokenizer", "target_tokenizer", "source_lang", "target_lang", "cleaning")


def gold_inputs(batch: Batch) -> Tensor:
    """The decoder's inputs (N, T) int64: BOS and all tokens but EOS, which nothing follows."""
    ids: Tensor = batch["target_ids"]
    return ids[:, :-1].masked_fill(ids[:, 1:] == PAD, PAD)
