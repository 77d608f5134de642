"""Where a run lives: `<root>/<name>/`, and how `--ckpt_path last|best` finds its way back there.

runs/hw03/strong/
    config.yaml  metrics.csv  results.json  curves.png
    checkpoints/best.ckpt  checkpoints/last.ckpt
    samples/*.png
"""

import difflib
import os
from pathlib import Path

ENVIRONMENT_KEY = "LHY_RUN_FOLDER"
"""Set by the process that starts others, so that all of them write to one folder."""


def is_run(folder: Path) -> bool:
    """Whether the folder holds a run: its settings or a checkpoint."""
    return (folder / "config.yaml").is_file() or (folder / "checkpoints").is_dir()


def name_of_recipe(recipe: str) -> str:
    """A run's name after its recipe: `hw03/strong`, or the stem of a file given by its path."""
    path = Path(recipe)
    return path.stem if path.suffix in (".yaml", ".yml") else recipe.strip("/")


def runs_below(root: Path) -> list[Path]:
    """All run folders under `root`, the one written to last at the end."""
    found = []
    for folder, folders, _ in os.walk(root):
        if is_run(Path(folder)):
            found.append(Path(folder))
            folders[:] = [name for name in folders if name.startswith("fold-")]

    def last_written(folder: Path) -> float:
        return max(path.stat().st_mtime for path in (folder, *folder.glob("checkpoints/*.ckpt")))

    return sorted(found, key=last_written)


def started_by_another_process() -> bool:
    """Whether this process was launched by a sibling that has chosen the folder already (Lightning's own launcher)."""
    siblings = os.environ.get("LOCAL_RANK", "0") != "0" and not launched_from_outside()
    return siblings and ENVIRONMENT_KEY in os.environ


def launched_from_outside() -> bool:
    """Whether `torchrun` or SLURM started several processes, which share no environment set here."""
    return "TORCHELASTIC_RUN_ID" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1


def new_run_folder(root: Path, name: str | None, recipe: str, *, overwrite: bool = False) -> Path:
    """The folder of a run that starts from nothing.

    A run without a name takes the recipe's, numbered when there is one already; a name given by hand is used as it is.

    Raises:
        FileExistsError: a run of that name is there.
    """
    if started_by_another_process():
        return Path(os.environ[ENVIRONMENT_KEY])
    folder = root / (name or recipe)
    rank = int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")))
    if is_run(folder) and not overwrite and rank == 0:
        if name is not None or launched_from_outside():
            raise FileExistsError(
                f"{folder} already holds a run: go on with it by --ckpt_path last, choose another --name, "
                "or replace it with --overwrite true."
            )
        numbers = (n for n in range(2, 10**6) if not is_run(root / f"{recipe}-{n}"))
        folder = root / f"{recipe}-{next(numbers)}"
    os.environ[ENVIRONMENT_KEY] = str(folder)
    return folder


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
    path = Path(which)
    if path.is_file():
        return path.resolve()
    if is_run(path):
        return _in_run(path, "best")
    if which not in ("last", "best"):
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
    if recipe is not None:
        runs = [run for run in runs if run == root / recipe or _numbered(run, root / recipe)]
    if not runs:
        of = f" of {recipe}" if recipe else ""
        raise FileNotFoundError(f"--ckpt_path {which}: there is no run{of} under {root}; name its folder or file.")
    return _in_run(runs[-1], which)


def run_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in, if it lies in one."""
    folder = checkpoint.parent.parent
    return folder if checkpoint.parent.name == "checkpoints" and is_run(folder) else None


def _numbered(run: Path, first: Path) -> bool:
    return run.parent == first.parent and run.name.removeprefix(f"{first.name}-").isdigit()


def _in_run(run: Path, which: str) -> Path:
    file = run / "checkpoints" / f"{which}.ckpt"
    if not file.is_file():
        there = ", ".join(sorted(p.name for p in file.parent.glob("*.ckpt"))) or "none"
        raise FileNotFoundError(f"--ckpt_path {which}: {file} is missing (checkpoints there: {there}).")
    os.environ[ENVIRONMENT_KEY] = str(run)
    return file.resolve()
