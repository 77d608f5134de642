"""`TranslationDataModule`: sentence pairs from any source as batches of ids, filled by number of tokens."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from lhy_lightning.core.arguments.ranges import COUNT, POSITIVE, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.core.messages import first_of
from lhy_lightning.data.base import ResumableLoader
from lhy_lightning.data.batches import TranslationBatch
from lhy_lightning.data.sequences.token_batches import TokenBatches, TokenEvalBatches
from lhy_lightning.data.texts.base import SPLITS, SplitName
from lhy_lightning.data.tokenizers.special_tokens import UNK
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer
from lhy_lightning.data.translation.back_translation import synthetic_per_epoch
from lhy_lightning.data.translation.base import ParallelTextArguments, ParallelTextDataModule
from lhy_lightning.data.translation.token_pairs import TokenPairs
from lhy_lightning.data.translation.token_store import TokenStore
from lhy_lightning.data.translation.translation_texts import TextSplit, TranslationTexts
from lhy_lightning.data.translation.vocabularies import Kind, Vocabularies, from_json, tokenizers_of


@dataclass(frozen=True)
class Rows:
    """One split, tokenised.

    Attributes:
        text: its sentences; of training rows the real ones only.
        pairs: makes its batches.
    """

    text: TextSplit
    pairs: TokenPairs


class TranslationDataModule(ParallelTextDataModule):
    """Sentence pairs from files, tables, the hub or the embedded set, cleaned, divided without leaks, tokenised once.

    Training rows of more than `max_length` tokens on a side, special tokens not counted, are dropped, others are cut.

    Args:
        tokenizer: "unigram" or "bpe" subwords, "word" or "character"; or `tokenizer_file` names a trained one for both
            sides, a tokenizer.json, or a folder or hub id that has one.
        target_vocab_size: entries of the target's vocabulary, special tokens included; as `vocab_size` if not given.
        joint: one tokenizer for both sides.
        copying: batches carry what the copy mechanism needs. Subwords are then copied through a joint vocabulary.
        max_tokens: padded tokens a training batch and process: rows × the longer side.
        eval_max_tokens: the same in evaluation; as `max_tokens` if not given.
        back_translated: tab-separated file of synthetic source and real target, as `lhy predict` of a reverse model
            writes it; training takes these rows too.
        monolingual: text of the target language that a recipe's steps translate back into `back_translated`
            (`hw05/strong`); never read here.
        back_translation_ratio: synthetic rows an epoch for every real one.
        tag_back_translated: mark synthetic sources with the token `<bt>`.
        arguments: as `ParallelTextDataModule`.

    Attributes:
        source_tokenizer, target_tokenizer: after `setup`; the model's own where it has been trained before.

    Example:
        >>> from lhy_lightning import TranslationDataModule
        >>> data = TranslationDataModule("embedded:cldr", tokenizer="character", vocab_size=500, max_tokens=256)
        >>> data.setup("fit")
        en → zh, embedded:cldr: 24,000 training rows, ...
        >>> sorted(next(iter(data.train_dataloader())))
        ['source_ids', 'target_ids']
    """

    order_settings: tuple[str, ...] = (
        *ParallelTextDataModule.order_settings, "back_translated", "back_translation_ratio",
    )  # fmt: skip
    kept_settings: tuple[str, ...] = (*ParallelTextDataModule.kept_settings, "tokenizer", "target_vocab_size", "joint")

    argument_ranges = ranges(
        target_vocab_size=COUNT, eval_max_tokens=COUNT, bucket_batches=COUNT, back_translation_ratio=POSITIVE
    )

    source_tokenizer: TextTokenizer
    target_tokenizer: TextTokenizer

    def __init__(
        self,
        source: str = "embedded:cldr",
        *,
        val_fraction: float = 0.02,
        tokenizer: Kind = "unigram",
        target_vocab_size: int | None = None,
        joint: bool = False,
        copying: bool = False,
        max_tokens: int = 4096,
        eval_max_tokens: int | None = None,
        max_length: int = 256,
        bucket_batches: int = 100,
        back_translated: str | None = None,
        monolingual: str | None = None,
        back_translation_ratio: float = 1.0,
        tag_back_translated: bool = True,
        **arguments: Unpack[ParallelTextArguments],
    ) -> None:
        super().__init__(
            source, val_fraction=val_fraction, max_tokens=max_tokens, max_length=max_length,
            bucket_batches=bucket_batches, **arguments,
        )  # fmt: skip
        self._vocabularies = self.settings_of(Vocabularies)
        self._vocabularies.check()
        if monolingual is not None and back_translated is None:
            raise ValueError(
                f"monolingual={monolingual!r} is text to translate back first: `lhy fit --config hw05/strong` "
                "does it, or train a reverse model, let it predict this text, and give the result as back_translated."
            )
        self._rows: dict[str, Rows] = {}
        self._rebuilt: dict[str, list[str]] = {}
        self._brought = False  # whether the tokenizers are the model's
        self._in_use: tuple[str, str] | None = None  # JSON of the tokenizers
        self._synthetic = 0  # rows at the end of the training store, after over-long ones are dropped

    # --- setup -----------------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Reads and tokenises what the stage needs; without a trainer, call it yourself."""
        texts = self.read()
        self._choose_tokenizers(texts)
        for name in SPLITS[stage or "fit"]:
            self._open(name)
        if stage in (None, "fit"):
            texts.check_all()
        self.say(f"{self.source_lang} → {self.target_lang}, {self._args.source}")

    # --- tokenizers ------------------------------------------------------------------------------------------------

    def _choose_tokenizers(self, texts: TranslationTexts) -> None:
        """The model's, which a checkpoint brings; else a given file's or those trained on the training rows."""
        brought = tokenizers_of(getattr(getattr(self.trainer, "lightning_module", None), "hparams", {}))
        if brought is not None and brought != self._in_use:
            self._use_tokenizers(*self._vocabularies.checked(*from_json(*brought)))
            self._brought = True
        elif self._in_use is None:
            train = texts.split("train") if self._args.tokenizer_file is None else None
            source, target = (train.source, train.target or []) if train is not None else ([], [])
            self._use_tokenizers(*self._vocabularies.train(source, target, self._folder))

    def _use_tokenizers(self, source: TextTokenizer, target: TextTokenizer) -> None:
        self.source_tokenizer, self.target_tokenizer = source, target
        self._in_use = (source.to_json(), target.to_json())
        self._rows.clear()
        self._rebuilt.clear()

    # --- splits ----------------------------------------------------------------------------------------------------

    def _open(self, name: SplitName) -> Rows:
        if name not in self._rows:
            text = self._read().split(name)
            self._rows[name] = self._open_train(text) if name == "train" else self._open_evaluated(name, text)
        return self._rows[name]

    def _store(self, source: Any, target: Any, tagged_from: int | None = None) -> TokenStore:
        return TokenStore(
            source,
            target,
            self.source_tokenizer,
            self.target_tokenizer,
            folder=self._folder,
            copying=self._args.copying,
            tagged_from=tagged_from,
        )

    def _open_train(self, text: TextSplit) -> Rows:
        given, texts = self._args, self._read()
        synthetic = None if given.back_translated is None else texts.synthetic(given.back_translated)
        source, target, real = text.source, text.target or [], len(text)
        if given.tokenizer_file is not None or self._brought:  # one trained on these very rows knows what it may
            self.source_tokenizer.check_language(source)
            self.target_tokenizer.check_language(target)
        if synthetic is not None:
            source, target = source + synthetic.source, target + (synthetic.target or [])
        store = self._store(source, target, real if synthetic is not None and given.tag_back_translated else None)
        assert store.target is not None
        longer = np.maximum(store.source.lengths, store.target.lengths)
        rows = np.flatnonzero(longer <= given.max_length)
        self._synthetic = int((rows >= real).sum())
        if len(rows) == self._synthetic:
            raise ValueError(
                f"nothing is left of {real:,} training rows: all have more than max_length={given.max_length} tokens "
                f"on a side (the shortest has {int(longer[:real].min())})."
            )
        if dropped := len(store) - len(rows):
            self._summary.append(f"{dropped:,} training rows above {given.max_length} tokens dropped.")
        pairs = TokenPairs(store, rows=rows, pad_to_multiple=given.pad_to_multiple)
        self._summary.append(f"{len(rows) - self._synthetic:,} training rows, {self._described(store)}.")
        if synthetic is not None:
            drawn = synthetic_per_epoch(len(rows) - self._synthetic, self._synthetic, given.back_translation_ratio)
            self._summary.append(f"{self._synthetic:,} back-translated rows, {drawn:,} of them an epoch.")
        return Rows(text.take(rows[rows < real].tolist()) if dropped else text, pairs)

    def _open_evaluated(self, name: SplitName, text: TextSplit) -> Rows:
        store, limit = self._store(text.source, text.target), self._args.max_length
        longer = (
            store.source.lengths if store.target is None else np.maximum(store.source.lengths, store.target.lengths)
        )
        cut = np.flatnonzero(longer > limit)
        references = "" if text.references is not None else " without references"
        self._summary.append(f"{len(text):,} {name} rows{references}, {self._described(store)}.")
        if len(cut):
            named = first_of([str(row) for row in cut[:6].tolist()], 5)
            self._summary.append(f"{len(cut):,} {name} rows cut to {limit} tokens: {named}.")
        return Rows(text, TokenPairs(store, max_length=limit, pad_to_multiple=self._args.pad_to_multiple, index=True))

    def _described(self, store: TokenStore) -> str:
        """Tokens a row and the share of unknown ones."""
        sides = [side for side in (store.source, store.target) if side is not None]
        mean = " and ".join(f"{side.lengths.mean():.1f}" for side in sides)
        unknown = " and ".join(f"{(side.values == UNK).mean():.2%}" for side in sides)
        return f"{mean} tokens a row, {unknown} unknown"

    # --- what others ask -------------------------------------------------------------------------------------------

    def sources(self, split: SplitName) -> list[str]:
        """The source lines of a split as they are in the file, by `index`; of training, the real rows."""
        return self._open(split).text.lines

    def references(self, split: SplitName) -> list[str] | None:
        """The target lines of a split as they are in the file, by `index`; None where there are none."""
        return self._open(split).text.references

    def cleaned_references(self, split: SplitName) -> list[str] | None:
        """The target lines as homework 5 scores them: cleaned, and rebuilt from their ids."""
        if split not in self._rebuilt:
            opened = self._open(split)
            target = opened.pairs.store.target
            if target is None:
                return None
            ids = [target.row(row).tolist() for row in opened.pairs.rows[: len(opened.text)].tolist()]
            self._rebuilt[split] = [self.target_tokenizer.decode(row) for row in ids]
        return self._rebuilt[split]

    def unknown_words(self, split: SplitName, row: int) -> list[str]:
        """The words that ids V, V + 1 … of a row stand for, with `copying`."""
        pairs = self._open(split).pairs
        return pairs.store.unknown_words(int(pairs.rows[row]))

    @property
    def longest_training_row(self) -> int:
        """Most tokens that a training row has on either side, without BOS and EOS."""
        pairs = self._open("train").pairs
        assert pairs.target_lengths is not None
        return int(max(pairs.source_lengths.max(), pairs.target_lengths.max()))

    # --- loaders ---------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> ResumableLoader[TranslationBatch]:
        given, pairs = self._args, self._open("train").pairs
        assert pairs.target_lengths is not None
        sampler = TokenBatches(
            pairs.source_lengths,
            pairs.target_lengths,
            given.max_tokens,
            pad_to_multiple=given.pad_to_multiple,
            bucket_batches=given.bucket_batches,
            synthetic=self._synthetic,
            synthetic_per_epoch=synthetic_per_epoch(
                len(pairs) - self._synthetic, self._synthetic, given.back_translation_ratio
            ),
        )
        return self.train_loader(pairs, sampler, num_workers=given.num_workers)

    def evaluation_loader(self, name: SplitName) -> DataLoader[TranslationBatch]:
        given, pairs = self._args, self._open(name).pairs
        sampler = TokenEvalBatches(
            pairs.source_lengths,
            pairs.target_lengths,
            given.eval_max_tokens or given.max_tokens,
            pad_to_multiple=given.pad_to_multiple,
            split=name,
        )
        return self.loader(pairs, sampler, num_workers=given.num_workers)
