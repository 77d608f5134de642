"""Steps of every public module by two checkouts of this repository, in turns: is a change of the code slower?

    git worktree add ../before COMMIT
    python -m benchmarks.training.two_commits ../before .

Both sides train the modules at their smallest widths, where what is around the networks weighs most, in a process each
that stays alive, one after the other in turns that begin with the other side each time. Printed are each side's median
of seconds a training step, and the median of the turns' ratios; and the same of starting `import lhy_lightning` and
`lhy --help`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

STARTS = {
    "import lhy_lightning": ["-c", "import lhy_lightning"],
    "lhy --help": ["-m", "lhy_lightning.cli", "--help"],
}


def serve(steps: int) -> None:
    """Reads names of modules, one a line, and prints the seconds of a step of each."""
    import logging

    import torch
    from lightning.pytorch import Trainer, seed_everything
    from lightning.pytorch.callbacks import Callback

    from tests.smallest_data import module_and_data

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Clock(Callback):
        """Notes when each training batch ends."""

        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_train_batch_end(self, *arguments: Any) -> None:
            self.ends.append(time.perf_counter())

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed in training goes elsewhere
    for line in sys.stdin:
        seed_everything(0, verbose=False)
        module, data = module_and_data(line.strip())
        clock = Clock()
        trainer = Trainer(
            max_steps=steps, max_epochs=-1, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0, callbacks=[clock],
        )  # fmt: skip
        trainer.fit(module, datamodule=data)
        lasted = [after - before for before, after in zip(clock.ends[4:], clock.ends[5:], strict=False)]
        answers.write(json.dumps(median(lasted)) + "\n")
        answers.flush()


def environment(checkout: Path) -> dict[str, str]:
    return {
        **os.environ, "PYTHONPATH": str(checkout.resolve()), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "",
    }  # fmt: skip


class CheckoutProcess:
    """One checkout, served by a process."""

    def __init__(self, checkout: Path, steps: int) -> None:
        self.checkout = checkout
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--serve", "--steps", str(steps)],
            cwd=checkout, env=environment(checkout), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def seconds(self, name: str) -> float:
        """Of a training step of a module, or of a start."""
        if name in STARTS:
            begun = time.perf_counter()
            command = [sys.executable, *STARTS[name]]
            subprocess.run(
                command, cwd=self.checkout, env=environment(self.checkout), check=True, stdout=subprocess.DEVNULL
            )
            return time.perf_counter() - begun
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.checkout} could not train {name}: python {__file__} --serve says why")
        return float(json.loads(line))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path, help="the one before and the one after")
    parser.add_argument("--only", nargs="*", help="names of modules; all if not given")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.steps)
        return
    if len(options.checkouts) != 2:
        parser.error("give two checkouts, the one before and the one after")
    sides = [CheckoutProcess(checkout, options.steps) for checkout in options.checkouts]
    names = options.only or [*STARTS, *all_modules()]
    print(f"{'':30} {'before':>10} {'after':>10} {'after / before':>15}")
    for name in names:
        taken: list[tuple[float, float]] = []
        for turn in range(options.turns):
            order = sides if turn % 2 == 0 else sides[::-1]
            found = {side.checkout: side.seconds(name) for side in order}
            taken.append((found[sides[0].checkout], found[sides[1].checkout]))
        before, after = (1000 * median(turn[side] for turn in taken) for side in (0, 1))
        ratio = median(b / a for a, b in taken)
        print(f"{name:30} {before:7.2f} ms {after:7.2f} ms {ratio:15.3f}", flush=True)


def all_modules() -> list[str]:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tests.smallest_modules import public_modules

    return public_modules()


if __name__ == "__main__":
    main()
