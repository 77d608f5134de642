"""SIGTERM and Ctrl-C end a run behind a step, with a checkpoint and the exit code that shells expect of them.

Outside of training there is nothing to save, and the signal ends the command at once. In training `LastCheckpoint`
takes the signals: they are noted, and the run stops when the step under way is over. Lightning's own handlers answer
with exit code 0 and, with several processes, wait for each other within the handler, where a rank may be in the midst
of another exchange.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from lightning.fabric.utilities.seed import pl_worker_init_function
from lightning.pytorch import Trainer

STOPS = (signal.SIGTERM, signal.SIGINT)


class Stopped(SystemExit):
    """A signal ended the command; unhandled it leaves with 128 + the signal's number, as shells have it.

    Args:
        number: of the signal.
        step: behind which a checkpoint was written; None without one.
    """

    def __init__(self, number: int, step: int | None = None) -> None:
        super().__init__(128 + number)
        self.number, self.step = number, step


def _set(number: int, handler: Any) -> Any:
    """Sets a handler and returns the one before; only a process's main thread may, others leave all as it is."""
    if threading.current_thread() is not threading.main_thread():
        return signal.getsignal(number)
    return signal.signal(number, handler)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raises `Stopped` on SIGTERM and Ctrl-C, so that locks and temporary files go; ignored signals stay so (nohup)."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Stopped(number)

    before = {number: signal.getsignal(number) for number in STOPS}
    for number in STOPS:
        if before[number] is not signal.SIG_IGN:
            _set(number, stop)
    try:
        yield
    finally:
        for number in STOPS:
            _set(number, before[number])


class NotedSignals:
    """Notes SIGTERM and Ctrl-C instead of acting on them, for as long as training lasts.

    A second Ctrl-C ends the process at once, wherever it is.
    """

    def __init__(self) -> None:
        self.number = 0  # none so far
        self._before: dict[int, Any] = {}

    def begin(self) -> None:
        """Takes the signals over, but for those that are ignored."""
        self.number = 0
        for number in STOPS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = _set(number, self._note)

    def end(self) -> None:
        """Gives the signals back to whom they belonged."""
        for number, handler in self._before.items():
            _set(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            _set(number, signal.SIG_DFL)
            said = b"\nstopping behind this step; another Ctrl-C leaves at once, without a checkpoint\n"
            if int(os.environ.get("LOCAL_RANK", "0")) == 0:
                os.write(2, said)  # print may be what was interrupted
        self.number = number

    def on_any_rank(self, trainer: Trainer) -> int:
        """The signal's number if a rank has received one, else 0: the same on all ranks, which must all ask."""
        if trainer.world_size == 1:
            return self.number
        noted = torch.tensor([self.number], device=trainer.strategy.root_device)
        dist.all_reduce(noted, op=dist.ReduceOp.MAX)
        return int(noted.item())


def outlive_stop_signals(worker: int) -> None:
    """Lets a loader's worker go on where a terminal or a queue signals all processes: the run needs its batches.

    Args:
        worker: its number, as `DataLoader(worker_init_fn=…)` tells it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS, where SIGTERM ends the worker as before
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_the_parent_alone, daemon=True).start()
    if os.environ.get("PL_SEED_WORKERS") == "1":  # what Lightning puts here by itself where nothing stands
        pl_worker_init_function(worker)


def _obey_the_parent_alone() -> None:
    """Ends the process by the parent's SIGTERM: torch and multiprocessing end workers so that are not done in time."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
