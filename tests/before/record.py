"""Puts on record what a commit does, to be compared with what a later one does (`tests/before/compare.py`).

    python -m tests.before.record OUT [--only NAME …] [--junit FILE] [--fixtures FOLDER]

Written into OUT, with relative paths alone:

    modules/NAME/    recipe.yaml, runs/whole and runs/killed, saved/ (`save_pretrained`), outputs.json
    recipes/NAME     the configuration that `lhy fit --config NAME --print_config` prints
    options/NAME     the same of a public module and its data module without a recipe: all arguments and defaults
                     and the options that `--model.help NAME` and `--data.help NAME` list
    options/fit      the options that `lhy fit --help` lists
    quickstarts/     metrics.csv of all quickstarts, shortened, and of one on two processes
    tests.json       the names of all tests, and with --junit what became of them
    versions.json    of Python, the packages and the platform; seconds by part

A run is bit-equal to another on the same machine with the same versions only, so both records are made there. Which
lines the tests cover is measured by itself: `coverage run -m pytest`.
"""

import argparse
import io
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from contextlib import chdir, redirect_stdout
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

import lhy_lightning
from lhy_lightning.cli.__main__ import main as lhy
from lhy_lightning.cli.recipes import list_recipes
from tests.before import runs
from tests.before.archives import pack
from tests.processes import torchrun_environments
from tests.smallest_modules import public_modules

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch", "lightning", "jsonargparse", "torchmetrics", "datasets", "tokenizers", "transformers", "numpy")
NEEDED = {"hw05": ["--data.monolingual", "mono.zh"]}
"""Flags without which recipes of a folder do not print their configuration: their placeholders stand for them."""

QUICK = [
    "--trainer.max_steps", "24", "--trainer.log_every_n_steps", "1", "--trainer.val_check_interval", "10",
    "--trainer.check_val_every_n_epoch", "null", "--trainer.limit_val_batches", "1",
    "--trainer.enable_progress_bar", "false", "--evaluate", "false",
]  # fmt: skip
ON_TWO = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]


def record_module(out: Path, name: str) -> None:
    folder = out / "modules" / name
    runs.run_whole_and_killed(name, folder)
    module = getattr(lhy_lightning, name).load_from_checkpoint(folder / runs.LAST)
    data = runs.data_class(name).load_from_checkpoint(folder / runs.LAST)
    module.save_pretrained(folder / "saved")
    with tempfile.TemporaryDirectory() as elsewhere:
        found = runs.outputs(module, data, Path(elsewhere))
    write_json(folder / "outputs.json", found)


def printed(*argv: str) -> str:
    """What a command prints that ends behind it."""
    text = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, chdir(folder), redirect_stdout(text):
        try:
            lhy(argv)
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"`lhy {' '.join(argv)}` ended with {end.code}.") from end
    os.environ.pop("LHY_RUN_FOLDER", None)
    return text.getvalue()


def record_recipes(out: Path) -> None:
    for recipe in list_recipes(out / "no recipes of its own"):
        more = NEEDED.get(recipe.name.partition("/")[0], [])
        write(out / "recipes" / f"{recipe.name}.yaml", printed("fit", "--config", recipe.name, *more, "--print_config"))


def record_options(out: Path) -> None:
    for name in public_modules():
        classes = ["--model", name, "--data", runs.data_class(name).__name__]
        write(out / "options" / f"{name}.yaml", printed("fit", *classes, "--print_config"))
        for kind, cls in (("model", name), ("data", runs.data_class(name).__name__)):
            write(out / "options" / f"{cls}.txt", listed(printed("fit", "--model", name, f"--{kind}.help", cls)))
    write(out / "options/fit.txt", listed(printed("fit", "--help")))


def listed(text: str) -> str:
    """The names of the options that a help text explains, one a line."""
    return "".join(f"{name}\n" for name in sorted(set(re.findall(r"(?m)^  (?:-\w(?: \S+)?, )?(--[\w.+-]+)", text))))


def record_quickstarts(out: Path) -> None:
    names = [recipe.name for recipe in list_recipes(out / "none") if recipe.name.split("/")[-1] == "quickstart"]
    with tempfile.TemporaryDirectory() as elsewhere:
        for name in names:
            runs.command(Path(elsewhere), "fit", "--config", name, "--name", name.replace("/", "-"), *QUICK)
        argv = ["fit", "--config", "quickstart", "--name", "on_two_processes", *QUICK, *ON_TWO]
        runs.command(Path(elsewhere), *argv, environments=torchrun_environments(2))
        for found in sorted(Path(elsewhere, "runs").glob("*/metrics.csv")):
            write(out / "quickstarts" / f"{found.parent.name}.csv", found.read_text())


def record_tests(out: Path, junit: Path | None) -> None:
    collect = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-m",
        "slow or not slow",
        "-p",
        "no:cacheprovider",
    ]
    answer = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"the tests could not be collected:\n{answer.stdout[-2000:]}{answer.stderr[-2000:]}")
    names = [line for line in answer.stdout.splitlines() if "::" in line]
    found: dict[str, object] = {"names": sorted(names)}
    if junit is not None:
        found["outcomes"] = outcomes(junit)
    write_json(out / "tests.json", found)


def outcomes(junit: Path) -> list[list[str]]:
    """Test class or module, name, and `passed`, `skipped` or `failed`, of pytest's `--junit-xml` file."""
    found = []
    for case in ElementTree.parse(junit).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        found.append([case.get("classname", ""), case.get("name", ""), outcome])
    return sorted(found)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf8")


def write_json(path: Path, value: object) -> None:
    write(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_fixtures(out: Path, folder: Path, names: list[str]) -> None:
    """Packs what the tests keep: one archive for each of these public modules."""
    for name in names:
        kept = ["runs/killed", "runs/whole/metrics.csv", "saved", "outputs.json", runs.START]
        pack(out / "modules" / name, folder / f"{name}.tar.xz", kept)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.before.record", description="Put a commit on record.")
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="public modules, recipes, options, quickstarts, tests"
    )
    parser.add_argument("--junit", type=Path, help="the file that `pytest --junit-xml FILE` wrote")
    parser.add_argument("--fixtures", type=Path, metavar="FOLDER", help="also write the archives that the tests keep")
    given = parser.parse_args()
    out: Path = given.out.resolve()
    torch.set_num_threads(1)
    # those that others start from come first
    modules = sorted(public_modules(), key=lambda name: name in runs.STARTS)
    parts: dict[str, Callable[[], None]] = {name: lambda name=name: record_module(out, name) for name in modules}
    parts |= {"recipes": lambda: record_recipes(out), "options": lambda: record_options(out)}
    parts |= {"quickstarts": lambda: record_quickstarts(out), "tests": lambda: record_tests(out, given.junit)}
    if unknown := set(given.only or ()) - set(parts):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    told = out / "versions.json"
    seconds: dict[str, float] = json.loads(told.read_text())["seconds"] if told.is_file() else {}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        for name in given.only or parts:
            start = time.monotonic()
            parts[name]()
            seconds[name] = round(time.monotonic() - start, 1)
            print(f"{name}: {seconds[name]} s", flush=True)
    versions = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    versions |= {name: version(name) for name in PACKAGES}
    write_json(told, {"versions": versions, "seconds": seconds})
    if given.fixtures:
        write_fixtures(out, given.fixtures, [name for name in modules if name in (given.only or modules)])


if __name__ == "__main__":
    main()
