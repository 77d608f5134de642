"""What the translation benchmarks share: one size of network, and our side of it."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

from benchmarks.tools.interleaved import default_trainer
from lhy_lightning.data.tokenizers.special_tokens import BOS, EOS, PAD, UNK
from lhy_lightning.data.translation.translation_data import TranslationDataModule
from lhy_lightning.seq2seq.translator import Translator

SMOOTHING, CLIP, DROPOUT = 0.1, 1.0, 0.1
SPECIALS = (PAD, BOS, EOS, UNK)
Row = tuple[list[int], list[int]]


@dataclass(frozen=True)
class Size:
    """A post-norm Transformer with one matrix for both embeddings and output."""

    width: int = 256
    heads: int = 4
    layers: int = 3
    feedforward: int = 1024

    def __str__(self) -> str:
        return f"width {self.width}, {self.heads} heads, {self.layers}+{self.layers} layers, ff {self.feedforward}"


def add_arguments(parser: ArgumentParser, *, max_tokens: int = 4096) -> None:
    """The options that every script has: data and size."""
    parser.add_argument("data", help="a folder of train, val and test files, as of Multi30k; or any other source")
    parser.add_argument("--source_lang", default="en")
    parser.add_argument("--target_lang", default="de")
    parser.add_argument("--vocab_size", type=int, default=8000, help="of the joint subword vocabulary")
    parser.add_argument("--max_tokens", type=int, default=max_tokens, help="padded tokens a batch")
    for name, value in vars(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--cache_dir", help="where tokenised text is kept")


def size_of(options: Any) -> Size:
    return Size(**{name: getattr(options, name) for name in vars(Size())})


def open_data(options: Any, **settings: Any) -> TranslationDataModule:
    """The corpus that all sides share, ready for training."""
    data = TranslationDataModule(
        options.data, source_lang=options.source_lang, target_lang=options.target_lang, cleaning=(), joint=True,
        vocab_size=options.vocab_size, max_tokens=options.max_tokens, cache_dir=options.cache_dir, **settings,
    )  # fmt: skip
    data.setup("fit")
    return data


def translator_of(size: Size, data: TranslationDataModule, **settings: Any) -> Translator:
    """Our side, its network built."""
    numbers = {"norm": "post", "dropout": DROPOUT, "label_smoothing": SMOOTHING, "max_positions": 512, **settings}
    return Translator(
        **vars(size), **numbers, source_tokenizer=data.source_tokenizer.to_json(), source_lang=data.source_lang,
        target_lang=data.target_lang, cleaning=data.cleaning,
    )  # fmt: skip


def token_rows(batches: Any) -> list[Row]:
    """Every row of a loader as source and target ids without special tokens, in the loader's order."""
    rows = []
    for batch in batches:
        for source, target in zip(batch["source_ids"].tolist(), batch["target_ids"].tolist(), strict=True):
            rows.append((source[: source.index(EOS)], target[1 : target.index(EOS)]))
    return rows


def trainer_of(folder: Path, *callbacks: Callback, **settings: Any) -> pl.Trainer:
    """Our side's Trainer, with the clipping that all sides have."""
    return default_trainer(folder, *callbacks, gradient_clip_val=CLIP, **settings)


def epochs(loader: Any) -> Iterator[Any]:
    """The batches of a training loader of ours, epoch after epoch, in the order in which a Trainer sees them."""
    for epoch in range(10**6):
        loader.sampler.set_epoch(epoch)
        yield from loader


def count(target_ids: torch.Tensor, pad: int = PAD) -> int:
    """Real tokens of targets without BOS."""
    return int((target_ids != pad).sum())
