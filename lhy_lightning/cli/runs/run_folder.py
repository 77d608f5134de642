"""Where a run lives: `<root>/<name>/`, and how `--ckpt_path last|best` finds its way back there.

runs/hw03/strong/
    run.lock (while it trains)
    config.yaml  metrics.csv  results.json  curves.png
    checkpoints/best.ckpt  checkpoints/last.ckpt
    samples/*.png
"""

import difflib
import json
import os
from pathlib import Path

from lhy_lightning.cli.runs import run_lock

ENVIRONMENT_KEY = "LHY_RUN_FOLDER"
"""Set by the process that starts others, so that all of them write to one folder."""


def is_run(folder: Path) -> bool:
    """Whether the folder holds a run: a checkpoint to go on from, or the results of one that is finished."""
    return any(folder.glob("checkpoints/*.ckpt")) or is_finished(folder)


def is_finished(folder: Path) -> bool:
    """Whether a run trained to its end there; results of no step at all do not count."""
    try:
        return bool(json.loads((folder / "results.json").read_text("utf8")).get("step", 1))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError, AttributeError):
        return True  # something is there that is not to be written over


def was_started(folder: Path) -> bool:
    """Whether a training that never came to a checkpoint left the folder behind."""
    return not is_run(folder) and any((folder / name).is_file() for name in ("config.yaml", run_lock.LOCK))


def name_of_recipe(recipe: str) -> str:
    """A run's name after its recipe: `hw03/strong`, or the stem of a file given by its path."""
    path = Path(recipe)
    return path.stem if path.suffix in (".yaml", ".yml") else recipe.strip("/")


def check_name(root: Path, name: str) -> None:
    """Refuses a name by which a run would lie elsewhere than under `root`, where nothing finds it again.

    Raises:
        ValueError: an absolute path, one with `..`, or a character that cannot be printed.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or not name.isprintable():
        raise ValueError(
            f"--name {name!r}: a run is a folder of its own under {root}, such as hw03/mine; another place for all "
            "runs is given by --trainer.default_root_dir."
        )


def runs_below(root: Path, *, started: bool = False) -> list[Path]:
    """All run folders under `root`, the one written to last at the end.

    Args:
        root: folder of all runs.
        started: also those that never came to a checkpoint.
    """
    found = []
    for folder, folders, _ in os.walk(root):
        if is_run(Path(folder)) or (started and was_started(Path(folder))):
            found.append(Path(folder))
            folders[:] = [name for name in folders if name.startswith("fold-")]

    def last_written(folder: Path) -> float:
        files = (folder, *folder.glob("checkpoints/*.ckpt"), *folder.glob("config.yaml"))
        return max(path.stat().st_mtime for path in files)

    return sorted(found, key=last_written)


def rank_from_outside() -> int:
    """The rank that `torchrun` or SLURM gave to this process, 0 without them."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")))


def started_by_another_process() -> bool:
    """Whether this process was launched by a sibling that has chosen the folder already (Lightning's own launcher)."""
    siblings = os.environ.get("LOCAL_RANK", "0") != "0" and not launched_from_outside()
    return siblings and ENVIRONMENT_KEY in os.environ


def launched_from_outside() -> bool:
    """Whether `torchrun` or SLURM started several processes, which share no environment set here."""
    return "TORCHELASTIC_RUN_ID" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1


def new_run_folder(root: Path, name: str | None, recipe: str, *, overwrite: bool = False) -> Path:
    """The folder of a run that starts from nothing, which this process holds from here on (`run_lock`).

    A run without a name takes the recipe's, numbered when there is one already; a name given by hand is used as it is.
    A folder that was left without a checkpoint is no run and is taken again.

    Raises:
        FileExistsError: a run of that name is there.
        RunInUseError: another process trains in the folder of that name.
        OSError: the folder cannot be written to.
    """
    if started_by_another_process():
        return Path(os.environ[ENVIRONMENT_KEY])
    folder = root / (name or recipe)
    if rank_from_outside() == 0:
        numbered = name is None and not launched_from_outside()
        for number in range(2, 10**6):
            try:
                take_new(folder, overwrite=overwrite)
                break
            except (FileExistsError, run_lock.RunInUseError):
                if not numbered:
                    raise
                folder = root / f"{recipe}-{number}"
    os.environ[ENVIRONMENT_KEY] = str(folder)
    return folder


def take_new(folder: Path, *, overwrite: bool) -> None:
    """Takes a folder for a new run.

    Raises:
        FileExistsError: it holds a run, which is not to be overwritten.
        RunInUseError: another process trains there.
    """
    run_lock.check_free(folder)
    if is_run(folder) and not overwrite:
        raise FileExistsError(
            f"{folder} already holds a run: go on with it by --ckpt_path last, choose another --name, "
            "or replace it with --overwrite true."
        )
    left_behind = was_started(folder)
    run_lock.take(folder)
    if is_run(folder) and not overwrite:  # another process came first, and has ended already
        run_lock.release()
        raise FileExistsError(f"{folder} holds a run since this moment: choose another --name.")
    if left_behind and not overwrite:
        print(f"{folder} holds a start that never came to a checkpoint: it begins again.")


def take_resumed(folder: Path, run: Path | None, *, overwrite: bool) -> bool:
    """Takes the folder of a run that goes on from a checkpoint, unless a sibling has taken it.

    Args:
        folder: where it goes on.
        run: the folder that the checkpoint lies in; None for a file that lies elsewhere.
        overwrite: whether another run in `folder` is replaced.

    Returns:
        Whether what is in the folder is another run's, to be removed.

    Raises:
        FileExistsError: `folder` holds another run.
        RunInUseError: another process trains there.
    """
    same = run is not None and folder.resolve() == run.resolve()
    if rank_from_outside() == 0 and not started_by_another_process():
        if same:
            run_lock.take(folder)
        else:
            take_new(folder, overwrite=overwrite)
        os.environ[ENVIRONMENT_KEY] = str(folder)
    return not same and (overwrite or (folder / "config.yaml").is_file())


def start_again(which: str | None, root: Path, name: str | None, recipe: str | None) -> Path | None:
    """The folder that `fit --ckpt_path last` begins again in, as the run it means never came to a checkpoint.

    Returns:
        None where there is a checkpoint to go on from, or no run at all.
    """
    if which != "last":
        return None
    if started_by_another_process():
        folder = Path(os.environ[ENVIRONMENT_KEY])
        return None if is_run(folder) else folder
    if name is not None:
        return root / name if was_started(root / name) else None
    runs = _of_recipe(runs_below(root, started=True), root, recipe)
    return runs[-1] if runs and not is_run(runs[-1]) else None


def find_checkpoint(which: str, root: Path, name: str | None, recipe: str | None) -> Path:
    """The file that `--ckpt_path` means.

    Args:
        which: `last`, `best`, a run folder (its best), or a file.
        root: folder of all runs.
        name: the run's name; without it the recipe's newest run, or the newest of all.
        recipe: short name of the recipe, where one was given.

    Raises:
        FileNotFoundError: there is none; names what is there.
    """
    if not which:  # a shell's variable that is not set; as a path it is the current folder
        raise FileNotFoundError("--ckpt_path is empty; give a file, a run folder, `last` or `best`.")
    path = Path(which)
    if path.is_file():
        return path.resolve()
    if is_run(path) or was_started(path):
        return _in_run(path, "best")
    if which not in ("last", "best"):
        if path.is_dir():
            below = [str(run) for run in sorted(runs_below(path))]
            hint = f"; runs in it: {', '.join(below[:5])}{' …' if below[5:] else ''}" if below else ""
            raise FileNotFoundError(f"--ckpt_path {which} is a folder without a run's checkpoints/{hint}.")
        raise FileNotFoundError(f"--ckpt_path {which}: no such file; give a file, a run folder, `last` or `best`.")
    if started_by_another_process():
        return _in_run(Path(os.environ[ENVIRONMENT_KEY]), which)
    runs = runs_below(root)
    if name is not None:
        names = [str(run.relative_to(root)) for run in runs]
        if root / name not in runs:
            near = difflib.get_close_matches(name, names, 3, 0.4) or names[-3:]
            raise FileNotFoundError(
                f"--ckpt_path {which}: there is no run {root / name}"
                + (f"; there is {', '.join(near)}." if near else ".")
            )
        return _in_run(root / name, which)
    runs = _of_recipe(runs, root, recipe)
    if not runs:
        of = f" of {recipe}" if recipe else ""
        raise FileNotFoundError(f"--ckpt_path {which}: there is no run{of} under {root}; name its folder or file.")
    return _in_run(runs[-1], which)


def run_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in, if it lies in one."""
    folder = checkpoint.parent.parent
    return folder if checkpoint.parent.name == "checkpoints" and is_run(folder) else None


def _of_recipe(runs: list[Path], root: Path, recipe: str | None) -> list[Path]:
    return [run for run in runs if recipe is None or run == root / recipe or _numbered(run, root / recipe)]


def _numbered(run: Path, first: Path) -> bool:
    return run.parent == first.parent and run.name.removeprefix(f"{first.name}-").isdecimal()


def _in_run(run: Path, which: str) -> Path:
    file = run / "checkpoints" / f"{which}.ckpt"
    if not file.is_file():
        names = sorted(p.name for p in file.parent.glob("*.ckpt"))
        hint = ""
        if which == "last" and "best.ckpt" in names:
            hint = " `--ckpt_path best` goes on from the best epoch."
        elif "last.ckpt" in names:  # it ended, or was stopped, before its first validation
            hint = f" `--ckpt_path {file.parent / 'last.ckpt'}` takes the last step."
        there = ", ".join(names) or "none"
        raise FileNotFoundError(f"--ckpt_path {which}: {file} is missing (checkpoints there: {there}).{hint}")
    os.environ[ENVIRONMENT_KEY] = str(run)
    return file.resolve()
