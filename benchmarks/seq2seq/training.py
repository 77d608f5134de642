"""Training speed: Translator under the Trainer against Hugging Face, a plain loop and joeynmt.

    python -m benchmarks.seq2seq.training multi30k/ [--max_tokens 4096] [--rounds 12] [--seconds 8]

Real target tokens a second, padding not counted, of the same Transformer on the same subwords of the same corpus:

- ours: `Translator` under Lightning's Trainer with everything that `lhy fit` switches on by default;
- `MarianMTModel` under `Seq2SeqTrainer`, in its random order and with `train_sampling_strategy="group_by_length"`; rows
  a batch such that its mean padded batch (rows x longer side) has as many tokens as our limit;
- `MarianMTModel` in a hand-written loop on our batches, in our order;
- joeynmt's own loop with `batch_type: token`, where joeynmt is installed (`pip install joeynmt`).

Label smoothing, dropout, clipping, float32 and the logging interval are equal. All sides train in one process, a short
turn of each after the other, so that a busy machine slows all; medians are over turns.
"""

from __future__ import annotations

import argparse
import csv
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, seed_everything

import benchmarks.tools.joeynmt_side as joeynmt
from benchmarks.tools.grouped_rows import order_of_rows
from benchmarks.tools.interleaved import LOG_EVERY, Contestant, add_clock, quietly
from benchmarks.tools.translation_sides import (
    CLIP,
    SMOOTHING,
    Row,
    Size,
    add_arguments,
    count,
    epochs,
    open_data,
    size_of,
    token_rows,
    trainer_of,
    translator_of,
)
from lhy_lightning.data.tokenizers.special_tokens import EOS, PAD
from lhy_lightning.data.translation.translation_data import TranslationDataModule
from lhy_lightning.seq2seq.marian import to_marian

WARM_UP, LR = 3, 1e-4
OURS = "Translator, Lightning Trainer"
TARGETS = {
    "MarianMTModel, Seq2SeqTrainer, random order": 2.5,
    "MarianMTModel, Seq2SeqTrainer, group_by_length": 1.3,
    "MarianMTModel, plain loop, our batches": 1.1,
    "joeynmt": 1.5,
}


class InTurns(Callback):
    """Our side's steps."""

    def __init__(self, side: Contestant) -> None:
        self.side = side

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        target = batch["target_ids"][:, 1:]
        self.side.step(count(target), target.numel())


def ours(size: Size, data: TranslationDataModule, folder: Path) -> Callable[[Contestant], None]:
    def loop(side: Contestant) -> None:
        trainer = trainer_of(folder, InTurns(side), max_epochs=1000, limit_val_batches=0)
        trainer.fit(translator_of(size, data, lr=LR), datamodule=data)

    return loop


def marian_of(size: Size, data: TranslationDataModule) -> Any:
    """The same network, made by our exporter: same settings, same initial weights."""
    return to_marian(translator_of(size, data).translation_network.body).train()


def plain(size: Size, data: TranslationDataModule, folder: Path) -> Callable[[Contestant], None]:
    """A loop as one writes it without a framework, on our batches."""

    def loop(side: Contestant) -> None:
        model = marian_of(size, data)
        optimizer = torch.optim.Adam(model.parameters(), lr=LR, betas=(0.9, 0.98), fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 1000))
        with (folder / "plain.csv").open("w") as file:
            writer = csv.writer(file)
            for step, batch in enumerate(epochs(data.train_dataloader())):
                source, target = batch["source_ids"], batch["target_ids"]
                logits = model(
                    input_ids=source, attention_mask=(source != PAD).long(), decoder_input_ids=target[:, :-1],
                    use_cache=False,
                ).logits  # fmt: skip
                loss = F.cross_entropy(
                    logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD, label_smoothing=SMOOTHING
                )
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
                optimizer.step()
                schedule.step()
                if step % LOG_EVERY == 0:
                    writer.writerow((step, loss.item()))
                    file.flush()
                side.step(count(target[:, 1:]), target[:, 1:].numel())

    return loop


def hugging_face(
    size: Size, data: TranslationDataModule, rows: Sequence[Row], folder: Path, *, strategy: str, batch_size: int
) -> Callable[[Contestant], None]:
    """`Seq2SeqTrainer` with `DataCollatorForSeq2Seq` on a `datasets.Dataset`."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import (
        DataCollatorForSeq2Seq,
        PreTrainedTokenizerFast,
        PrinterCallback,
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
        TrainerCallback,
    )

    class Steps(TrainerCallback):
        counted = (0, 0)

        def __init__(self, side: Contestant) -> None:
            self.side = side

        def on_log(self, *arguments: Any, **named: Any) -> None:
            """A step is over after its row is logged, which is after `on_step_end`."""

        def on_step_begin(self, *arguments: Any, **named: Any) -> None:
            if self.counted[0]:
                self.side.step(*self.counted)

    class Counted(Seq2SeqTrainer):
        steps: Steps

        def training_step(self, model: Any, inputs: Any, *arguments: Any, **named: Any) -> Any:
            self.steps.counted = (count(inputs["labels"], -100), inputs["labels"].numel())
            return super().training_step(model, inputs, *arguments, **named)

    def loop(side: Contestant) -> None:
        model = marian_of(size, data)
        padding = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(models.WordLevel({"<pad>": PAD}, unk_token="<pad>")), pad_token="<pad>"
        )
        dataset = Dataset.from_dict(
            {"input_ids": [[*source, EOS] for source, _ in rows], "labels": [[*target, EOS] for _, target in rows]}
        )
        arguments = Seq2SeqTrainingArguments(
            output_dir=str(folder), use_cpu=True, per_device_train_batch_size=batch_size, num_train_epochs=1000,
            **order_of_rows(by_length=strategy == "group_by_length"), label_smoothing_factor=SMOOTHING,
            learning_rate=LR, max_grad_norm=CLIP,
            logging_steps=LOG_EVERY, logging_strategy="steps", save_strategy="no", report_to="none", seed=0,
            disable_tqdm=True,
        )  # fmt: skip
        steps = Steps(side)
        trainer = Counted(
            model=model, args=arguments, train_dataset=dataset, callbacks=[steps],
            data_collator=DataCollatorForSeq2Seq(padding, model=model),
        )  # fmt: skip
        trainer.steps = steps
        trainer.remove_callback(PrinterCallback)
        trainer.train()

    return loop


def batch_size_for(rows: Sequence[Row], max_tokens: int, strategy: str) -> int:
    """Rows a batch for a mean padded batch, rows x longer side, of `max_tokens` in the order of `strategy`."""
    from transformers.trainer_pt_utils import get_length_grouped_indices

    sources = [len(source) + 1 for source, _ in rows]
    longer = np.array([max(len(source), len(target)) + 1 for source, target in rows])

    def padded(size: int) -> float:
        generator = torch.Generator().manual_seed(0)
        if strategy == "random":
            order = torch.randperm(len(rows), generator=generator).numpy()
        else:
            order = np.array(get_length_grouped_indices(sources, size, generator=generator))
        parts = [longer[order[start : start + size]] for start in range(0, len(rows) - size + 1, size)]
        return float(np.mean([len(part) * part.max() for part in parts]))

    low, high = 1, min(max_tokens, len(rows))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if padded(middle) <= max_tokens else (low, middle)
    return low


def sides_of(options: Any, data: TranslationDataModule, folder: Path) -> list[Contestant]:
    size, rows = size_of(options), token_rows(data.train_dataloader())
    sides = {OURS: ours(size, data, folder)}
    for strategy, name in zip(("random", "group_by_length"), TARGETS, strict=False):
        batch_size = batch_size_for(rows, options.max_tokens, strategy)
        print(f"{name}: {batch_size} rows a batch")
        sides[name] = hugging_face(size, data, rows, folder / strategy, strategy=strategy, batch_size=batch_size)
    sides["MarianMTModel, plain loop, our batches"] = plain(size, data, folder)
    if (why := joeynmt.missing()) is None:
        corpus = folder / "joeynmt"
        joeynmt.write_corpus(
            corpus, len(data.source_tokenizer), train=rows, dev=rows[:8], test=rows[:8]
        )  # fmt: skip
        settings = joeynmt.configuration(corpus, size, max_tokens=options.max_tokens, learning_rate=LR)
        sides["joeynmt"] = joeynmt.training_loop(settings)
    else:
        print(f"joeynmt is left out ({why})")
    clock = time.process_time if options.cpu_time else time.perf_counter
    chosen = [name for name in sides if name == OURS or any(part in name for part in options.only)]
    return [Contestant(name, sides[name], clock=clock) for name in chosen]


def report(sides: list[Contestant], max_tokens: int) -> None:
    speeds = {side.name: [turn.tokens / turn.seconds for turn in side.turns] for side in sides}
    print("\n| side | target tokens a second | slowest to fastest turn | steps | padding | ours is | target |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for side in sides:
        values, steps = speeds[side.name], sum(turn.steps for turn in side.turns)
        padding = sum(turn.padded for turn in side.turns) / sum(turn.tokens for turn in side.turns)
        ratio = statistics.median(speeds[sides[0].name]) / statistics.median(values)
        target = f"{TARGETS[side.name]}×" if side.name in TARGETS else ""
        print(
            f"| {side.name} | {statistics.median(values):,.0f} | {min(values):,.0f} to {max(values):,.0f} | {steps} "
            f"| {padding:.2f}× | {ratio:.2f}× | {target} |"
        )


def main(arguments: Sequence[str] | None = None) -> list[Contestant]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--rounds", type=int, default=12, help="turns of every side")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a turn")
    parser.add_argument("--only", nargs="+", default=[""], help="our side against those with one of these in its name")
    add_clock(parser)
    options = parser.parse_args(arguments)
    seed_everything(0, verbose=False)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}; {size_of(options)}")
    with quietly(), tempfile.TemporaryDirectory() as folder:
        sides = sides_of(options, open_data(options), Path(folder))
        for side in sides:
            for _ in range(WARM_UP):
                side.turn(0)
            side.turns.clear()
        for number in range(options.rounds):
            for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
                side.turn(options.seconds)
        for side in sides:
            side.stop()
    report(sides, options.max_tokens)
    return sides


if __name__ == "__main__":
    main()
