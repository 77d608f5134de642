"""Several optimizers under DDP: two processes equal one, in weights, steps and errors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from lhy_lightning.training.finite_losses import NonFiniteError
from tests.processes import run_forked, torchrun_environments
from tests.two_networks import NAMES, Data, TwoNetworks, trainer

CASES: dict[str, dict[str, Any]] = {
    "fakes made once": {},
    "fakes drawn twice": {"reuse_fakes": False},
    "n_critic": {"n_critic": 2},
    "accumulation": {"accumulate": 2, "discriminator_clip": 0.3, "generator_clip": 0.1},
    "accumulation and n_critic": {"accumulate": 4, "n_critic": 2, "reuse_fakes": False},
}
BATCHES = 10  # of which the last two are a group of their own where four are accumulated


class Watched(TwoNetworks):
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            parameters = [parameter for name in NAMES for parameter in self.networks()[name].parameters()]
            self.seen = [None if parameter.grad is None else parameter.grad.clone() for parameter in parameters]


def fit_all(folder: Path, world: int) -> None:
    settings = {"devices": 2, "strategy": "ddp"} if world == 2 else {}
    for case, arguments in CASES.items():
        module, fit = Watched(**arguments), trainer(**settings)
        fit.fit(module, Data(4 * BATCHES, batch_size=4 // world))
        assert fit.world_size == world
        fit.save_checkpoint(folder / f"{case}.ckpt")
        found = {
            "weights": module.state_dict(),
            "step": fit.global_step,
            "updates": module.updates,
            "first": module.seen,
        }
        torch.save(found, folder / f"{case} {fit.global_rank}.pt")
    if world == 2:
        fail_on_one_rank(folder, settings)


def fail_on_one_rank(folder: Path, settings: dict[str, Any]) -> None:
    def bad(name: str, step: int, batch: Mapping[str, Tensor]) -> float:
        return float("nan") if step == 3 and name == "generator" and dist.get_rank() == 1 else 1.0

    try:
        trainer(**settings, log_every_n_steps=5).fit(TwoNetworks(factors=bad, lr=1e-30), Data(40, batch_size=2))
    except NonFiniteError as error:
        (folder / f"error {dist.get_rank()}.txt").write_text(str(error))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for world in (1, 2):
        (root / str(world)).mkdir()
    fit_all(root / "1", 1)
    assert run_forked(fit_all, root / "2", 2, environments=torchrun_environments(2)) == [0, 0]
    return root


def read(runs: Path, case: str, world: int, rank: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(runs / str(world) / f"{case} {rank}.pt")
    return found


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_the_weights_that_one_trains_on_their_batches_together(runs: Path, case: str) -> None:
    one, first, second = read(runs, case, 1), read(runs, case, 2), read(runs, case, 2, rank=1)
    for name, value in one["weights"].items():
        torch.testing.assert_close(first["weights"][name], value, atol=1e-6, rtol=1e-5, msg=name)
        assert torch.equal(first["weights"][name], second["weights"][name]), name


@pytest.mark.parametrize("case", CASES)
def test_two_processes_count_the_steps_of_one(runs: Path, case: str) -> None:
    one, two = read(runs, case, 1), read(runs, case, 2)
    expected = {"accumulation": 5, "accumulation and n_critic": 3}.get(case, 10)
    assert one["step"] == two["step"] == expected
    assert one["updates"] == two["updates"]


def test_gradients_travel_between_ranks_once_a_step(runs: Path) -> None:
    first, second = (read(runs, "accumulation", 2, rank)["first"] for rank in (0, 1))
    assert all(gradient is not None for gradient in first)
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_loss_that_is_not_finite_on_one_rank_stops_both(runs: Path) -> None:
    messages = [(runs / "2" / f"error {rank}.txt").read_text() for rank in (0, 1)]
    assert messages[0] == messages[1]
    assert "generator's loss was not finite at step 3" in messages[0]
