"""Question answering as the example script `run_qa` of `transformers` does it: features, Trainer, post-processing.

Written out from the script's own steps: question and paragraph are tokenised together, once for every question; every
window of the paragraph is a training row, aimed at [CLS] where it lacks the answer; post-processing looks at the pairs
of the 20 best starts and ends of each window, one question after the other.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
)

from benchmarks.tools.grouped_rows import order_of_rows
from benchmarks.tools.interleaved import LOG_EVERY, Contestant
from lhy_lightning.data.questions.question_set import QuestionSet

N_BEST = 20


def examples_of(questions: QuestionSet) -> Dataset:
    """The table that the script reads: one row a question, its paragraph with it."""
    rows = [
        {
            "id": question.id,
            "question": question.text,
            "context": questions.paragraphs[question.paragraph],
            "answers": {
                "text": [answer.text for answer in question.answers],
                "answer_start": [answer.start for answer in question.answers],
            },
        }
        for question in questions.questions
    ]
    return Dataset.from_list(rows)


def tokenised(tokenizer: Any, examples: Any, *, max_length: int, overlap: int, pad: bool) -> Any:
    return tokenizer(
        [question.lstrip() for question in examples["question"]],
        examples["context"],
        truncation="only_second",
        max_length=max_length,
        stride=overlap,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length" if pad else False,
    )


def training_features(tokenizer: Any, examples: Dataset, **settings: Any) -> Dataset:
    """`prepare_train_features`."""

    def prepare(rows: Any) -> Any:
        found = tokenised(tokenizer, rows, **settings)
        sample, offsets = found.pop("overflow_to_sample_mapping"), found.pop("offset_mapping")
        starts, ends = [], []
        for window, places in enumerate(offsets):
            sequence = found.sequence_ids(window)
            answers = rows["answers"][sample[window]]
            first = sequence.index(1)
            last = len(sequence) - 1 - sequence[::-1].index(1)
            begin = answers["answer_start"][0] if answers["answer_start"] else -1
            end = begin + len(answers["text"][0]) if answers["answer_start"] else -1
            if begin < 0 or not (places[first][0] <= begin and places[last][1] >= end):
                starts.append(0)
                ends.append(0)
                continue
            while first < len(places) and places[first][0] <= begin:
                first += 1
            while places[last][1] >= end:
                last -= 1
            starts.append(first - 1)
            ends.append(last + 1)
        found["start_positions"], found["end_positions"] = starts, ends
        return found

    return examples.map(prepare, batched=True, remove_columns=examples.column_names, load_from_cache_file=False)


def evaluation_features(tokenizer: Any, examples: Dataset, **settings: Any) -> Dataset:
    """`prepare_validation_features`."""

    def prepare(rows: Any) -> Any:
        found = tokenised(tokenizer, rows, **settings)
        sample = found.pop("overflow_to_sample_mapping")
        found["example_id"] = [rows["id"][number] for number in sample]
        for window in range(len(found["input_ids"])):
            sequence = found.sequence_ids(window)
            found["offset_mapping"][window] = [
                place if sequence[token] == 1 else None for token, place in enumerate(found["offset_mapping"][window])
            ]
        return found

    return examples.map(prepare, batched=True, remove_columns=examples.column_names, load_from_cache_file=False)


def post_process(
    examples: Dataset, features: Dataset, logits: tuple[np.ndarray, np.ndarray], *, max_answer_length: int
) -> dict[str, str]:
    """`postprocess_qa_predictions`: the answer to each question by its id; n-best lists are made on the way."""
    of_question = defaultdict(list)
    for number, name in enumerate(features["example_id"]):
        of_question[name].append(number)
    places = features["offset_mapping"]
    answers = {}
    for example in examples:
        candidates = []
        for window in of_question[example["id"]]:
            start_logits, end_logits, offsets = logits[0][window], logits[1][window], places[window]
            starts = np.argsort(start_logits)[-1 : -N_BEST - 1 : -1].tolist()
            ends = np.argsort(end_logits)[-1 : -N_BEST - 1 : -1].tolist()
            for start in starts:
                for end in ends:
                    if start >= len(offsets) or end >= len(offsets) or offsets[start] is None or offsets[end] is None:
                        continue
                    if end < start or end - start + 1 > max_answer_length:
                        continue
                    candidates.append(
                        {
                            "offsets": (offsets[start][0], offsets[end][1]),
                            "score": start_logits[start] + end_logits[end],
                            "start_logit": start_logits[start],
                            "end_logit": end_logits[end],
                        }
                    )
        candidates = sorted(candidates, key=lambda candidate: candidate["score"], reverse=True)[:N_BEST]
        for candidate in candidates:
            begin, end = candidate.pop("offsets")
            candidate["text"] = example["context"][begin:end]
        if not candidates:
            candidates = [{"text": "empty", "score": 0.0}]
        scores = np.array([candidate.pop("score") for candidate in candidates])
        chances = np.exp(scores - scores.max())
        for candidate, chance in zip(candidates, chances / chances.sum(), strict=True):
            candidate["probability"] = chance
        answers[example["id"]] = candidates[0]["text"]
    return answers


class Steps(TrainerCallback):
    """Ends a step of the side once all is done that belongs to it."""

    counted = (0, 0)

    def __init__(self, side: Contestant | None) -> None:
        self.side = side

    def on_step_begin(self, *arguments: Any, **named: Any) -> None:
        if self.side is not None and self.counted[0]:
            self.side.step(*self.counted)


class Counted(Trainer):
    """Counts real and padded tokens of each batch."""

    steps: Steps

    def training_step(self, model: Any, inputs: Any, *arguments: Any, **named: Any) -> Any:
        mask = inputs["attention_mask"]
        self.steps.counted = (int(mask.sum()), mask.numel())
        return super().training_step(model, inputs, *arguments, **named)


def trainer_of(
    model: Any,
    tokenizer: Any,
    features: Dataset | None,
    folder: Path,
    *,
    fixed: bool,
    lr: float,
    batch_size: int,
    eval_batch_size: int = 32,
    epochs: float = 1000,
    warmup: float = 0.0,
    clip: float = 1.0,
    seed: int = 0,
    side: Contestant | None = None,
) -> Trainer:
    """The script's Trainer: AdamW, linear decay; with `fixed` all windows are padded to the longest length."""
    arguments = TrainingArguments(
        output_dir=str(folder), use_cpu=not torch.cuda.is_available(), per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=eval_batch_size, num_train_epochs=epochs, learning_rate=lr, weight_decay=0.01,
        max_grad_norm=clip, warmup_steps=warmup, logging_steps=LOG_EVERY, save_strategy="no", report_to="none",
        seed=seed, disable_tqdm=True, **order_of_rows(by_length=not fixed),
    )  # fmt: skip
    steps = Steps(side)
    trainer = Counted(
        model=model, args=arguments, train_dataset=features, processing_class=tokenizer, callbacks=[steps],
        data_collator=default_data_collator if fixed else DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8),
    )  # fmt: skip
    trainer.steps = steps
    trainer.remove_callback(PrinterCallback)
    return trainer


def answers_of(trainer: Trainer, examples: Dataset, features: Dataset, *, max_answer_length: int) -> dict[str, str]:
    """Evaluation with post-processing."""
    plain = features.remove_columns(["example_id", "offset_mapping"])
    start_logits, end_logits = trainer.predict(plain).predictions
    return post_process(examples, features, (start_logits, end_logits), max_answer_length=max_answer_length)
