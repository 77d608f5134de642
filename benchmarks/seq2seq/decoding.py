"""Decoding speed, beam 5, of the same weights: ours against Hugging Face, and against decoding without a cache.

    python -m benchmarks.seq2seq.decoding multi30k/ [--checkpoint trained.ckpt] [--lines 1000] [--rounds 3]

A Transformer is trained for a few hundred updates, so that translations have real lengths, and exported to
`MarianMTModel`. Every comparison decodes the same sentences by the same rule (log-probability / length, nothing given
up before the result is certain), both sides in turn, and prints which share of the translations is equal:

- one batch of sentences of equal length, where no side pads: search alone;
- the test file in the order of its lines, text to text: `MarianMTModel.generate` in batches in that order,
  `Translator.translate` as it is, which sorts by length and drops what is finished from the batch;
- our own search and batches with a decoder that keeps nothing and computes prefixes anew at every step, as joeynmt
  does; and joeynmt's own beam search, where it is installed (its length penalty and its beam differ a little).
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import seed_everything
from torch import Tensor, nn

import benchmarks.tools.joeynmt_side as joeynmt
from benchmarks.tools.interleaved import add_clock, quietly
from benchmarks.tools.translation_sides import add_arguments, open_data, size_of, trainer_of, translator_of
from lhy_lightning.data.tokenizers.special_tokens import BOS, EOS, PAD
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer
from lhy_lightning.data.translation.translation_data import TranslationDataModule
from lhy_lightning.decoding.interface import Memory
from lhy_lightning.seq2seq.marian import to_marian
from lhy_lightning.seq2seq.translator import Translator

BEAM = 5
FACTOR, OFFSET = 1.5, 10  # most tokens of a translation: factor * source + offset, the Translator's default


# --- the sides --------------------------------------------------------------------------------------------------------


def without_end(row: list[int]) -> list[int]:
    """Ids up to the first EOS, without BOS."""
    row = row[1:] if row[:1] == [BOS] else row
    return row[: row.index(EOS)] if EOS in row else row


def generate(model: Any, source: Tensor, early_stopping: Any = "never") -> list[list[int]]:
    """`MarianMTModel.generate`; "never" gives up no hypothesis that could still win, as our search."""
    found = model.generate(
        input_ids=source, attention_mask=(source != PAD).long(), num_beams=BEAM, length_penalty=1.0, do_sample=False,
        early_stopping=early_stopping, suppress_tokens=[PAD, BOS],
        max_length=int(source.shape[1] * FACTOR) + OFFSET + 1,
    )  # fmt: skip
    return [[token for token in without_end(row) if token != PAD] for row in found.tolist()]


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    ids = [torch.tensor([*row, EOS]) for row in rows]
    return nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=PAD)


def generate_texts(
    model: Any, vocabulary: TextTokenizer, texts: Sequence[str], batch_size: int, early_stopping: Any = "never"
) -> list[str]:
    """A file with `generate`, in batches in the order of its lines."""
    translations: list[str] = []
    for start in range(0, len(texts), batch_size):
        rows = vocabulary.encode(list(texts[start : start + batch_size]))
        ids = generate(model, padded([row.tolist() for row in rows]), early_stopping)
        translations += [vocabulary.decode(row) for row in ids]
    return translations


@dataclass
class Prefixes:
    """The state of a decoder that keeps only what has been written: ids (B, K, T)."""

    memory: Memory
    ids: Tensor | None = None

    def reorder(self, parents: Tensor) -> None:
        if self.ids is not None:
            self.ids = self.ids.gather(1, parents[..., None].expand(-1, -1, self.ids.shape[2]))

    def keep(self, sentences: Tensor) -> None:
        kept = self.memory
        self.memory = Memory(*(part.index_select(0, sentences) for part in (kept.states, kept.mask, kept.source_ids)))
        self.ids = None if self.ids is None else self.ids.index_select(0, sentences)


class WithoutCache(nn.Module):
    """Our network behind the same search, decoding and projecting the whole prefix at every step."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.whole = network
        self.copying = None

    def encode(self, source_ids: Tensor) -> Memory:
        return self.whole.encode(source_ids)

    def start(self, memory: Memory, *, beams: int, max_length: int, attention: bool = False) -> Prefixes:
        return Prefixes(memory)

    def step(self, ids: Tensor, state: Prefixes) -> tuple[Tensor, None]:
        state.ids = ids[..., None] if state.ids is None else torch.cat([state.ids, ids[..., None]], 2)
        hypotheses, memory = ids.shape[1], state.memory
        parts = (memory.states, memory.mask, memory.source_ids)
        tiled = Memory(*(part.repeat_interleave(hypotheses, 0) for part in parts))
        states = self.whole.body.decode(state.ids.flatten(0, 1), tiled).states
        logits = self.whole.body.project(states)[:, -1]
        return logits.log_softmax(-1).view(*ids.shape, -1), None


@contextmanager
def no_cache(translator: Translator) -> Iterator[None]:
    cached = translator.network
    translator.network = WithoutCache(cached)  # type: ignore[assignment]
    yield
    translator.network = cached


# --- the model --------------------------------------------------------------------------------------------------------


def trained(options: Any, data: TranslationDataModule, folder: Path) -> Translator:
    """A checkpoint if one is given and there, else a model trained for `options.updates` updates (and kept there)."""
    if options.checkpoint and Path(options.checkpoint).is_file():
        return Translator.load_from_checkpoint(options.checkpoint, map_location="cpu").eval()
    module = translator_of(size_of(options), data, lr=1e-3, warmup_steps=max(options.updates // 4, 1))
    trainer = trainer_of(folder, max_steps=options.updates, limit_val_batches=0)
    start = time.perf_counter()
    trainer.fit(module, datamodule=data)
    print(f"trained for {options.updates} updates in {time.perf_counter() - start:.0f} s")
    if options.checkpoint:
        trainer.save_checkpoint(options.checkpoint, weights_only=True)
    return module.eval()


# --- measuring --------------------------------------------------------------------------------------------------------


@dataclass
class Comparison:
    """One line of the table: seconds of both sides, in turn, and what share of the outputs is equal."""

    name: str
    target: float | None
    ours: Callable[[], Sequence[Any]]
    theirs: Callable[[], Sequence[Any]]
    ours_seconds: list[float]
    their_seconds: list[float]
    equal: float = float("nan")

    def round(self, clock: Callable[[], float]) -> None:
        start = clock()
        ours = self.ours()
        between = clock()
        theirs = self.theirs()
        self.ours_seconds.append(between - start)
        self.their_seconds.append(clock() - between)
        self.equal = sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(theirs)

    def line(self) -> str:
        ours, theirs = statistics.median(self.ours_seconds), statistics.median(self.their_seconds)
        target = "" if self.target is None else f"{self.target}×"
        return f"| {self.name} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.2f}× | {target} | {self.equal:.1%} |"


def comparisons(options: Any, translator: Translator, texts: list[str], folder: Path) -> list[Comparison]:
    network = translator.translation_network
    marian = to_marian(network.body)  # type: ignore[arg-type]
    vocabulary = translator.source_vocabulary
    rows = [row.tolist() for row in vocabulary.encode(texts)]
    common = Counter(map(len, rows)).most_common(1)[0][0]
    equal_rows = [row for row in rows if len(row) == common][: options.batch_size]
    batch = padded(equal_rows)

    def ours_in_batch() -> list[list[int]]:
        return [best[0].ids for best in translator.decode({"source_ids": batch}, beam=BEAM)]

    def ours_in_file() -> list[str]:
        return [best[0].text for best in translator.translate(texts, beam=BEAM)]

    def ours_without_cache() -> list[str]:
        with no_cache(translator):
            return ours_in_file()

    def add(name: str, target: float | None, ours: Callable[..., Any], theirs: Callable[..., Any]) -> None:
        found.append(Comparison(name, target, ours, theirs, [], []))

    found: list[Comparison] = []
    add(
        f"generate, {len(equal_rows)} sentences of {common} tokens", 1.3, ours_in_batch, lambda: generate(marian, batch)
    )
    add(f"generate, {len(texts)} lines in their order, {options.batch_size} a batch", 2.0, ours_in_file,
        lambda: generate_texts(marian, vocabulary, texts, options.batch_size))  # fmt: skip
    add("the same with early_stopping=False, its default", None, ours_in_file,
        lambda: generate_texts(marian, vocabulary, texts, options.batch_size, early_stopping=False))  # fmt: skip
    add(f"without a cache, {len(texts)} lines", 4.0, ours_in_file, ours_without_cache)
    if (why := joeynmt.missing()) is None:
        pairs = [(row, row) for row in rows]
        joeynmt.write_corpus(folder, len(vocabulary), train=pairs[:8], dev=pairs[:8], test=pairs)
        settings = joeynmt.configuration(folder, size_of(options), max_tokens=options.max_tokens)
        search = joeynmt.Search(settings, network.body, beam=BEAM, batch_size=options.batch_size)
        add(f"joeynmt, {len(texts)} lines", None, ours_in_file,
            lambda: [vocabulary.decode(row) for row in search()])  # fmt: skip
    else:
        print(f"joeynmt is left out ({why})")
    return found


def main(arguments: Sequence[str] | None = None) -> list[Comparison]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, max_tokens=2048)
    parser.add_argument("--updates", type=int, default=600, help="of the training before")
    parser.add_argument("--checkpoint", help="load the model from this file; if it is not there, train and save it")
    parser.add_argument("--lines", type=int, default=1000, help="of the test file")
    parser.add_argument("--batch_size", type=int, default=32, help="of `generate` and joeynmt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="comparisons whose name has this in it")
    add_clock(parser)
    options = parser.parse_args(arguments)
    seed_everything(0, verbose=False)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}; {size_of(options)}")
    with quietly(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = open_data(options)
        data.setup("test")
        translator = trained(options, data, folder)
        texts = data.sources("test")[: options.lines]
        chosen = [
            each for each in comparisons(options, translator, texts, folder / "joeynmt") if options.only in each.name
        ]
        with torch.inference_mode():
            for _ in range(options.rounds):
                for comparison in chosen:
                    comparison.round(time.process_time if options.cpu_time else time.perf_counter)
    print("\n| ours against | ours, s | theirs, s | ours is | target | equal |")
    print("|---|---:|---:|---:|---:|---:|")
    for comparison in chosen:
        print(comparison.line())
    return chosen


if __name__ == "__main__":
    main()
