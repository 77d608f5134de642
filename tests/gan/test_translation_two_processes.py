"""Translators in two processes: they train what one trains, and a stopped run goes on, each rank with its history."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import seed_everything
from torch import Tensor

from lhy_lightning.callbacks.last_checkpoint import LastCheckpoint
from lhy_lightning.core.seeding import derive_seed, run_seed
from lhy_lightning.gan.image_translation.cyclegan import CycleGAN
from lhy_lightning.gan.image_translation.image_pool import ImagePool
from lhy_lightning.gan.image_translation.pix2pix import Pix2Pix
from tests.cnn.pictures_to_fit import silent_trainer
from tests.gan.translators_to_fit import DarkAndBright, Kill, KilledError, Negatives
from tests.processes import run_forked, torchrun_environments

Found = dict[str, Any]
WORLD: dict[int, dict[str, Any]] = {1: {}, 2: {"devices": 2, "strategy": "ddp"}}
DATA: dict[type, Any] = {CycleGAN: DarkAndBright, Pix2Pix: Negatives}
TINY: dict[type, dict[str, Any]] = {
    kind: {"width": 2, "discriminator_width": 2, "discriminator_layers": 1, "plot_every_n_steps": 0, **own}
    for kind, own in ((CycleGAN, {"blocks": 1, "downsamplings": 1, "pool_size": 3}), (Pix2Pix, {}))
}
# nothing ties rows to each other; and what rounding leaves must not grow: Adam would enlarge it, and so would instance
# norm, tenfold a step at higher rates, as random weights make maps that are nearly even
PLAIN: dict[str, Any] = {"optimizer": "sgd", "discriminator_lr": 0.05, "generator_lr": 0.001, "schedule": "constant"}
ALIKE: dict[str, tuple[type, dict[str, Any]]] = {
    "CycleGAN without a history": (CycleGAN, {"pool_size": 0, "norm": "none", "discriminator_norm": "none"}),
    "CycleGAN": (CycleGAN, {"norm": "layer", "discriminator_norm": "layer", "ema_decay": 0.5}),
    "CycleGAN, instance norm": (CycleGAN, {"generator_lr": 1e-4, "discriminator_lr": 1e-3}),
    "CycleGAN, generators every second step": (
        CycleGAN, {"n_critic": 2, "weight_clip": 0.03, "norm": "layer", "discriminator_norm": "none"}
    ),
    "CycleGAN, accumulated": (CycleGAN, {"accumulate": 2, "generator_clip": 0.5, "discriminator_clip": 0.05}),
    "Pix2Pix": (Pix2Pix, {"norm": "instance", "discriminator_norm": "instance", "dropout": 0.0, "ema_decay": 0.5}),
    "Pix2Pix, accumulated": (
        Pix2Pix, {"norm": "layer", "discriminator_norm": "none", "dropout": 0.0, "accumulate": 2, "generator_clip": 0.5}
    ),
}  # fmt: skip
# Adam, falling rates, averaged weights; in Pix2Pix batch norm and dropout
STOPPED: dict[str, tuple[type, dict[str, Any]]] = {
    "CycleGAN": (CycleGAN, {"n_critic": 2, "ema_decay": 0.5}),
    "Pix2Pix": (Pix2Pix, {"schedule": "linear", "ema_decay": 0.5}),
}
SAVED_AT, STEPS = 6, 12  # in the midst of an epoch of 8 steps in one process, of 4 in two


# --- one process that draws as two would -----------------------------------------------------------------------------


class HistoryOfTwoRanks:
    """Hands every second picture to the history of one rank, the others to that of the other, each with its draws."""

    def __init__(self, size: int, draws: list[Tensor]) -> None:
        self.ranks, self.draws = [ImagePool(size), ImagePool(size)], draws

    def __call__(self, pictures: Tensor) -> Tensor:
        out = torch.empty_like(pictures)
        for rank, pool in enumerate(self.ranks):
            torch.set_rng_state(self.draws[rank])
            out[rank::2] = pool(pictures[rank::2])
            self.draws[rank] = torch.get_rng_state()
        return out


class AsTwoRanks(CycleGAN):
    """Its batches are those of two ranks together, its draws those of each: functions of seed, batch and rank."""

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.draws: list[Tensor] = [torch.empty(0), torch.empty(0)]
        pools: Any = {side: HistoryOfTwoRanks(pool.size, self.draws) for side, pool in self.pools.items()}
        self.pools = pools

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        batches = self.trainer.fit_loop.epoch_loop.batch_progress.total.processed  # type: ignore[attr-defined]
        for rank in (0, 1):
            seed = derive_seed(run_seed(), batches, rank, 1)
            self.draws[rank] = torch.Generator().manual_seed(seed).get_state()


def pictures_of(pools: dict[str, ImagePool]) -> dict[str, Tensor]:
    return {side: pool.state_dict()["pictures"] for side, pool in pools.items()}


def fit_alike(folder: Path, world: int) -> None:
    """Every case, in batches of four pictures over all ranks."""
    for case, (kind, arguments) in ALIKE.items():
        seed_everything(0, verbose=False)
        built = AsTwoRanks if kind is CycleGAN and world == 1 else kind
        module = built(**{**TINY[kind], **PLAIN, **arguments})
        steps = 3 if module.accumulate > 1 else 6
        trainer = silent_trainer(folder, max_steps=steps, max_epochs=-1, limit_val_batches=0, **WORLD[world])
        trainer.fit(module, datamodule=DATA[kind](batch_size=4 // world))
        assert trainer.global_step == steps
        if isinstance(module, AsTwoRanks):
            pools: Any = module.pools
            of_ranks = [pictures_of({side: pools[side].ranks[rank] for side in pools}) for rank in (0, 1)]
            torch.save({"state_dict": module.state_dict(), "image_pools": of_ranks}, folder / f"{case}.ckpt")
        else:
            trainer.save_checkpoint(folder / f"{case}.ckpt")


# --- runs that are stopped and go on ---------------------------------------------------------------------------------


class Watched:
    """Keeps the losses of this rank: (step, network, loss)."""

    seen: list[tuple[int, str, float]]

    def backward_and_step(self: Any, names: str, loss: Tensor) -> None:
        self.seen.append((self.trainer.global_step, names, float(loss.detach())))
        super().backward_and_step(names, loss)  # type: ignore[misc]


class WatchedCycleGAN(Watched, CycleGAN):  # type: ignore[misc]
    pass


class WatchedPix2Pix(Watched, Pix2Pix):  # type: ignore[misc]
    pass


def fit_some(root: Path, run: str, name: str, world: int, *, stop: bool = False, after: str | None = None) -> None:
    """A run of two pictures a process, stopped behind a checkpoint, or from another's checkpoint to its end.

    Args:
        root: where the runs are.
        run: a folder for it, in which each rank leaves what it found.
        name: one of `STOPPED`.
        world: processes.
        stop: whether it is stopped.
        after: the run that it takes its checkpoint from.
    """
    kind, arguments = STOPPED[name]
    seed_everything(0, verbose=False)
    module: Any = (WatchedCycleGAN if kind is CycleGAN else WatchedPix2Pix)(**{**TINY[kind], **arguments})
    module.seen = []
    folder = root / f"{name} {run}"
    last = LastCheckpoint(every_n_minutes=None, every_n_steps=2, folder=str(folder))
    trainer = silent_trainer(
        folder, max_steps=STEPS, max_epochs=-1, limit_val_batches=0, enable_checkpointing=True,
        callbacks=[last, *([Kill(SAVED_AT + 1)] if stop else [])], **WORLD[world],
    )  # fmt: skip
    checkpoint = None if after is None else root / f"{name} {after}" / "last.ckpt"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            trainer.fit(module, datamodule=DATA[kind](batch_size=2), ckpt_path=checkpoint, weights_only=True)
        except KilledError:
            return
    assert trainer.global_step == STEPS
    found = {
        "state_dict": module.state_dict(), "losses": module.seen, "warned": [str(each.message) for each in warned],
        "pools": pictures_of(getattr(module, "pools", {})),
    }  # fmt: skip
    torch.save(found, folder / f"{trainer.global_rank}.pt")


def fit_in_two(root: Path) -> None:
    fit_alike(root / "two", 2)
    for name in STOPPED:
        fit_some(root, "unbroken", name, 2)
        fit_some(root, "stopped", name, 2, stop=True)
        fit_some(root, "resumed", name, 2, after="stopped")
        fit_some(root, "on more ranks", name, 2, after="alone")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for world in ("one", "two"):
        (root / world).mkdir()
    fit_alike(root / "one", 1)
    for name in STOPPED:
        fit_some(root, "alone", name, 1, stop=True)
    assert run_forked(fit_in_two, root, environments=torchrun_environments(2)) == [0, 0]
    for name in STOPPED:
        fit_some(root, "on fewer ranks", name, 1, after="stopped")
    return root


def read(path: Path) -> Found:
    found: Found = torch.load(path, weights_only=True)
    return found


@pytest.mark.parametrize("case", ALIKE)
def test_two_processes_train_the_weights_that_one_trains_on_their_batches_together(case: str, runs: Path) -> None:
    one, two = (read(runs / world / f"{case}.ckpt")["state_dict"] for world in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize("case", [case for case, (kind, _) in ALIKE.items() if kind is CycleGAN])
def test_the_checkpoint_holds_the_history_of_each_rank(case: str, runs: Path) -> None:
    one, two = (read(runs / world / f"{case}.ckpt")["image_pools"] for world in ("one", "two"))
    for rank, (expected, found) in enumerate(zip(one, two, strict=True)):
        for side in "ab":
            torch.testing.assert_close(found[side], expected[side], atol=1e-6, rtol=1e-5, msg=f"{side} of rank {rank}")
    size = ALIKE[case][1].get("pool_size", 3)
    assert all(len(pictures) == size for pools in two for pictures in pools.values())
    assert not size or not two[0]["a"].allclose(two[1]["a"])


@pytest.mark.parametrize("name", STOPPED)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_stopped_run_goes_on_to_the_weights_losses_and_history_of_an_unbroken_one(
    name: str, rank: int, runs: Path
) -> None:
    unbroken, resumed = (read(runs / f"{name} {run}" / f"{rank}.pt") for run in ("unbroken", "resumed"))
    for key, value in unbroken["state_dict"].items():  # batch statistics too
        assert value.equal(resumed["state_dict"][key]), key
    assert [loss for loss in unbroken["losses"] if loss[0] >= SAVED_AT] == resumed["losses"]
    assert len({loss for _, _, loss in resumed["losses"]}) == len(resumed["losses"])
    assert all(pictures.equal(resumed["pools"][side]) for side, pictures in unbroken["pools"].items())
    assert not [said for said in resumed["warned"] if "process" in said]


def test_all_ranks_have_the_batch_statistics_of_the_first(runs: Path) -> None:
    first, second = (read(runs / "Pix2Pix unbroken" / f"{rank}.pt")["state_dict"] for rank in (0, 1))
    assert [name for name in first if name.endswith("running_var")]
    assert [name for name, value in first.items() if not value.equal(second[name])] == []


@pytest.mark.parametrize("name", STOPPED)
@pytest.mark.parametrize(("run", "before", "now"), [("on more ranks", 1, 2), ("on fewer ranks", 2, 1)])
def test_another_number_of_ranks_goes_on_with_a_warning(name: str, run: str, before: int, now: int, runs: Path) -> None:
    found = read(runs / f"{name} {run}" / "0.pt")
    [said] = [said for said in found["warned"] if "process" in said]
    assert f"this run was on {before} process(es) and goes on with {now}" in said
    assert f"batch_size is rows a process: for as many rows a step as before, take it times {before}/{now}" in said
    assert [step for step, network, _ in found["losses"] if network == "discriminator"] == list(range(SAVED_AT, STEPS))
    assert all(len(pictures) == 3 for pictures in found["pools"].values())
