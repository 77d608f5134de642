"""Fine-tuning quality and time: `BertClassifier` and `BertTagger` against a plain `Trainer` of `transformers`.

    python -m benchmarks.bert.quality --encoder minilm/ --sst2 sst2/ --ud ud_english_ewt/ --folder quality/
    python -m benchmarks.bert.quality --chnsenticorp chnsenticorp/ --folder quality/

- sst2: sentences, one of two classes; ud: a part of speech for each word. Both sides fine-tune the same encoder with
  the same batch size, learning rate, linear decay, warm-up, weight decay, clipping and epochs, from raw files to a
  validation after every epoch; the score is that of the last epoch on the test file. The other side is what the
  example scripts of `transformers` do: dynamic padding, random order (`--grouped` adds one that groups by length).
- chnsenticorp: our side alone, from scratch, beside a bag of characters and pairs of characters under logistic
  regression, on the labelled validation file: all rows, and those whose text is not in training as well.

Scores are mean ± standard error over `--seeds`; time is processor time of this process (use OMP_NUM_THREADS=1), reading
and tokenizing included, nothing cached. Every result is a file in `--folder`: what is there is not computed again.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import seed_everything

from benchmarks.tools.grouped_rows import order_of_rows
from benchmarks.tools.interleaved import LOG_EVERY, default_trainer, quietly
from benchmarks.tools.statistics import mean_and_error
from lhy_lightning.bert.classifier import BertClassifier
from lhy_lightning.bert.tagger import BertTagger
from lhy_lightning.data.labelled_texts.labelled_files import open_labelled_text
from lhy_lightning.data.labelled_texts.records import LabelledText
from lhy_lightning.data.labelled_texts.tagged_files import TaggedText, open_tagged_text
from lhy_lightning.data.labelled_texts.tagging_data import TaggingDataModule
from lhy_lightning.data.labelled_texts.text_data import TextDataModule

OURS, THEIRS, GROUPED = "ours", "transformers Trainer", "transformers Trainer, group_by_length"
TARGETS = {"sst2": 0.88, "ud": 0.93}
IGNORED = -100

Measured = dict[str, float]


# --- ours -------------------------------------------------------------------------------------------------------------


def run_ours(task: str, options: Any, source: Path, seed: int, folder: Path) -> Measured:
    """From the files to the test score, as `lhy fit` does it."""
    started, clock = time.process_time(), time.perf_counter()
    seed_everything(seed, verbose=False)
    data_arguments: dict[str, Any] = {
        "source": str(source), "batch_size": options.batch_size, "eval_batch_size": options.eval_batch_size,
        "max_length": options.max_length, "pad_to_multiple": options.pad_to_multiple,
        "cache_dir": str(folder / "cache"),
    }  # fmt: skip
    model_arguments: dict[str, Any] = {"encoder": str(options.encoder), "lr": options.lr, "warmup_fraction": 0.1}
    kinds = (BertClassifier, TextDataModule) if task == "sst2" else (BertTagger, TaggingDataModule)
    module, data = kinds[0](**model_arguments), kinds[1](**data_arguments)
    limits = {} if options.steps is None else {"max_steps": options.steps}
    trainer = default_trainer(folder, max_epochs=options.epochs, gradient_clip_val=1.0, **limits)
    trainer.fit(module, data)
    seconds = {"cpu": time.process_time() - started, "wall": time.perf_counter() - clock}
    found = trainer.test(module, data, verbose=False)[0]
    return {**seconds, "score": found["test/accuracy"], "val": float(trainer.callback_metrics.get("val/accuracy", 0))}


# --- theirs -----------------------------------------------------------------------------------------------------------


class Encoded(torch.utils.data.Dataset):
    """Rows as the `Trainer` takes them."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return self.rows[row]


def encoded_texts(text: LabelledText, tokenizer: Any, names: Sequence[str], max_length: int) -> Encoded:
    """As run_glue does it."""
    assert text.labels is not None
    found = tokenizer(text.first, text.second, truncation=True, max_length=max_length)
    labels = [names.index(str(label)) for label in text.labels]
    return Encoded([{**{key: found[key][row] for key in found}, "labels": labels[row]} for row in range(len(text))])


def encoded_tags(text: TaggedText, tokenizer: Any, names: Sequence[str], max_length: int) -> Encoded:
    """As run_ner does it: the label of a word is that of its first piece."""
    assert text.tags is not None
    found = tokenizer(text.words, is_split_into_words=True, truncation=True, max_length=max_length)
    rows = []
    for row, tags in enumerate(text.tags):
        labels, before = [], None
        for word in found.word_ids(row):
            labels.append(IGNORED if word is None or word == before else names.index(tags[word]))
            before = word
        rows.append({**{key: found[key][row] for key in found}, "labels": labels})
    return Encoded(rows)


def accuracy(evaluated: Any) -> dict[str, float]:
    """Share of labels that are right; pieces without a label are not counted."""
    said, labels = np.asarray(evaluated.predictions).argmax(-1), np.asarray(evaluated.label_ids)
    return {"accuracy": float((said == labels)[labels != IGNORED].mean())}


def run_theirs(task: str, grouped: bool, options: Any, source: Path, seed: int, folder: Path) -> Measured:
    """The same with the `Trainer`."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        AutoTokenizer,
        DataCollatorForTokenClassification,
        DataCollatorWithPadding,
        PrinterCallback,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    started, clock = time.process_time(), time.perf_counter()
    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(options.encoder)
    splits: dict[Any, Any] = open_labelled_text(str(source)) if task == "sst2" else open_tagged_text(str(source))
    train = splits["train"]
    if task == "sst2":
        names = sorted(set(map(str, train.labels)))
        encode: Callable[..., Encoded] = encoded_texts
        kind: Any = AutoModelForSequenceClassification
        collator: Any = DataCollatorWithPadding(tokenizer)
    else:
        names = sorted({tag for tags in train.tags for tag in tags})
        encode = encoded_tags
        kind, collator = AutoModelForTokenClassification, DataCollatorForTokenClassification(tokenizer)
    sets = {
        split: encode(splits[split], tokenizer, names, options.max_length) for split in ("train", "val", "test")
    }  # fmt: skip
    network = kind.from_pretrained(options.encoder, num_labels=len(names))
    arguments = TrainingArguments(
        output_dir=str(folder / "theirs"), use_cpu=not torch.cuda.is_available(), num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size, per_device_eval_batch_size=options.eval_batch_size,
        learning_rate=options.lr, weight_decay=0.01, max_grad_norm=1.0, warmup_steps=0.1, logging_steps=LOG_EVERY,
        eval_strategy="epoch", save_strategy="epoch", save_total_limit=1, report_to="none", seed=seed,
        disable_tqdm=True, max_steps=options.steps or -1,
        **order_of_rows(by_length=grouped),
    )  # fmt: skip
    trainer = Trainer(
        model=network, args=arguments, train_dataset=sets["train"], eval_dataset=sets["val"], data_collator=collator,
        processing_class=tokenizer, compute_metrics=accuracy,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    seconds = {"cpu": time.process_time() - started, "wall": time.perf_counter() - clock}
    evaluated = [entry["eval_accuracy"] for entry in trainer.state.log_history if "eval_accuracy" in entry]
    score = trainer.evaluate(sets["test"])["eval_accuracy"]
    shutil.rmtree(folder / "theirs", ignore_errors=True)
    return {**seconds, "score": score, "val": evaluated[-1] if evaluated else float("nan")}


# --- what needs no encoder --------------------------------------------------------------------------------------------


def most_frequent_tags(source: Path) -> float:
    """Test accuracy of every word's most frequent tag in training; unknown words get the most frequent of all."""
    splits = open_tagged_text(str(source))
    train, test = splits["train"], splits["test"]
    assert train.tags is not None
    assert test.tags is not None
    counts: dict[str, Counter[str]] = {}
    for words, tags in zip(train.words, train.tags, strict=True):
        for word, tag in zip(words, tags, strict=True):
            counts.setdefault(word, Counter())[tag] += 1
    overall = sum(counts.values(), Counter[str]()).most_common(1)[0][0]
    best = {word: count.most_common(1)[0][0] for word, count in counts.items()}
    pairs = [pair for words, tags in zip(test.words, test.tags, strict=True) for pair in zip(words, tags, strict=True)]
    return statistics.mean(best.get(word, overall) == tag for word, tag in pairs)


def bag_of_ngrams(train: LabelledText, test: LabelledText, *, analyzer: str) -> np.ndarray:
    """Which test rows logistic regression on counts of one and two words, or characters, gets right: (N,) bool."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    counts = TfidfVectorizer(ngram_range=(1, 2), analyzer=analyzer, sublinear_tf=True, min_df=2)
    model = LogisticRegression(C=10, max_iter=1000).fit(counts.fit_transform(train.first), train.labels)
    return model.predict(counts.transform(test.first)) == np.array(test.labels)


def chnsenticorp(options: Any, source: Path, seed: int, folder: Path) -> Measured:
    """From scratch on the training file; the validation file is the test, as the test file has no labels."""
    started = time.process_time()
    seed_everything(seed, verbose=False)
    splits = open_labelled_text(str(source))
    dev = splits["val"]
    data = TextDataModule(
        str(source), max_length=256, vocab_size=6000, batch_size=options.batch_size,
        pad_to_multiple=options.pad_to_multiple, cache_dir=str(folder / "cache"),
    )  # fmt: skip
    module = BertClassifier(layers=2, width=128, heads=4, feedforward=256, lr=5e-4, dropout=0.2)
    limits = {} if options.steps is None else {"max_steps": options.steps}
    default_trainer(folder, max_epochs=options.epochs, gradient_clip_val=1.0, **limits).fit(module, data)
    seconds = time.process_time() - started
    right = np.array([name for name, _ in module.classify(dev.first)]) == np.array(dev.labels)
    seen = set(splits["train"].first)
    new = np.array([text not in seen for text in dev.first])
    return {"cpu": seconds, "score": float(right.mean()), "unseen": float(right[new].mean()), "new": float(new.sum())}


# --- tables -----------------------------------------------------------------------------------------------------------


def result_of(name: str, folder: Path, run: Callable[[Path], Measured]) -> Measured:
    """Computes a result once; it is a file."""
    path = folder / f"{name}.json"
    if not path.is_file():
        working = folder / "working"
        shutil.rmtree(working, ignore_errors=True)
        working.mkdir(parents=True)
        with quietly():
            found = run(working)
        shutil.rmtree(working, ignore_errors=True)
        path.write_text(json.dumps(found))
    loaded: Measured = json.loads(path.read_text())
    return loaded


def compare(task: str, options: Any, source: Path, folder: Path) -> None:
    sides: dict[str, Callable[..., Measured]] = {OURS: run_ours, THEIRS: partial(_theirs, False)}
    if options.grouped:
        sides[GROUPED] = partial(_theirs, True)
    found: dict[str, list[Measured]] = {side: [] for side in sides}
    for number, seed in enumerate(options.seeds):
        order = list(sides)
        for side in order[number % len(order) :] + order[: number % len(order)]:  # none is always the first
            name = f"{task}-{list(sides).index(side)}-seed{seed}-{options.epochs}x{options.steps}"
            run = sides[side]
            found[side].append(result_of(name, folder, lambda f, r=run, s=seed: r(task, options, source, s, f)))  # type: ignore[misc]
    print(f"\n{task}, {options.epochs} epochs, seeds {', '.join(map(str, options.seeds))}: accuracy on the test file")
    cpu = {side: [row["cpu"] for row in rows] for side, rows in found.items()}
    for side, rows in found.items():
        share = statistics.mean(o / t for o, t in zip(cpu[OURS], cpu[side], strict=True))
        score = mean_and_error([row["score"] for row in rows], 4)
        print(
            f"{side:40s} {score}   {statistics.mean(cpu[side]):7.0f} s processor time"
            + ("" if side == OURS else f", ours takes {share:.2f} of it")
        )
    gains = [o["score"] - t["score"] for o, t in zip(found[OURS], found[THEIRS], strict=True)]
    print(f"{'ours less theirs, the same seeds':40s} {mean_and_error(gains, 4)}   target: at least {TARGETS[task]}")


def _theirs(grouped: bool, task: str, *arguments: Any) -> Measured:
    return run_theirs(task, grouped, *arguments)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", type=Path, help="folder or hub id of a trained encoder")
    parser.add_argument("--sst2", type=Path)
    parser.add_argument("--ud", type=Path)
    parser.add_argument("--chnsenticorp", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="where results are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--steps", type=int, help="end each training after so many steps, for a trial")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--eval_batch_size", type=int, default=64)
    parser.add_argument("--max_length", type=int, default=256)
    parser.add_argument("--pad_to_multiple", type=int, default=1, help="of ours; 8 is for GPUs")
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--grouped", action="store_true", help="the Trainer once more, grouping by length")
    options = parser.parse_args(argv)
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads")
    for task in ("sst2", "ud"):
        if (source := getattr(options, task)) is not None:
            if options.encoder is None:
                parser.error(f"--{task} needs --encoder")
            compare(task, options, source, options.folder)
            if task == "sst2":
                splits = open_labelled_text(str(source))
                right = bag_of_ngrams(splits["train"], splits["test"], analyzer="word")
                print(f"{'bag of words and pairs of words':40s} {right.mean():.4f}")
            else:
                print(f"{'most frequent tag of each word':40s} {most_frequent_tags(source):.4f}")
    if options.chnsenticorp is not None:
        source = options.chnsenticorp
        found = [
            result_of(
                f"chnsenticorp-seed{seed}-{options.epochs}x{options.steps}",
                options.folder,
                lambda f, s=seed: chnsenticorp(options, source, s, f),  # type: ignore[misc]
            )
            for seed in options.seeds
        ]
        splits = open_labelled_text(str(source))
        seen = set(splits["train"].first)
        new = np.array([text not in seen for text in splits["val"].first])
        right = bag_of_ngrams(splits["train"], splits["val"], analyzer="char")
        print(f"\nchnsenticorp, from scratch, {options.epochs} epochs: accuracy on {len(new)} validation rows, and on")
        print(f"the {new.sum()} of them whose text is not in training")
        scores = [mean_and_error([row[name] for row in found], 4) for name in ("score", "unseen")]
        print(f"{'ours':40s} {scores[0]}   {scores[1]}   {statistics.mean(row['cpu'] for row in found):.0f} s")
        print(f"{'bag of characters and pairs of them':40s} {right.mean():.4f}            {right[new].mean():.4f}")


if __name__ == "__main__":
    main()
