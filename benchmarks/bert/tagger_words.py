"""A tagger from scratch on words of Chinese characters: what it loses where it cannot see where a word ends.

    python -m benchmarks.bert.tagger_words ud_english_ewt/ [--epochs 3] [--seeds 0 1]

Every letter of an English treebank becomes a Chinese character, one to one: the same words, tags and splits, written in
another script. A tokenizer that makes a word of every Chinese character (as `bert-base-chinese` does) hides the words'
ends; one that keeps the file's words reads the same text as it does in English. Beside them each word's most frequent
tag, which no script changes. All sides run in turn in one process, with equal networks, updates and seeds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from lightning.pytorch import seed_everything

from benchmarks.tools.interleaved import default_trainer, quietly
from lhy_lightning import BertTagger, TaggingDataModule
from lhy_lightning.data.labelled_texts.tagged_files import open_tagged_text

SIDES = ("English", "Chinese characters, each a word (before)", "Chinese characters, words kept")
FIRST = 0x4E00
NAMES = {"train": "train", "val": "dev", "test": "test"}


def in_chinese_characters(word: str) -> str:
    """Every letter as a Chinese character, one to one; digits and marks stay."""
    return "".join(chr(FIRST + ord(character)) if character.isalpha() else character for character in word)


def write_splits(source: str, folder: Path, *, mapped: bool) -> None:
    """Writes the splits as CoNLL files of two columns."""
    for split, text in open_tagged_text(source).items():
        assert text.tags is not None
        with (folder / f"{NAMES[split]}.conll").open("w", encoding="utf8") as file:
            for words, tags in zip(text.words, text.tags, strict=True):
                for word, tag in zip(words, tags, strict=True):
                    shown = word.replace(" ", "_")
                    file.write(f"{in_chinese_characters(shown) if mapped else shown}\t{tag}\n")
                file.write("\n")


def accuracy(folder: Path, *, keep_words: bool, options: argparse.Namespace, seed: int) -> tuple[float, float]:
    """Test accuracy over words of one training, and its seconds of processor time."""
    seed_everything(seed, verbose=False)
    data = TaggingDataModule(source=str(folder), vocab_size=options.vocab_size, cache_dir=str(folder / "cache"))
    data._choice = replace(data._choice, keep_words=keep_words)
    module = BertTagger(layers=2, width=128, heads=4, feedforward=256, lr=1e-3, schedule="linear", warmup_fraction=0.1)
    started = time.process_time()
    trainer = default_trainer(folder / f"run-{keep_words}-{seed}", max_epochs=options.epochs, gradient_clip_val=1.0)
    trainer.fit(module, data)
    score = float(trainer.test(module, data, verbose=False)[0]["test/accuracy"])
    return score, time.process_time() - started


def main() -> None:
    """Prints a row for each side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--vocab_size", type=int, default=8000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, quietly():
        folders = [Path(name) / side for side in ("english", "mapped", "kept")]
        for folder, mapped in zip(folders, (False, True, True), strict=True):
            folder.mkdir()
            write_splits(options.source, folder, mapped=mapped)
        found: dict[str, list[float]] = {side: [] for side in SIDES}
        for seed in options.seeds:
            for side, folder, keep in zip(SIDES, folders, (True, False, True), strict=True):
                score, seconds = accuracy(folder, keep_words=keep, options=options, seed=seed)
                found[side].append(score)
                print(f"seed {seed}, {side}: {score:.4f} ({seconds:.0f} s)", flush=True)
    for side, scores in found.items():
        print(f"| {side} | {statistics.mean(scores):.4f} | {', '.join(f'{score:.4f}' for score in scores)} |")


if __name__ == "__main__":
    main()
