import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
# Before torch is imported: with more threads than cores libgomp's barriers otherwise burn processor time.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

from tests.picture_folders import class_folders, food11, write_picture  # noqa: F401

# torch and Lightning are imported inside of fixtures: the process that hands tests out to workers needs neither
pytest_plugins = ["tests.budget", "tests.workers"]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was imported stays until the end, and the garbage collector need not walk it for every few objects: 10 %."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave no seed, run folder or cache behind for each other."""
    for name in ("LHY_RUN_FOLDER", "PL_GLOBAL_SEED", "PL_SEED_WORKERS", "LOCAL_RANK"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return


@pytest.fixture(scope="session", autouse=True)
def one_pair_of_ranks(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Trainings on two ranks take turns over all workers of pytest-xdist, whose folders lie in one."""
    import torch

    from tests import processes

    torch.set_num_threads(1)  # forked processes must not inherit a thread pool
    processes.turns = tmp_path_factory.getbasetemp().parent / "two_ranks.lock"


@pytest.fixture(scope="session", autouse=True)
def curves_at_the_end_alone() -> Iterator[None]:
    """Runs draw their curves once, as a drawing takes longer than an epoch of a tiny network."""
    from lightning.pytorch.callbacks import Callback

    from lhy_lightning.callbacks.curves import Curves

    with mock.patch.object(Curves, "on_train_epoch_end", Callback.on_train_epoch_end):
        yield


@pytest.fixture(scope="session", autouse=True)
def progress_bars_that_end_at_once() -> Iterator[None]:
    """Lightning's thread that draws the bar sleeps out its quarter of a second when it is told to stop, rich's not."""
    from lightning.pytorch.callbacks.progress import rich_progress
    from rich.live import _RefreshThread

    with mock.patch.object(rich_progress._RefreshThread, "run", _RefreshThread.run):
        yield


@pytest.fixture(scope="session", autouse=True)
def callers_that_are_not_looked_up() -> Iterator[None]:
    """Lightning asks twice at each loading whether torch.jit called it: reading its callers' sources takes longest."""
    from lightning.pytorch.utilities import model_helpers

    with mock.patch.object(model_helpers, "inspect", SimpleNamespace(stack=list)):
        yield


@pytest.fixture(scope="module")
def undrawn_figures() -> Iterator[None]:
    """For files of tests that look at no figure but for its being there."""
    from tests.command_runs import undrawn

    with undrawn():
        yield


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Decoded pictures go to a folder of the test session."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    yield folder
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before
