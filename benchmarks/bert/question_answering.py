"""Question answering against the `run_qa` script of `transformers`: training, evaluation, preprocessing, scores.

    python -m benchmarks.bert.question_answering cmrc2018/ [--parts prepare train evaluate] [--rounds 8] [--seconds 8]
    python -m benchmarks.bert.question_answering embedded:questions --parts scores [--seeds 0 1 2]

Both sides have the same encoder with the same first weights, tokenizer, windows, batch size, optimizer and clipping.
The code of the other side is in `tools/run_qa.py`; it trains as shipped, every window padded to `--max_length`,
and with dynamic padding and `train_sampling_strategy="group_by_length"`.

- prepare: from questions in memory (ours: in files) to tokenised windows with their targets; nothing cached.
- train: real tokens a second, padding not counted, in short turns in one process, so that a busy machine slows both;
  our side under Lightning's Trainer with everything that `lhy fit` switches on by default.
- evaluate: validation questions a second, from tokenised windows to 20 candidates and one answer a question.
- scores: exact match on validation questions after training on the same windows for as many epochs, each side with its
  own search; and ours with its recipe's windows for as many steps.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, seed_everything

import benchmarks.tools.run_qa as run_qa
from benchmarks.tools.grouped_rows import order_of_rows
from benchmarks.tools.interleaved import Contestant, add_clock, default_trainer, quietly
from lhy_lightning.bert.questions.question_answering import BertQuestionAnswering
from lhy_lightning.data.base import ResumableLoader
from lhy_lightning.data.questions.question_data import QuestionAnsweringDataModule
from lhy_lightning.data.questions.question_files import open_questions
from lhy_lightning.data.questions.window_batches import EvaluationWindows, TrainingWindows
from lhy_lightning.data.samplers import TrainBatches
from lhy_lightning.data.sequences.length_batches import length_batches
from lhy_lightning.metrics.texts.question_answering import AnswerScores

WARM_UP, MAX_ANSWER = 3, 30
OURS, FIXED, GROUPED = "ours", "run_qa, fixed padding", "run_qa, dynamic padding, group_by_length"
TARGETS = {
    ("prepare", FIXED): 2.0, ("train", FIXED): 1.1, ("train", GROUPED): 1.0, ("evaluate", FIXED): 1.2,
}  # fmt: skip


class AllWindows(TrainBatches):
    """Every window of the evaluation's grid once an epoch, as the script trains on them."""

    def __init__(self, windows: EvaluationWindows, batch_size: int) -> None:
        grid = windows.grid
        super().__init__(len(grid), 1)
        self.windows = np.stack([grid.question, grid.first], axis=1)
        self.batches = length_batches(windows.maker.sequence_lengths(grid), batch_size=batch_size)

    def __len__(self) -> int:
        return len(self.batches)

    def epoch_batches(self, epoch: int) -> list[Any]:
        return [self.windows[rows].tolist() for rows in self.batches.epoch_batches(epoch)]


class SameWindows(QuestionAnsweringDataModule):
    """Trains on the script's windows."""

    def train_dataloader(self) -> ResumableLoader:
        opened = self.opened("train")
        windows = EvaluationWindows(opened.maker)
        sampler = AllWindows(windows, self.hparams["batch_size"])
        return self.train_loader(TrainingWindows(opened.maker, opened.answers), sampler)


class InTurns(Callback):
    """Our side's steps."""

    def __init__(self, side: Contestant) -> None:
        self.side = side

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.side.step(int(batch["attention_mask"].sum()), batch["attention_mask"].numel())


# --- both sides -------------------------------------------------------------------------------------------------------


def write_questions(source: str, folder: Path, *, questions: int | None) -> None:
    """`train.json` and `dev.json` with the first so many questions whose answer stands where it should.

    The script takes the places for granted, and gives a window with a wrong one a wrong target.
    """
    splits = open_questions(source)
    for name, split in (("train", splits["train"]), ("dev", splits["val"])):
        rows = []
        for question in split.questions:
            context = split.paragraphs[question.paragraph]
            if question.answers and question.answers[0].is_in(context):
                answers = {
                    "text": [a.text for a in question.answers],
                    "answer_start": [a.start for a in question.answers],
                }
                rows.append({"id": question.id, "question": question.text, "context": context, "answers": answers})
        (folder / f"{name}.json").write_text(json.dumps(rows[:questions], ensure_ascii=False), "utf8")


class Comparison:
    """What both sides have in common."""

    def __init__(self, options: Any, folder: Path) -> None:
        self.options, self.folder = options, folder
        write_questions(options.source, folder, questions=options.questions)
        self.ours = self.data(SameWindows)
        self.ours.setup("fit")
        self.tokenizer = self.ours.tokenizer.transformers()
        self.examples = {name: run_qa.examples_of(self.ours.opened(name).questions) for name in ("train", "val")}
        self.settings = {"max_length": options.max_length, "overlap": options.overlap}

    def data(self, kind: type[QuestionAnsweringDataModule], cache: str = "cache", **more: Any) -> Any:
        options = self.options
        return kind(
            str(self.folder), vocab_size=options.vocab_size, max_length=options.max_length, drop_leaks=False,
            max_question_length=options.max_question_length, window_overlap=options.overlap,
            batch_size=options.batch_size,
            eval_batch_size=options.eval_batch_size, cache_dir=str(self.folder / cache), metric=options.metric, **more,
        )  # fmt: skip

    def module(self, seed: int = 0, **more: Any) -> BertQuestionAnswering:
        """Our module, built, with the weights of this seed."""
        options = self.options
        seed_everything(seed, verbose=False)
        return BertQuestionAnswering(
            layers=options.layers, width=options.width, heads=options.heads, feedforward=4 * options.width, dropout=0.1,
            lr=options.lr, warmup_fraction=0.1, max_answer_length=MAX_ANSWER, n_best=run_qa.N_BEST,
            tokenizer=self.ours.tokenizer.to_json(), max_length=options.max_length,
            max_question_length=options.max_question_length,
            window_overlap=options.overlap, metric=self.ours.metric, **more,
        )  # fmt: skip

    def features(self, name: str, *, fixed: bool) -> Any:
        make = run_qa.training_features if name == "train" else run_qa.evaluation_features
        return make(self.tokenizer, self.examples[name], pad=fixed, **self.settings)

    def score(self, answers: dict[str, str]) -> float:
        """Exact match by one definition for both sides."""
        scores, questions = AnswerScores(self.ours.metric), self.ours.opened("val").questions.questions
        scores.update([answers[q.id] for q in questions], [[a.text for a in q.answers] for q in questions])
        return float(scores.compute()["exact_match"])

    def check_windows(self) -> None:
        """Both sides must read the same windows, with the same targets."""
        opened, features = self.ours.opened("train"), self.features("train", fixed=False)
        grid = EvaluationWindows(opened.maker).grid
        made = TrainingWindows(opened.maker, opened.answers)[np.stack([grid.question, grid.first], axis=1)]
        own = [
            (*ids[: int(real)].tolist(), int(start), int(end))
            for ids, real, start, end in zip(
                made["input_ids"], made["attention_mask"].sum(1), made["start_positions"], made["end_positions"],
                strict=True,
            )
        ]  # fmt: skip
        targets = zip(features["input_ids"], features["start_positions"], features["end_positions"], strict=True)
        theirs = [(*ids, start, end) for ids, start, end in targets]
        same = sum((Counter(own) & Counter(theirs)).values())
        print(f"{len(own):,} windows of ours, {len(theirs):,} of run_qa, {same:,} the same with their targets")


# --- preparing --------------------------------------------------------------------------------------------------------


def prepare(both: Comparison) -> None:
    clock, times = both.options.clock, {OURS: [], FIXED: []}
    for number in range(both.options.prepare_rounds):
        cache = f"prepare-{number}"  # without tokenised text, but with the tokenizer, which both sides have
        shutil.copytree(both.folder / "cache", both.folder / cache, ignore=shutil.ignore_patterns("*.arrow"))
        began = clock()
        both.data(SameWindows, cache).setup("fit")
        times[OURS].append(clock() - began)
        began = clock()
        for name in ("train", "val"):
            both.features(name, fixed=True)
        times[FIXED].append(clock() - began)
    table("seconds to prepare training and validation windows", "prepare", times, more_is_better=False)


# --- training ---------------------------------------------------------------------------------------------------------


def train(both: Comparison) -> None:
    options = both.options

    def ours(side: Contestant) -> None:
        trainer = default_trainer(
            both.folder / "ours", InTurns(side), max_epochs=1000, limit_val_batches=0, gradient_clip_val=1.0
        )
        trainer.fit(both.module(), datamodule=both.data(SameWindows))

    def theirs(fixed: bool) -> Callable[[Contestant], None]:
        features = both.features("train", fixed=fixed)

        def loop(side: Contestant) -> None:
            run_qa.trainer_of(
                both.module().network, both.tokenizer, features, both.folder / "run_qa", fixed=fixed, lr=options.lr,
                batch_size=options.batch_size, side=side,
            ).train()  # fmt: skip

        return loop

    loops = {OURS: ours, FIXED: theirs(True), GROUPED: theirs(False)}
    sides = [Contestant(name, loop, clock=options.clock) for name, loop in loops.items()]
    for side in sides:
        for _ in range(WARM_UP):
            side.turn(0)
        side.turns.clear()
    for number in range(options.rounds):
        for side in sides[number % 3 :] + sides[: number % 3]:
            side.turn(options.seconds)
    for side in sides:
        side.stop()
        padding = sum(turn.padded for turn in side.turns) / sum(turn.tokens for turn in side.turns)
        print(
            f"{side.name}: {sum(turn.steps for turn in side.turns)} steps, padded to {padding:.2f} of the real tokens"
        )
    speeds = {side.name: [turn.tokens / turn.seconds for turn in side.turns] for side in sides}
    table("real tokens a second in training", "train", speeds)


# --- evaluating -------------------------------------------------------------------------------------------------------


def evaluate(both: Comparison) -> None:
    options, module = both.options, both.module()
    # As far apart as a trained network's: with flat scores the best pair is not among the 20 best starts and ends.
    module.network.qa_outputs.weight.data *= 50
    data = both.data(SameWindows, predict_source=str(both.folder / "dev.json"))
    data.setup("predict")
    questions = data.opened("predict").questions.questions
    seconds: dict[str, list[float]] = {OURS: [], FIXED: [], GROUPED: []}
    found: dict[str, dict[str, str]] = {}
    sides: dict[str, Callable[[], dict[str, str]]] = {OURS: lambda: our_answers(module, data, both.folder)}
    for name in (FIXED, GROUPED):
        fixed, features = name == FIXED, both.features("val", fixed=name == FIXED)
        trainer = run_qa.trainer_of(
            module.network, both.tokenizer, None, both.folder / "run_qa", fixed=fixed, lr=options.lr,
            batch_size=options.batch_size, eval_batch_size=options.eval_batch_size,
        )  # fmt: skip
        sides[name] = partial(run_qa.answers_of, trainer, both.examples["val"], features, max_answer_length=MAX_ANSWER)
    for _ in range(options.evaluate_rounds):
        for name, answer in sides.items():
            began = options.clock()
            found[name] = answer()
            seconds[name].append(options.clock() - began)
    table("validation questions a second", "evaluate", {k: [len(questions) / s for s in v] for k, v in seconds.items()})
    equal = np.mean([found[OURS][question.id] == found[FIXED][question.id] for question in questions])
    print(f"{equal:.1%} of the answers are the same")


def our_answers(module: BertQuestionAnswering, data: QuestionAnsweringDataModule, folder: Path) -> dict[str, str]:
    batches = default_trainer(folder / "predict").predict(module, datamodule=data)
    questions = data.opened("predict").questions.questions
    return {
        questions[row].id: answer.text
        for batch in batches or []
        for row, answer in zip(batch["index"].tolist(), batch["answers"], strict=True)
    }


# --- scores -----------------------------------------------------------------------------------------------------------


def scores(both: Comparison) -> None:
    options = both.options
    own_windows = f"ours, {options.no_answer_share:.0%} of the windows without an answer, as many steps"
    ours = (OURS, own_windows) if options.no_answer_share else (OURS,)
    found: dict[str, list[float]] = {name: [] for name in (OURS, GROUPED, *ours[1:])}
    train_features, features = both.features("train", fixed=False), both.features("val", fixed=False)
    for seed in options.seeds:
        steps = 0
        for name in ours:
            kind = SameWindows if name == OURS else QuestionAnsweringDataModule
            share = 0.1 if name == OURS else options.no_answer_share  # either way windows compare by their null score
            data = both.data(kind, predict_source=str(both.folder / "dev.json"), no_answer_share=share)
            length = {"max_epochs": options.epochs} if name == OURS else {"max_steps": steps}
            module = both.module(seed, window_score=options.window_score)
            trainer = default_trainer(both.folder / name[:4], limit_val_batches=0, gradient_clip_val=1.0, **length)
            trainer.fit(module, datamodule=data)
            steps = trainer.global_step
            found[name].append(both.score(our_answers(module, data, both.folder)))
        network = both.module(seed).network
        trainer = run_qa.trainer_of(
            network, both.tokenizer, train_features, both.folder / "run_qa", fixed=False, lr=options.lr,
            batch_size=options.batch_size, epochs=options.epochs, warmup=int(0.1 * steps), seed=seed,
        )  # fmt: skip
        trainer.train()
        for name, value in order_of_rows(by_length=False).items():  # grouping reorders predictions as well
            setattr(trainer.args, name, value)
        found[GROUPED].append(
            both.score(run_qa.answers_of(trainer, both.examples["val"], features, max_answer_length=MAX_ANSWER))
        )
        print(f"seed {seed}, {steps} steps: " + ", ".join(f"{name} {values[-1]:.3f}" for name, values in found.items()))
    print("\n| exact match on validation questions | mean | seeds |\n|---|---:|---|")
    for name, values in found.items():
        print(f"| {name} | {statistics.mean(values):.3f} | {', '.join(f'{value:.3f}' for value in values)} |")


# --- the command ------------------------------------------------------------------------------------------------------


def table(what: str, part: str, values: dict[str, list[float]], *, more_is_better: bool = True) -> None:
    print(f"\n| {what} | median | least to most | ours is | target |\n|---|---:|---:|---:|---:|")
    own = statistics.median(values[OURS])
    for name, found in values.items():
        median = statistics.median(found)
        ratio = own / median if more_is_better else median / own
        target = f"{TARGETS[part, name]}×" if (part, name) in TARGETS else ""
        print(f"| {name} | {median:,.2f} | {min(found):,.2f} to {max(found):,.2f} | {ratio:.2f}× | {target} |")


PARTS: dict[str, Callable[[Comparison], None]] = {
    "prepare": prepare, "train": train, "evaluate": evaluate, "scores": scores,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a folder such as cmrc2018/, or embedded:questions")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=["prepare", "train", "evaluate"])
    parser.add_argument("--questions", type=int, help="the first so many questions of each split")
    parser.add_argument("--metric", help="as the data module's")
    for name, value in (
        ("max_length", 384), ("max_question_length", 100), ("overlap", 128), ("vocab_size", 8000), ("layers", 2),
        ("width", 128), ("heads", 2), ("batch_size", 16), ("eval_batch_size", 32), ("rounds", 8), ("prepare_rounds", 3),
        ("evaluate_rounds", 3), ("epochs", 3),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a turn")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--no_answer_share", type=float, default=0.3)
    parser.add_argument("--window_score", default="span_minus_null")
    add_clock(parser)
    options = parser.parse_args(arguments)
    options.clock = time.process_time if options.cpu_time else time.perf_counter
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}; {vars(options)}")
    with quietly(), tempfile.TemporaryDirectory() as folder:
        both = Comparison(options, Path(folder))
        both.check_windows()
        for part in options.parts:
            PARTS[part](both)


if __name__ == "__main__":
    main()
