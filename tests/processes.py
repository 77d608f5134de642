"""Runs functions in forked processes: a second rank or a killed run without paying for another import of torch."""

import fcntl
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

turns: Path | None = None
"""The file that is locked while several ranks train; `conftest.py` sets the one that all workers of a run share."""


@contextmanager
def several_ranks() -> Iterator[None]:
    """Waits until no other worker of pytest-xdist trains on several ranks, and keeps them waiting meanwhile.

    The lock is of this process alone: forked children do not hold it, and it ends with the process however that ends.
    The clock of pytest-timeout (the alarm) stands still while waiting; whoever holds the lock has one of its own.
    """
    if turns is None:  # outside of tests, where nobody else trains
        yield
        return
    with turns.open("w") as file:
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX)
        finally:
            signal.setitimer(signal.ITIMER_REAL, left)
        yield


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def _enter(function: Callable[..., Any], environment: dict[str, str], arguments: tuple[Any, ...]) -> None:
    os.environ.update(environment)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as where a shell runs the tests in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)  # a forked child must not touch the parent's thread pool
    function(*arguments)


def run_forked(
    function: Callable[..., Any],
    *arguments: Any,
    environments: tuple[dict[str, str], ...] = ({},),
    timeout: float = 240,
) -> list[int]:
    """Calls `function(*arguments)` in one forked process for each environment, all at once; several take their turn.

    Returns:
        The exit codes; minus the signal's number for a process that was killed.
    """
    context = multiprocessing.get_context("fork")
    # not daemonic: a data loader starts workers of its own
    processes = [context.Process(target=_enter, args=(function, env, arguments)) for env in environments]
    with several_ranks() if len(processes) > 1 else nullcontext():
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout)
            if process.is_alive():
                process.kill()
                process.join()
    return [int(process.exitcode or 0) for process in processes]


def torchrun_environments(world: int = 2, *, nodes: int = 1) -> tuple[dict[str, str], ...]:
    """What `torchrun` sets for each of `world` processes, spread evenly over `nodes` machines."""
    port, local = str(free_port()), world // nodes
    return tuple(
        {
            "TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": str(rank),
            "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank % local), "LOCAL_WORLD_SIZE": str(local),
            "GROUP_RANK": str(rank // local), "TORCHELASTIC_USE_AGENT_STORE": "False",
        }
        for rank in range(world)
    )  # fmt: skip


def slurm_environments(nodes: int = 2) -> tuple[dict[str, str], ...]:
    """What SLURM sets for one process on each of `nodes` machines (here all of them on loopback)."""
    port = str(free_port())
    return tuple(
        {
            "SLURM_NTASKS": str(nodes), "SLURM_NNODES": str(nodes), "SLURM_NTASKS_PER_NODE": "1",
            "SLURM_PROCID": str(rank), "SLURM_LOCALID": "0", "SLURM_NODEID": str(rank), "SLURM_JOB_ID": "7",
            "SLURM_JOB_NAME": "test", "SLURM_NODELIST": "127.0.0.1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        }
        for rank in range(nodes)
    )  # fmt: skip


def in_one_and_two(fit: Callable[..., None], factory: pytest.TempPathFactory, rows: int) -> tuple[Path, Path]:
    """Calls `fit(folder, rows a process, settings of the Trainer)` in one process and in two that share the rows.

    Returns:
        The folders of both.
    """
    one, two = factory.mktemp("one"), factory.mktemp("two")
    assert run_forked(fit, one, rows, {}) == [0]
    world = {"devices": 2, "strategy": "ddp"}
    assert run_forked(fit, two, rows // 2, world, environments=torchrun_environments(2)) == [0, 0]
    return one, two
