"""What a user reads of a run that was stopped, or lost one of its processes: where it stands and how it goes on."""

import os
import re
import shlex
import traceback
from pathlib import Path

import torch.distributed as dist

from lhy_lightning.cli.flags import option
from lhy_lightning.cli.runs.run_folder import name_of_recipe
from lhy_lightning.training.stop_signals import Stopped

WHOLE_COMMAND = "LHY_WHOLE_COMMAND"
"""Set for the processes that a command of several runs starts: the command that goes on with all of them."""


LOST = re.compile(
    r"connection (closed|reset|was reset) by peer|connection refused|broken pipe|remote (worker|process)|nccl.*abort",
    re.IGNORECASE,
)
"""What gloo, NCCL and torch's store say where the process at the other end has gone."""


def is_of_a_lost_process(error: BaseException) -> bool:
    """Whether an error says that another process of the run has ended, and not what is wrong in this one."""
    step: BaseException | None = error
    while step is not None:
        frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(step.__traceback__)]
        in_torch = isinstance(step, dist.DistError) or any("distributed" in name for name in frames)
        if isinstance(step, RuntimeError) and in_torch and LOST.search(str(step)):
            return True
        step = step.__cause__ or step.__context__
    return False


def told_of_a_lost_process(argv: list[str], folder: Path, root: Path) -> str:
    """The line that a user reads where another process of the run was killed or failed; arguments as in `told`."""
    last, said = folder / "checkpoints" / "last.ckpt", "another process of this run was killed or failed"
    if argv[0] != "fit" or not last.is_file():
        return f"{said}: if it failed, it says why above"
    return f"{said}, {last} is kept; go on with: {shlex.join(['lhy', *going_on(argv, folder, root)])}"


def told(stopped: Stopped, argv: list[str], folder: Path, root: Path) -> str:
    """The line that a user reads of a command that a signal ended: where it stands and how it goes on.

    Args:
        stopped: what ended it.
        argv: the command line, without `lhy`.
        folder: of the run.
        root: of all runs.
    """
    if argv[0] != "fit":
        return f"lhy {argv[0]} stopped"
    last = folder / "checkpoints" / "last.ckpt"
    if stopped.step is None and not last.is_file():
        return "stopped before the first checkpoint: nothing is kept"
    where = f"stopped at step {stopped.step}" if stopped.step is not None else f"stopped; {last} is kept"
    whole = os.environ.get(WHOLE_COMMAND)
    return f"{where}; go on with: {whole or shlex.join(['lhy', *going_on(argv, folder, root)])}"


def going_on(argv: list[str], folder: Path, root: Path) -> list[str]:
    """The command line that goes on with a run: the same, by name where the recipe's is another one's."""
    rest = option(option(argv, "--ckpt_path")[1], "--name")[1]
    place = next((place for place, word in enumerate(rest) if word.split("=")[0] == "--overwrite"), None)
    if place is not None:
        valued = "=" not in rest[place] and place + 1 < len(rest) and not rest[place + 1].startswith("-")
        rest = rest[:place] + rest[place + 1 + valued :]
    recipe = option(argv, "--config")[0]
    known = recipe is not None and option(argv, "--name")[0] is None and folder == root / name_of_recipe(recipe)
    named = [] if known else ["--name", os.path.relpath(folder, root)]
    return [*rest, *named, "--ckpt_path", "last"]
