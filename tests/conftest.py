import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
# Before torch is imported: with more threads than cores libgomp's barriers otherwise burn processor time.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from lhy_lightning.callbacks.curves import Curves
from tests import processes
from tests.picture_folders import class_folders, food11, write_picture  # noqa: F401

pytest_plugins = ["tests.budget", "tests.workers"]

torch.set_num_threads(1)  # forked processes (tests/processes.py) must not inherit a thread pool


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
    processes.turns = tmp_path_factory.getbasetemp().parent / "two_ranks.lock"


@pytest.fixture(scope="session", autouse=True)
def curves_at_the_end_alone() -> Iterator[None]:
    """Runs draw their curves once, as a drawing takes longer than an epoch of a tiny network."""
    with mock.patch.object(Curves, "on_train_epoch_end", Callback.on_train_epoch_end):
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
