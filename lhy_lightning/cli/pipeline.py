"""Recipes of several steps: what a recipe's `before` names is run first, each in a process of its own.

    before:
      - fit --config hw05/reverse --name {name}-reverse
      - predict --ckpt_path {root}/{name}-reverse --data.predict_source {data.monolingual}

`{name}` is the run's name, `{root}` the folder of runs, and `{data.monolingual}` any setting of the command line or of
the recipe. A step that is done with the settings asked for is not run again (but by `--overwrite`), one that was cut
off goes on, the last one too. `steps.py` says which flags of the command line each step gets.
"""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

from lhy_lightning.cli.flags import option, overwrites
from lhy_lightning.cli.runs import run_folder
from lhy_lightning.cli.runs.asked_settings import Resolve, check_same, differences
from lhy_lightning.cli.step_recipes import PLACEHOLDER, fill, last_recipe, settings_of
from lhy_lightning.cli.steps import Step

OF_THE_CALL = (
    "--config",
    "--name",
    "--overwrite",
    "--ckpt_path",
    "--traceback",
    "--trainer.default_root_dir",
    "--import",
)


def run_steps(argv: list[str], run_one: Callable[[list[str]], int], resolve: Resolve) -> int:
    """Runs the steps before a `fit` that are not done. Returns 0, or the exit code of the step that failed.

    Args:
        argv: the command line.
        run_one: runs one command line and returns its exit code.
        resolve: tells all settings of a `fit`.

    Raises:
        ValueError: a placeholder without a value, a step that is there with other settings, or several processes that
            `torchrun` or SLURM started.
    """
    if not argv or argv[0] != "fit" or {"--help", "-h", "--print_config"} & set(argv):
        return 0
    if option(argv, "--ckpt_path")[0] is not None or run_folder.started_by_another_process():
        return 0
    if (found := last_recipe(argv)) is None:
        return 0
    recipe, name = found
    look_up = settings_of(argv, recipe, name)
    overwrite, _ = overwrites(argv)
    resolve(argv)  # a flag that the last step cannot take is told of before the first one
    taken = {f"--{key}" for line in recipe["before"] for key in PLACEHOLDER.findall(line)}
    steps = [
        Step.of([fill(word, look_up) for word in shlex.split(line)], argv, taken, look_up, resolve)
        for line in recipe["before"]
    ]
    to_do = [step for step in steps if overwrite or not step.is_done()]
    if to_do and run_folder.launched_from_outside():
        raise ValueError(
            "this recipe has steps before it, which start processes of their own; under torchrun or SLURM run them one "
            "by one: " + " · ".join("lhy " + shlex.join(step.words(overwrite)) for step in to_do)
        )
    tell_of_flags(argv, steps, taken)
    for place, step in enumerate(steps, 1):
        words = step.words(overwrite)
        print(f"step {place} of {len(steps) + 1}: lhy {shlex.join(words)}", flush=True)
        if step not in to_do and step.is_done():  # what an earlier step replaces is no longer there
            print(f"    done before: {step.result}", flush=True)
            continue
        os.environ.pop(run_folder.ENVIRONMENT_KEY, None)
        if code := run_one(words):
            return code
        step.note_done()
    print(f"step {len(steps) + 1} of {len(steps) + 1}: lhy {shlex.join(argv)}", flush=True)
    return 0


def go_on(argv: list[str], resolve: Resolve) -> list[str]:
    """The command line of a recipe with steps, going on from its checkpoint where its last step was cut off.

    Raises:
        ValueError: the last step of the name given was cut off with other settings.
    """
    if not argv or argv[0] != "fit" or option(argv, "--ckpt_path")[0] is not None or overwrites(argv)[0]:
        return argv
    if (found := last_recipe(argv)) is None:
        return argv
    folder = Path(option(argv, "--trainer.default_root_dir")[0] or "runs") / found[1]
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file() or run_folder.is_finished(folder):
        return argv
    asked = resolve(argv)
    if option(argv, "--name")[0] is not None:
        check_same(folder, asked, "the run that was cut off in")
    elif differences(folder, asked):
        return argv  # another run of this recipe, which gets a number
    return [*argv, "--ckpt_path", str(last)]


def tell_of_flags(argv: list[str], steps: list[Step], taken: set[str]) -> None:
    """Prints which flags no step before the last one gets, nor a placeholder."""
    before = {word.split("=")[0] for step in steps for word in (*step.flags, *step.command)} | taken | set(OF_THE_CALL)
    flags = [argument.split("=")[0] for argument in argv if argument.startswith("--")]
    if only := [flag for flag in dict.fromkeys(flags) if flag not in before]:
        print(f"only the last step gets {', '.join(only)}", flush=True)
