"""Two processes hold one codebook, and count as one process does."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from lhy_lightning.autoencoders.quantizers.vector_quantizer import VectorQuantizer
from tests.processes import run_forked, torchrun_environments

SIZE, DIM, ROWS, STEPS = 8, 3, 32, 4
CASES: dict[str, dict[str, Any]] = {
    "averages": {"codebook_init": "random", "restart_below": 0.0},
    "cosine": {"codebook_init": "random", "restart_below": 0.0, "cosine": True},
    "kmeans": {"restart_below": 0.0},
    "restarts": {"codebook_init": "random", "restart_below": 2.0, "decay": 0.5},
    "gradient, restarts": {"codebook_init": "random", "restart_below": 2.0, "decay": 0.5, "update": "gradient"},
}


def train_all(folder: Path) -> None:
    """Each rank sees its own rows; the module was built before the group was there."""
    modules = {}
    for name, settings in CASES.items():
        torch.manual_seed(0)
        modules[name] = VectorQuantizer(SIZE, DIM, **settings).train()
    two = "WORLD_SIZE" in os.environ
    if two:
        dist.init_process_group("gloo")
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if two else (0, 1)
    for name, module in modules.items():
        states = []
        for step in range(STEPS):
            rows = torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(step))
            torch.manual_seed(100 + 7 * rank + step)  # draws differ over ranks, as they do in training
            module(rows[rank::ranks])
            states.append({key: value.clone() for key, value in module.state_dict().items()})
        torch.save(states, folder / f"{name}-{rank}.pt")
    if two:
        with pytest.raises(ValueError, match=r"[53] vectors on one of 2 processes"):
            VectorQuantizer(SIZE, DIM).train()(torch.randn(3 if rank else 5, DIM))
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    assert run_forked(train_all, one) == [0]
    assert run_forked(train_all, two, environments=torchrun_environments(2)) == [0, 0]
    return one, two


@pytest.mark.parametrize("case", CASES)
def test_codebook_averages_and_restarts_of_all_ranks_are_bit_equal(case: str, states: tuple[Path, Path]) -> None:
    first, second = (torch.load(states[1] / f"{case}-{rank}.pt", weights_only=True) for rank in range(2))
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    if "restarts" in case:
        assert int(first[-1]["restarts"]) > 0


@pytest.mark.parametrize("case", ["averages", "cosine"])
def test_two_processes_count_and_average_as_one(case: str, states: tuple[Path, Path]) -> None:
    one, two = (torch.load(folder / f"{case}-0.pt", weights_only=True) for folder in states)
    for alone, together in zip(one, two, strict=True):
        assert torch.equal(alone["counts"], together["counts"])
        torch.testing.assert_close(alone["sums"], together["sums"], rtol=1e-6, atol=1e-6)


def test_restarted_codes_come_from_both_ranks(states: tuple[Path, Path]) -> None:
    state = torch.load(states[1] / "restarts-0.pt", weights_only=True)[0]
    rows = torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(0))
    places = [(rows == code).all(1).nonzero().flatten().tolist() for code in state["codebook"]]
    assert {place[0] % 2 for place in places if place} == {0, 1}
