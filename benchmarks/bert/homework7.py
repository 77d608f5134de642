"""Homework 7's switches one by one on the embedded questions, and its notebook's loop from file to csv beside ours.

    python -m benchmarks.bert.homework7 switches [--epochs 6] [--seeds 0 1 2]
    python -m benchmarks.bert.homework7 loop hw7/ [--layers 12 --width 768 --heads 12] [--rounds 3]

- switches: exact match on 1,000 validation questions of the recipe `bert/quickstart`, with one choice at a time put
  back to the homework's, and with all of them. Differences are of the same seed. Search and overlap are choices of
  evaluation: they are changed on the trained network.
- loop: seconds from `hw7_test.json` to a csv of answers with the same weights and windows, by the notebook's loop (one
  question at a time, windows padded to the longest possible, answers put together from tokens) and as `lhy predict`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import seed_everything

from benchmarks.tools.interleaved import add_clock, default_trainer, quietly
from benchmarks.tools.statistics import mean_and_error
from lhy_lightning.bert.questions.homework import Homework7Csv
from lhy_lightning.bert.questions.question_answering import BertQuestionAnswering
from lhy_lightning.cli.recipes import find_recipe
from lhy_lightning.cli.step_recipes import read_recipe
from lhy_lightning.data.questions.question_data import QuestionAnsweringDataModule
from lhy_lightning.data.questions.question_files import open_question_file
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer

# --- switches ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """One row of the table: what differs in training, and what on the trained network."""

    name: str
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    then_model: dict[str, Any] = field(default_factory=dict)
    then_data: dict[str, Any] = field(default_factory=dict)


ALL = Choice("the recipe")
CHOICES = (
    Choice("answers in the middle of training windows", data={"window_position": "centre"}),
    Choice("no windows without an answer, compared by span score", {"window_score": "span"}, {"no_answer_share": 0.0}),
    Choice("the same learning rate throughout", {"schedule": "constant", "warmup_fraction": 0.0}),
    Choice("windows compared by span score", then_model={"window_score": "span"}),
    Choice("windows without overlap", then_data={"window_overlap": 0}),
    Choice("start and end searched for by themselves", then_model={"span_search": "independent"}),
    Choice(
        "all of the homework's",
        {"schedule": "constant", "warmup_fraction": 0.0, "window_score": "span"},
        {"window_position": "centre", "no_answer_share": 0.0},
        {"span_search": "independent"},
        {"window_overlap": 0},
    ),
)


def switches(options: Any, folder: Path) -> dict[str, list[float]]:
    recipe = read_recipe(find_recipe("bert/quickstart"))
    found: dict[str, list[float]] = {choice.name: [] for choice in (ALL, *CHOICES)}
    for seed in options.seeds:
        trained: dict[str, Any] = {}
        steps: int | None = None
        for choice in (ALL, *CHOICES):
            model_settings = {**recipe["model"]["init_args"], **choice.model}
            data_settings = {**recipe["data"]["init_args"], "cache_dir": str(folder / "cache"), **choice.data}
            if options.source:
                data_settings["source"] = options.source
            key = json.dumps([model_settings, data_settings], sort_keys=True)
            if key not in trained:
                seed_everything(seed, verbose=False)
                module = BertQuestionAnswering(**model_settings)
                length = {"max_epochs": options.epochs} if steps is None else {"max_steps": steps, "max_epochs": 1000}
                trainer = default_trainer(folder / "fit", limit_val_batches=0, gradient_clip_val=1.0, **length)
                trainer.fit(module, datamodule=QuestionAnsweringDataModule(**data_settings))
                steps, trained[key] = trainer.global_step, module  # all choices train for as many steps
            module = trained[key]
            kept = {name: getattr(module, name) for name in choice.then_model}
            for name, value in choice.then_model.items():
                setattr(module, name, value)
            data = QuestionAnsweringDataModule(**{**data_settings, **choice.then_data})
            (figures,) = default_trainer(folder / "validate").validate(module, datamodule=data, verbose=False)
            found[choice.name].append(figures["val/exact_match"])
            for name, value in kept.items():
                setattr(module, name, value)
            print(f"seed {seed}, {steps} steps, {choice.name}: {found[choice.name][-1]:.3f}", flush=True)
    print("\n| choice | exact match | against the recipe |\n|---|---:|---:|")
    for name, values in found.items():
        differences = [value - other for value, other in zip(values, found[ALL.name], strict=True)]
        print(
            f"| {name} | {mean_and_error(values, 3)} | {mean_and_error(differences, 3) if name != ALL.name else ''} |"
        )
    return found


# --- the notebook's loop ----------------------------------------------------------------------------------------------

MAX_QUESTION, WINDOW, STEP = 40, 150, 112


def notebook(network: Any, tokenizer: Any, path: Path, result: Path) -> None:
    """Homework 7's testing as its notebook has it, on the CPU or a GPU."""
    content = json.loads(path.read_text("utf8"))
    questions, paragraphs = content["questions"], content["paragraphs"]
    questions_tokenized = tokenizer([question["question_text"] for question in questions], add_special_tokens=False)
    told = tokenizer(paragraphs, add_special_tokens=False)
    longest = 1 + MAX_QUESTION + 1 + WINDOW + 1
    device, answers = network.device, []
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    with torch.no_grad():
        for number, question in enumerate(questions):
            paragraph = told[question["paragraph_id"]].ids
            ids, types, masks = [], [], []
            for first in range(0, len(paragraph), STEP):
                start = [cls, *questions_tokenized[number].ids[:MAX_QUESTION], sep]
                window = [*paragraph[first : first + WINDOW], sep]
                padding = [0] * (longest - len(start) - len(window))
                ids.append(start + window + padding)
                types.append([0] * len(start) + [1] * len(window) + padding)
                masks.append([1] * (len(start) + len(window)) + padding)
            output = network(
                input_ids=torch.tensor(ids, device=device), token_type_ids=torch.tensor(types, device=device),
                attention_mask=torch.tensor(masks, device=device),
            )  # fmt: skip
            answer, best = "", float("-inf")
            for window_number in range(len(ids)):
                start_score, start_place = torch.max(output.start_logits[window_number], dim=0)
                end_score, end_place = torch.max(output.end_logits[window_number], dim=0)
                if start_score + end_score > best:
                    best = start_score + end_score
                    answer = tokenizer.decode(ids[window_number][int(start_place) : int(end_place) + 1])
            answers.append(answer.replace(" ", ""))
    with result.open("w") as file:
        file.write("ID,Answer\n")
        for question, answer in zip(questions, answers, strict=True):
            file.write(f"{question['id']},{answer.replace(',', '')}\n")


def loop(options: Any, folder: Path) -> dict[str, list[float]]:
    train, test = (Path(options.source) / f"hw7_{name}.json" for name in ("train", "test"))
    questions = open_question_file(train)
    texts = [*questions.paragraphs, *(question.text for question in questions.questions)]
    tokenizer = EncoderTokenizer.train(texts, vocabulary_size=options.vocab_size)
    seed_everything(0, verbose=False)
    module = BertQuestionAnswering(
        layers=options.layers, width=options.width, heads=options.heads, feedforward=4 * options.width,
        tokenizer=tokenizer.to_json(), max_length=MAX_QUESTION + WINDOW + 3, max_question_length=MAX_QUESTION,
        window=WINDOW,
        window_overlap=WINDOW - STEP, metric="homework", span_search="independent", window_score="span",
        max_answer_length=WINDOW,
    ).eval()  # fmt: skip
    if torch.cuda.is_available():
        module.cuda()
    at_once = 64 if torch.cuda.is_available() else 4
    seconds: dict[str, list[float]] = {"ours": [], "the notebook's loop": []}
    for number in range(options.rounds):
        began = options.clock()
        data = QuestionAnsweringDataModule(
            options.source, max_length=MAX_QUESTION + WINDOW + 3, max_question_length=MAX_QUESTION, window=WINDOW,
            window_overlap=WINDOW - STEP, eval_batch_size=at_once, cache_dir=str(folder / f"cache-{number}"),
        )  # fmt: skip
        default_trainer(folder / "ours", Homework7Csv()).predict(module, datamodule=data, return_predictions=False)
        seconds["ours"].append(options.clock() - began)
        began = options.clock()
        notebook(module.network, tokenizer.transformers(), test, folder / "notebook.csv")
        seconds["the notebook's loop"].append(options.clock() - began)
    own = statistics.median(seconds["ours"])
    print("\n| from file to csv | seconds | ours is | target |\n|---|---:|---:|---:|")
    for name, values in seconds.items():
        target = "1.2×" if name != "ours" else ""
        print(f"| {name} | {statistics.median(values):.1f} | {statistics.median(values) / own:.2f}× | {target} |")
    return seconds


def main(arguments: Sequence[str] | None = None) -> dict[str, list[float]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["switches", "loop"])
    parser.add_argument("source", nargs="?", help="for `loop` the homework's folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    for name, value in (
        ("epochs", 6), ("rounds", 3), ("layers", 4), ("width", 256), ("heads", 4), ("vocab_size", 8000),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    add_clock(parser)
    options = parser.parse_args(arguments)
    options.clock = time.process_time if options.cpu_time else time.perf_counter
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; {vars(options)}")
    with quietly(), tempfile.TemporaryDirectory() as folder:
        return {"switches": switches, "loop": loop}[options.part](options, Path(folder))


if __name__ == "__main__":
    main()
