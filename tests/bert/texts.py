"""Small labelled and tagged sets that a tiny encoder learns, and a silent trainer."""

import random
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

GOOD, BAD, THINGS = ("good", "kind", "clean", "warm"), ("bad", "rude", "dirty", "cold"), ("food", "host", "room", "bed")

TINY: dict[str, Any] = {"layers": 1, "width": 32, "heads": 2, "feedforward": 64, "dropout": 0.0, "lr": 5e-3}
"""An encoder from scratch that learns in seconds."""


def write_texts(folder: Path, *, train: int = 160, val: int = 41, pairs: bool = False) -> Path:
    """train.tsv, dev.tsv, test.tsv: a text of some good or bad things (with `pairs` two: is the opinion the same?)."""
    chosen = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)

    def text(label: int) -> str:
        words = [
            f"{chosen.choice(GOOD if label else BAD)} {chosen.choice(THINGS)}" for _ in range(chosen.randint(1, 5))
        ]
        return " and ".join(words)

    for split, rows in (("train", train), ("dev", val), ("test", val)):
        lines = []
        for row in range(rows):
            first, second = row % 2, chosen.randint(0, 1)
            label = "same" if first == second else "other"
            cells = [text(first), text(second), label] if pairs else [text(first), ("bad", "good")[first]]
            lines.append("\t".join(cells))
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", "utf8")
    return folder


def write_tags(folder: Path, *, train: int = 120, val: int = 31) -> Path:
    """train.bio, dev.bio, test.bio: names of one word that begins with X, or of two, the second with Y."""
    chosen = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in (("train", train), ("dev", val), ("test", val)):
        sentences = []
        for _ in range(rows):
            lines = []
            for _ in range(chosen.randint(1, 6)):
                lines.append(f"{chosen.choice(THINGS)} O")
                if chosen.random() < 0.4:
                    lines.append(f"X{chosen.choice(THINGS)} B-PER")
                    lines += [f"Y{chosen.choice(THINGS)} I-PER"] * chosen.randint(0, 1)
            sentences.append("\n".join(lines))
        (folder / f"{split}.bio").write_text("\n\n".join(sentences) + "\n", "utf8")
    return folder


def trainer(root: Path, **settings: Any) -> Trainer:
    return Trainer(
        default_root_dir=root, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, **settings,
    )  # fmt: skip
