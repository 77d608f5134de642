"""Translation quality: what each choice is worth, recurrent network against Transformer, and joeynmt.

    python -m benchmarks.seq2seq.quality --multi30k multi30k/ --tatoeba cmn.txt --folder quality/ [--jobs 2]

Trains configurations (a recipe and flags of `lhy fit`) with several seeds, one thread each, and prints sacrebleu's BLEU
(13a for German, zh for Chinese, cased, against the untouched lines) as mean ± standard error over seeds:

- effects: the recipe, and the same without label smoothing, without averaging of the last epochs, with greedy search
  instead of beam 5, with scheduled sampling. Differences are of the same seed; one below two standard errors is said to
  be noise;
- networks: GRU and Transformer with equal training time, each over the same grid of learning rate and dropout; the best
  of each on validation lines is trained with every seed;
- joeynmt at the same size, data, batches' tokens and number of updates, where it is installed;
- bleu: from each seed's averaged weights, `--updates` of training on BLEU against as many of cross entropy.

Every result is a file in `--folder`: what is there is not computed again, so a run that was ended goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from benchmarks.tools.statistics import mean_and_error, standard_error

SEEDS = (0, 1, 2)
SCHEDULED = "lhy_lightning.ScheduledSamplingTranslator"
DATA = {  # name: recipe, tokenization of BLEU
    "multi30k": ("seq2seq/multi30k", "13a"),
    "tatoeba": ("seq2seq/tatoeba", "zh"),
}
TRAININGS: dict[str, tuple[str, ...]] = {  # name: flags of `lhy fit`
    "recipe": (),
    "no_smoothing": ("--model.label_smoothing", "0"),
    "scheduled_sampling": ("--model", SCHEDULED, "--model.sampling_end", "0.25", "--model.sampling_after", "400",
                           "--model.sampling_steps", "1000", "--model.mix", "top_k"),
}  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """A row of the first table: which training, which of its weights, which beam."""

    label: str
    training: str = "recipe"
    weights: str = "average"
    beam: int = 5


EFFECTS = (
    Effect("recipe: label smoothing 0.1, last 5 epochs averaged, beam 5"),
    Effect("without label smoothing", training="no_smoothing"),
    Effect("without averaging", weights="last"),
    Effect("greedy", beam=1),
    Effect("scheduled sampling", training="scheduled_sampling"),
)
NETWORKS: dict[str, tuple[str, ...]] = {
    "transformer": ("--model.layers", "2", "--model.width", "128", "--model.feedforward", "512"),
    "gru": ("--model.network", "gru", "--model.layers", "1", "--model.embedding", "256", "--model.width", "256"),
}
SHORT = ("--data.max_tokens", "2048", "--model.warmup_steps", "200")  # more updates in the time there is, for both
# as the recipe seq2seq/bleu_training
MORE = ("--trainer.max_epochs", "1", "--data.max_tokens", "1024", "--data.eval_max_tokens", "4096", "--model.lr",
        "0.0003", "--model.schedule", "constant", "--model.warmup_steps", "20")  # fmt: skip
BLEU_TRAINING = "lhy_lightning.BleuTranslator"
FURTHER: dict[str, tuple[str, ...]] = {
    "cross entropy": (),
    "minimum risk": ("--model", BLEU_TRAINING, "--model.objective", "minimum_risk", "--model.sharpness", "0.1"),
    "self-critical": ("--model", BLEU_TRAINING, "--model.objective", "self_critical"),
}
GRID = {"lr": ("0.001", "0.003"), "dropout": ("0.1", "0.3")}


@dataclass(frozen=True)
class Job:
    """One training and the decodings of its weights; its result is a file."""

    data: str
    name: str
    seed: int
    flags: tuple[str, ...] = ()
    decodings: tuple[tuple[str, int], ...] = (("average", 5),)  # weights and beam
    kind: str = field(default="ours")

    @property
    def key(self) -> str:
        return f"{self.data}-{self.name}-seed{self.seed}"


# --- one job, in a process of its own ---------------------------------------------------------------------------------


def settings_of(job: Job) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Trainer's, model's and data's settings: the recipe's, changed by the job's flags."""
    from lhy_lightning.cli.recipes import find_recipe

    recipe = yaml.safe_load(find_recipe(DATA[job.data][0]).read_text("utf8"))
    parts = {"trainer": recipe["trainer"], "model": recipe["model"]["init_args"], "data": recipe["data"]["init_args"]}
    for flag, value in zip(job.flags[::2], job.flags[1::2], strict=True):
        part, _, name = flag.removeprefix("--").partition(".")
        parts[part][name] = yaml.safe_load(value)
    return parts["trainer"], parts["model"], parts["data"]


def scored(lines: Sequence[str], references: Sequence[str], tokenize: str) -> tuple[float, str]:
    from sacrebleu.metrics import BLEU

    metric = BLEU(tokenize=tokenize)
    return metric.corpus_score(list(lines), [list(references)]).score, str(metric.get_signature())


def run_ours(job: Job, source: str, folder: Path) -> dict[str, Any]:
    """`lhy fit`, then BLEU of validation and test lines by `Translator.translate`."""
    from lhy_lightning.cli import training as training_cli
    from lhy_lightning.data.translation.translation_data import TranslationDataModule
    from lhy_lightning.seq2seq.translator import Translator
    from lhy_lightning.training.checkpoints import read_checkpoint

    runs, checkpoints = folder / "runs", folder / "runs" / job.key / "checkpoints"
    seconds = float("nan")
    if not (folder / "runs" / job.key / "results.json").is_file():
        start = time.perf_counter()
        code = training_cli.main(
            ["fit", "--config", DATA[job.data][0], "--name", job.key, "--overwrite", "--data.source", source,
             "--trainer.default_root_dir", str(runs), "--seed_everything", str(job.seed), "--evaluate", "false",
             "--trainer.enable_progress_bar", "false", "--trainer.check_val_every_n_epoch", "1000000",
             "--trainer.accelerator", "cpu", *job.flags]
        )  # fmt: skip
        if code:
            raise SystemExit(f"{job.key}: `lhy fit` ended with {code}")
        seconds = time.perf_counter() - start
    result: dict[str, Any] = {"bleu": {}, "seconds": seconds}
    for weights, beam in job.decodings:
        checkpoint = read_checkpoint(checkpoints / f"{weights}.ckpt")
        module = load_translator(checkpoints / f"{weights}.ckpt", checkpoint, Translator)
        data = TranslationDataModule(**checkpoint["datamodule_hyper_parameters"])
        for split in ("val", "test"):
            data.setup("validate" if split == "val" else split)
            references = data.references(split)
            assert references is not None
            lines = [best[0].text for best in module.translate(data.sources(split), beam=beam)]
            bleu, result["signature"] = scored(lines, references, DATA[job.data][1])
            result["bleu"][f"{split}/{weights}/{beam}"] = bleu
        result |= {"updates": checkpoint["global_step"], "parameters": sum(p.numel() for p in module.parameters())}
    return result


def load_translator(path: Path, checkpoint: dict[str, Any], base: Any) -> Any:
    """The module of a checkpoint, whatever its class."""
    from importlib import import_module

    module, _, name = checkpoint["class_path"].rpartition(".")
    return getattr(import_module(module), name).load_from_checkpoint(path, map_location="cpu").eval()


def run_joeynmt(job: Job, source: str, folder: Path) -> dict[str, Any]:
    """joeynmt on the recipe's subwords, size, token limit, learning rates and number of updates."""
    import translation_joeynmt as joeynmt
    from lightning.pytorch import seed_everything

    from benchmarks.tools.translation_sides import Size, token_rows
    from lhy_lightning.data.translation.translation_data import TranslationDataModule

    seed_everything(job.seed, verbose=False)
    trainer, model, settings = settings_of(job)
    data = TranslationDataModule(**settings | {"source": source})
    data.setup("fit")
    data.setup("test")
    loader = data.train_dataloader()
    updates = len(loader) * trainer["max_epochs"]
    splits = {"train": token_rows(loader)}
    for name, split, lines_of in (("dev", "val", 200), ("test", "test", None)):  # its validations are slow
        source_rows, target_rows = (
            [row.tolist() for row in tokenizer.encode(lines[:lines_of])]
            for tokenizer, lines in (
                (data.source_tokenizer, data.sources(split)),  # type: ignore[arg-type]
                (data.target_tokenizer, data.references(split) or []),  # type: ignore[arg-type]
            )
        )
        splits[name] = list(zip(source_rows, target_rows, strict=True))
    corpus = folder / "joeynmt" / job.key
    joeynmt.write_corpus(corpus, len(data.source_tokenizer), **splits)
    every = max(updates // 5 // 10 * 10, 10)
    configuration = joeynmt.configuration(
        corpus, Size(**{name: model[name] for name in vars(Size())}), max_tokens=settings["max_tokens"], seed=job.seed,
        norm=model["norm"], dropout=model["dropout"], learning_rate=model["lr"], updates=updates,
        learning_rate_warmup=model["warmup_steps"], validation_freq=every,
    )  # fmt: skip
    start = time.perf_counter()
    best = joeynmt.train(configuration)
    seconds = time.perf_counter() - start
    lines = [data.target_tokenizer.decode(row) for row in joeynmt.Search(configuration, best)()]
    bleu, signature = scored(lines, data.references("test") or [], DATA[job.data][1])
    return {"bleu": {"test/best/5": bleu}, "seconds": seconds, "updates": updates, "signature": signature}


# --- all jobs ---------------------------------------------------------------------------------------------------------


def result_of(job: Job, folder: Path) -> dict[str, Any] | None:
    path = folder / "results" / f"{job.key}.json"
    return json.loads(path.read_text("utf8")) if path.is_file() else None


def run_all(jobs: Sequence[Job], options: Any) -> None:
    """Jobs without a result, so many at a time, each in its own process with one thread."""
    waiting = [job for job in jobs if result_of(job, options.folder) is None]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    def run(job: Job) -> None:
        start = time.perf_counter()
        log = options.folder / "logs" / f"{job.key}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as file:
            one = [
                sys.executable,
                "-m",
                "benchmarks.seq2seq.quality",
                "--folder",
                str(options.folder),
                "--one",
                json.dumps(vars(job)),
            ]
            one += [part for name in DATA if (at := getattr(options, name)) for part in (f"--{name}", at)]
            code = subprocess.run(one, stdout=file, stderr=file, env=environment, check=False).returncode
        said = "done" if not code else f"failed, see {log}"
        print(f"{job.key}: {said} after {(time.perf_counter() - start) / 60:.1f} min", file=sys.stderr)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run, waiting))


def run_one(options: Any) -> None:
    """A job that `run_all` has started."""
    given = json.loads(options.one)
    decodings = tuple((weights, beam) for weights, beam in given.pop("decodings"))
    job = Job(**given | {"flags": tuple(given["flags"]), "decodings": decodings})
    run = run_joeynmt if job.kind == "joeynmt" else run_ours
    result = run(job, getattr(options, job.data), options.folder)
    path = options.folder / "results" / f"{job.key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", "utf8")


# --- tables -----------------------------------------------------------------------------------------------------------


def effect_jobs(data: str, options: Any) -> dict[tuple[str, int], Job]:
    jobs = {}
    for training, seed in product(TRAININGS, options.seeds):
        decodings = tuple((each.weights, each.beam) for each in EFFECTS if each.training == training)
        jobs[training, seed] = Job(data, training, seed, (*TRAININGS[training], *options.flags), decodings)
    return jobs


def effects(data: str, options: Any) -> None:
    jobs = effect_jobs(data, options)
    run_all(list(jobs.values()), options)
    print(f"\n| {data}, test | BLEU | against the recipe | |\n|---|---:|---:|---|")
    base: list[float] = []
    for row in EFFECTS:
        found = [result_of(jobs[row.training, seed], options.folder) for seed in options.seeds]
        if not all(found):
            print(f"| {row.label} | missing | | |")
            continue
        values = [result["bleu"][f"test/{row.weights}/{row.beam}"] for result in found if result]
        base = base or values
        changes = [value - at for value, at in zip(values, base, strict=True)]
        noise = abs(statistics.mean(changes)) < 2 * standard_error(changes)
        said = ("", "") if values is base else (mean_and_error(changes), "within noise" if noise else "")
        print(f"| {row.label} | {mean_and_error(values)} | {said[0]} | {said[1]} |")


def network_jobs(data: str, options: Any) -> Iterator[tuple[str, dict[str, str], Job]]:
    for network, values in product(NETWORKS, product(*GRID.values())):
        point = dict(zip(GRID, values, strict=True))
        yield network, point, network_job(data, network, point, options.seeds[0], options)


def network_job(data: str, network: str, point: dict[str, str], seed: int, options: Any) -> Job:
    flags = [
        *NETWORKS[network],
        *SHORT,
        *(part for name, value in point.items() for part in (f"--model.{name}", value)),
    ]
    minutes, seconds = divmod(round(60 * options.minutes), 60)
    limit = f"00:00:{minutes:02}:{seconds:02}"
    flags += [*options.flags, "--trainer.max_epochs", "1000000", "--trainer.max_time", limit]
    return Job(data, "-".join([network, *point.values()]), seed, tuple(flags), (("last", 5),))


def networks(data: str, options: Any) -> None:
    grid = list(network_jobs(data, options))
    run_all([job for _, _, job in grid], options)
    print(
        f"\n| {data}, {options.minutes:g} minutes of one core | validation BLEU, seed {options.seeds[0]} | test BLEU |"
    )
    print("|---|---:|---:|")
    best: dict[str, tuple[float, dict[str, str]]] = {}
    for network, point, job in grid:
        if (result := result_of(job, options.folder)) is None:
            continue
        bleu, updates = result["bleu"]["val/last/5"], result["updates"]
        print(f"| {job.name.replace('-', ', ')} ({updates} updates) | {bleu:.2f} | |")
        best[network] = max(best.get(network, (-1.0, {})), (bleu, point), key=lambda pair: pair[0])
    jobs = {
        name: [network_job(data, name, point, seed, options) for seed in options.seeds]
        for name, (_, point) in best.items()
    }
    run_all([job for each in jobs.values() for job in each], options)
    for name, each in jobs.items():
        found = [result for job in each if (result := result_of(job, options.folder))]
        chosen = ", ".join(f"{key} {value}" for key, value in best[name][1].items())
        values = [result["bleu"]["test/last/5"] for result in found]
        print(f"| **{name}**, {chosen}, {len(found)} seeds | | {mean_and_error(values)} |")


def against_joeynmt(data: str, options: Any) -> None:
    import translation_joeynmt as joeynmt

    if (why := joeynmt.missing()) is not None:
        print(f"\njoeynmt is left out ({why})")
        return
    ours = [job for (training, _), job in effect_jobs(data, options).items() if training == "recipe"]
    theirs = [Job(data, "joeynmt", seed, options.flags, kind="joeynmt") for seed in options.seeds]
    run_all([*ours, *theirs], options)
    print(f"\n| {data}, test, same size, data and updates | BLEU | updates | minutes |\n|---|---:|---:|---:|")
    for label, jobs, figure in (
        ("ours, last 5 epochs averaged", ours, "test/average/5"),
        ("ours, last epoch", ours, "test/last/5"),
        ("joeynmt, best of five validations on 200 lines", theirs, "test/best/5"),
    ):
        found = [result for job in jobs if (result := result_of(job, options.folder))]
        if found:
            minutes = statistics.mean(result["seconds"] for result in found) / 60
            values = mean_and_error([result["bleu"][figure] for result in found])
            print(f"| {label} | {values} | {found[0]['updates']} | {minutes:.1f} |")


def training_on_bleu(data: str, options: Any) -> None:
    """Further updates from `average.ckpt` of the recipe's runs: on BLEU, and of cross entropy."""
    before = {seed: job for (training, seed), job in effect_jobs(data, options).items() if training == "recipe"}
    run_all(list(before.values()), options)

    def further(name: str, seed: int) -> Job:
        start = options.folder / "runs" / before[seed].key / "checkpoints" / "average.ckpt"
        flags = (*FURTHER[name], *options.flags, *MORE, "--trainer.max_steps", str(options.updates),
                 "--model.start_from", str(start))  # fmt: skip
        return Job(data, name.replace(" ", "_"), seed, flags, (("last", 5),))

    jobs = {name: [further(name, seed) for seed in options.seeds] for name in FURTHER}
    run_all([job for each in jobs.values() for job in each], options)
    start = [result_of(job, options.folder) for job in before.values()]
    rows = {"average of 5 epochs": ([r["bleu"] for r in start if r], "average/5")}
    for name, each in jobs.items():
        rows[f"{options.updates} updates more, {name}"] = (
            [r["bleu"] for job in each if (r := result_of(job, options.folder))],
            "last/5",
        )
    print(f"\n| {data} | validation BLEU | test BLEU | validation, against cross entropy |\n|---|---:|---:|---:|")
    base = [bleu["val/last/5"] for bleu in rows[f"{options.updates} updates more, cross entropy"][0]]
    for label, (found, weights) in rows.items():
        if len(found) < len(options.seeds):
            print(f"| {label} | missing | | |")
            continue
        val, test = ([bleu[f"{split}/{weights}"] for bleu in found] for split in ("val", "test"))
        changes = mean_and_error([value - at for value, at in zip(val, base, strict=True)]) if val != base else ""
        print(f"| {label} | {mean_and_error(val)} | {mean_and_error(test)} | {changes} |")


TABLES = {"effects": effects, "networks": networks, "joeynmt": against_joeynmt, "bleu": training_on_bleu}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--multi30k", help="folder of Multi30k; without it its tables are left out")
    parser.add_argument("--tatoeba", help="Tatoeba's cmn.txt; without it its table is left out")
    parser.add_argument("--folder", type=Path, required=True, help="where runs and results are kept")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--minutes", type=float, default=5, help="of training in the comparison of networks")
    parser.add_argument("--updates", type=int, default=120, help="of further training in the table of BLEU")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, one thread each")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options, flags = parser.parse_known_args(arguments)
    options.flags = tuple(flags)  # further flags go to every `lhy fit`: --trainer.max_epochs 2
    options.folder = options.folder.absolute()
    if options.one:
        return run_one(options)
    for table in options.tables:
        for data in DATA if table == "effects" else ("multi30k",):
            if getattr(options, data):
                TABLES[table](data, options)
    return None


if __name__ == "__main__":
    main()
