"""Texts in, texts out: vocabularies, search, and what is said of plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lhy_lightning.core.arguments.ranges import COUNT, NOT_NEGATIVE, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import TranslationBatch
from lhy_lightning.data.texts.cleaning import clean_text
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer
from lhy_lightning.decoding.beam import Hypothesis
from lhy_lightning.decoding.interface import Memory
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.seq2seq.copying import CopyHead
from lhy_lightning.seq2seq.decode import SearchSettings, decode
from lhy_lightning.seq2seq.encoder_decoder import EncoderDecoderArguments, EncoderDecoderModule
from lhy_lightning.seq2seq.networks import TranslationNetwork
from lhy_lightning.seq2seq.translation import Translation, score_translations, translate_texts
from lhy_lightning.training.checkpoints import read_checkpoint

LEARNED = ("source_tokenizer", "target_tokenizer", "source_lang", "target_lang", "cleaning")


class TextTranslatorArguments(EncoderDecoderArguments, total=False):
    """Arguments of `TextTranslator`, for the `**arguments` of those built on it."""

    copying: bool
    beam: int
    val_beam_size: int
    length_penalty: float
    coverage_penalty: float
    no_repeat_ngram: int
    max_length_factor: float
    max_length_offset: int
    max_positions: int
    start_from: str | None
    source_tokenizer: str | None
    target_tokenizer: str | None
    source_lang: str | None
    target_lang: str | None
    cleaning: tuple[str, ...] | None


class TextTranslator(EncoderDecoderModule):
    """Base of modules that translate plain text: their vocabularies and their search; a subclass says how they learn.

    The last five arguments are taken from the data module when training starts and travel in the checkpoint, so that
    a checkpoint translates plain text alone.

    Args:
        copying: mix the vocabulary with the words of the source (pointer-generator); the data needs `copying` too.
        beam: hypotheses kept a sentence in test, predict and `translate`; 1 is greedy.
        val_beam_size: the same in validation.
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
        arguments: those of `EncoderDecoderModule`.

    Raises:
        ValueError: `start_from` is no translator's checkpoint.
    """

    argument_ranges = ranges(
        beam=COUNT, val_beam_size=COUNT, length_penalty=NOT_NEGATIVE, coverage_penalty=NOT_NEGATIVE,
        no_repeat_ngram=NOT_NEGATIVE, max_length_factor=NOT_NEGATIVE, max_length_offset=NOT_NEGATIVE,
        max_positions=COUNT,
    )  # fmt: skip

    def __init__(
        self,
        *,
        copying: bool = False,
        beam: int = 5,
        val_beam_size: int = 1,
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
        **arguments: Unpack[EncoderDecoderArguments],
    ) -> None:
        super().__init__(**arguments)
        self.copies = copying
        self.beam, self.val_beam_size = beam, val_beam_size
        self.search = SearchSettings(length_penalty, coverage_penalty, no_repeat_ngram)
        self.length_limit = (max_length_factor, max_length_offset, max_positions)
        self.start_from = start_from
        if start_from is not None and source_tokenizer is None:
            self.take_vocabularies(start_from)

    # --- network ---------------------------------------------------------------------------------------------------

    def take_vocabularies(self, checkpoint: str) -> None:
        """Notes vocabularies and languages of another translator.

        Raises:
            ValueError: the checkpoint has none.
        """
        start = read_checkpoint(checkpoint)
        learned = start.get("hyper_parameters", {})
        if lacking := [name for name in LEARNED if name not in learned]:
            made_by = str(start.get("class_path", "another program")).rpartition(".")[2]
            raise ValueError(
                f"start_from={checkpoint} was made by {made_by}, not by a Translator: it has no {lacking[0]}."
            )
        for name in LEARNED:
            self.hparams[name] = learned[name]

    @property
    def is_known(self) -> bool:
        """Whether the vocabularies are known."""
        return self.hparams["source_tokenizer"] is not None

    def check_known(self) -> None:
        if not self.is_known:
            raise ValueError("give the Translator source_tokenizer, or fit it with a TranslationDataModule.")

    def build(self) -> None:
        """Builds the network, once the vocabularies are known."""
        source, target = self.hparams["source_tokenizer"], self.hparams["target_tokenizer"]
        self.source_vocabulary = TextTokenizer.from_json(source)
        self.target_vocabulary = self.source_vocabulary if target is None else TextTokenizer.from_json(target)
        body = self.build_network()
        self.network = TranslationNetwork(body, CopyHead.for_body(body) if self.copies else None)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        if not self.is_built and data is not None:
            source, target = data.source_tokenizer.to_json(), data.target_tokenizer.to_json()
            self.hparams["source_tokenizer"] = source
            self.hparams["target_tokenizer"] = None if source == target else target
            for name in ("source_lang", "target_lang", "cleaning"):
                self.hparams[name] = getattr(data, name)
        self.build_once()
        if data is not None and data.target_lang != self.hparams["target_lang"]:
            raise ValueError(
                f"the network translates to {self.hparams['target_lang']!r}, the data to {data.target_lang!r}."
            )
        if stage == "fit" and (longest := getattr(data, "longest_training_row", None)) is not None:
            self.check_positions(longest)
        if stage == "fit" and self.start_from is not None and self.trainer.ckpt_path is None:
            self.load_initial_weights(read_checkpoint(self.start_from)["state_dict"])

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

    def load_initial_weights(self, state: dict[str, Tensor]) -> None:
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

    def encode(self, batch: TranslationBatch) -> Memory:
        """The encoded sources of a batch."""
        if not self.copies:
            return self.translation_network.encode(batch["source_ids"])
        if "copy_ids" not in batch:
            raise ValueError("copying needs copy_ids in every batch: set copying of the data to true as well.")
        beyond = max((len(words) for words in batch["unknown_words"]), default=0)
        return self.translation_network.encode(batch["source_ids"], batch["copy_ids"], beyond)

    # --- inference -------------------------------------------------------------------------------------------------

    def forward(self, source_ids: Tensor) -> list[list[int]]:
        """Source ids (N, S), padded, EOS included, to the ids of the best translations, without BOS and EOS."""
        return [best[0].ids for best in self.decode({"source_ids": source_ids})]

    def decode(
        self,
        batch: TranslationBatch,
        *,
        beam: int | None = None,
        n_best: int = 1,
        attention: bool = False,
        **search: Any,
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

    def predict_step(self, batch: TranslationBatch, batch_idx: int) -> dict[str, Any]:
        """Returns `index` (N,), `text`, N strings, and `score` (N,) float32, log-probability / length^alpha."""
        return self.predictions(batch, self.decode(batch))

    def predictions(self, batch: TranslationBatch, found: list[list[Hypothesis]]) -> dict[str, Any]:
        """What `predict_step` returns of translations that search has found."""
        scores = torch.tensor([best[0].score for best in found])
        texts = self.texts([best[0].ids for best in found], batch)
        return {"index": batch["index"], "text": texts, "score": scores}

    def texts(self, rows: list[list[int]], batch: TranslationBatch) -> list[str]:
        """Target ids of every row of a batch as text, copied words among them."""
        words = batch.get("unknown_words") or [[]] * len(rows)
        return [self.target_vocabulary.decode(ids, unknown) for ids, unknown in zip(rows, words, strict=True)]
