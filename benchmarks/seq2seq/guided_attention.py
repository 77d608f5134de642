"""What guided attention gains: steps until attention lies on the diagonal, with and without it, over paired seeds.

    python -m benchmarks.seq2seq.guided_attention [--seeds 3] [--threshold 0.7] [--steps 250]

Trains the recipe `seq2seq/guided` for some steps, and the same with weight 0 (`--weights` for others). Every few steps
all are measured in the same way, on the same validation rows: the share of the attention near the diagonal
(`diagonality`; teacher forcing, no dropout) and the negative log-likelihood a character, on one batch of the shortest
and one of the longest rows. When the threshold is first reached, and at the end, a third of the validation rows is
scored and translated greedily. A seed decides initial weights, order and dropout, and is shared by all weights. Prints
a markdown table of means over seeds ± standard error.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import Tensor

from benchmarks.tools.statistics import mean_and_error
from lhy_lightning.cli.recipes import find_recipe
from lhy_lightning.data.tokenizers.special_tokens import PAD
from lhy_lightning.data.translation.translation_data import TranslationDataModule
from lhy_lightning.seq2seq.losses.guided_attention import diagonality
from lhy_lightning.seq2seq.translator import Translator, gold_inputs


@dataclass
class Score:
    """A network at a step: validation loss a character, share of translations that are exactly right."""

    step: int
    loss: float
    exact_match: float


@dataclass
class Watch(Callback):
    """Measures while the network trains.

    Attributes:
        curve: (step, diagonality, loss a character) on the first and last of `batches` every `every` steps.
        reached: the network when `threshold` was first reached; None if it never was.
        final: the network at the end.
    """

    batches: list[dict[str, Any]]
    threshold: float
    every: int
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    reached: Score | None = None
    final: Score | None = None

    def on_train_batch_end(self, trainer: Trainer, module: Any, *_: Any) -> None:
        if trainer.global_step % self.every:
            return
        near, loss = measure(module, self.batches[:: len(self.batches) - 1])
        self.curve.append((trainer.global_step, near, loss))
        if near >= self.threshold and self.reached is None:
            self.reached = self.score(module, trainer.global_step)

    def on_train_end(self, trainer: Trainer, module: Any) -> None:
        self.final = self.score(module, trainer.global_step)

    def score(self, module: Translator, step: int) -> Score:
        """Loss and exact matches on all batches."""
        _, loss = measure(module, self.batches)
        module.eval()
        right = total = 0
        with torch.no_grad():
            for batch in self.batches:
                found = module.decode(batch, beam=1)
                gold = [[token for token in row if token > 2] for row in batch["target_ids"].tolist()]
                right += sum(best[0].ids == ids for best, ids in zip(found, gold, strict=True))
                total += len(gold)
        module.train()
        return Score(step, loss, right / total)


@torch.no_grad()
def measure(module: Translator, batches: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Diagonality and negative log-likelihood a character, over all characters of the batches."""
    module.eval()
    near, nll, characters = 0.0, 0.0, 0
    for batch in batches:
        memory, inputs = module.encode(batch), gold_inputs(batch)
        decoded = module.translation_network.body.decode(inputs, memory, attention=True)
        real: Tensor = batch["target_ids"][:, 1:] != PAD
        assert decoded.attention is not None
        near += float(diagonality(decoded.attention, memory.mask, real)) * int(real.sum())
        nll += float(module.token_loss(decoded, inputs, memory, batch, smoothing=0.0)[1])
        characters += int(real.sum())
    module.train()
    return near / characters, nll / characters


def train(recipe: dict[str, Any], weight: float, seed: int, options: argparse.Namespace) -> Watch:
    """Trains the recipe with another weight of the guided loss."""
    numbers = {**recipe["model"]["init_args"], **options.model, "guided_attention": weight}
    seed_everything(seed, verbose=False)
    data = TranslationDataModule(**{**recipe["data"]["init_args"], **options.data})
    data.setup("fit")
    watch = Watch(list(data.val_dataloader())[::3], options.threshold, options.every)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            max_steps=options.steps, accelerator="cpu", default_root_dir=folder, callbacks=[watch],
            gradient_clip_val=recipe["trainer"]["gradient_clip_val"], logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        )  # fmt: skip
        trainer.fit(Translator(**numbers), datamodule=data)
    return watch


def reached(watches: Sequence[Watch], options: argparse.Namespace) -> list[str]:
    """Cells of one arm's row: steps to the threshold by seed, the network then, and at the end; means over seeds."""
    steps = ", ".join(str(w.reached.step) if w.reached else f"> {options.steps}" for w in watches)
    largest = statistics.mean(max(near for _, near, _ in watch.curve) for watch in watches)
    cells = [steps, f"{largest:.2f}"]
    for scores in ([w.reached for w in watches], [w.final for w in watches]):
        there = [score for score in scores if score is not None]
        cells += [mean([s.loss for s in there]), mean([s.exact_match for s in there])]
    return cells


def mean(figures: Sequence[float]) -> str:
    """Mean over seeds ± standard error; a dash where no seed has the figure."""
    if len(figures) < 2:
        return f"{figures[0]:.3f}" if figures else "–"
    return mean_and_error(figures, 3)


def main() -> None:
    """Trains both with every seed and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--weights", type=float, nargs="+", help="of the guided loss; default: 0 and the recipe's")
    parser.add_argument("--threshold", type=float, default=0.7, help="the diagonality to reach")
    parser.add_argument("--steps", type=int, default=250, help="of each training")
    parser.add_argument("--every", type=int, default=10, help="steps between two measurements")
    parser.add_argument("--model", type=yaml.safe_load, default={}, help="other arguments of the model: '{lr: 0.01}'")
    parser.add_argument("--data", type=yaml.safe_load, default={}, help="other arguments of the data")
    parser.add_argument("--curves", action="store_true", help="print step:diagonality/loss as well")
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    recipe = yaml.safe_load(find_recipe("seq2seq/guided").read_text())
    weights = options.weights or [0.0, recipe["model"]["init_args"]["guided_attention"]]
    start, arms = time.process_time(), dict[float, list[Watch]]()
    for seed in range(options.seeds):
        for weight in weights:
            watch = train(recipe, weight, seed, options)
            arms.setdefault(weight, []).append(watch)
            if options.curves:
                curve = " ".join(f"{step}:{near:.2f}/{loss:.2f}" for step, near, loss in watch.curve)
                print(weight, seed, watch.reached, watch.final, curve, flush=True)
    print(f"| weight | steps to {options.threshold}, by seed | highest | loss then | exact then "
          f"| loss at {options.steps} | exact at {options.steps} |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for weight, watches in arms.items():
        print(f"| {weight:g} | {' | '.join(reached(watches, options))} |")
    print(f"\n{(time.process_time() - start) / 60:.1f} minutes of one core")


if __name__ == "__main__":
    main()
