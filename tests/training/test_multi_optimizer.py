"""Several optimizers: what a step is, who gets gradients, clipping, accumulation."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn.functional import softplus
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from lhy_lightning.training.csv_logger import RunLogger
from tests.two_networks import NAMES, Data, Rows, TwoNetworks, fitted, float16, trainer, weights

# --- what a step is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batches", "n_critic", "accumulate", "steps", "generator_steps"),
    [(100, 1, 1, 100, 100), (100, 5, 1, 100, 20), (100, 1, 4, 25, 25), (100, 5, 4, 25, 5), (10, 1, 4, 3, 3)],
)
def test_steps_are_updates_of_the_first_network(
    batches: int, n_critic: int, accumulate: int, steps: int, generator_steps: int
) -> None:
    module = TwoNetworks(n_critic=n_critic, accumulate=accumulate)
    fit = fitted(module, Data(2 * batches))
    assert module.updates == {"discriminator": steps, "generator": generator_steps}
    assert fit.global_step == fit.fit_loop.epoch_loop._batches_that_stepped == steps
    assert fit.fit_loop.epoch_loop.batch_progress.total.completed == batches


@pytest.mark.parametrize(("n_critic", "accumulate", "batches"), [(5, 1, 25), (1, 4, 100)])
def test_max_steps_counts_steps_over_epochs(n_critic: int, accumulate: int, batches: int) -> None:
    fit = fitted(TwoNetworks(n_critic=n_critic, accumulate=accumulate), Data(40), max_steps=25)
    assert fit.global_step == 25
    assert fit.fit_loop.epoch_loop.batch_progress.total.completed == batches


def test_a_trainer_that_fits_on_counts_on() -> None:
    module, data = TwoNetworks(accumulate=4), Data(40)
    fit = fitted(module, data)
    assert fit.accumulate_grad_batches == 1  # the Trainer's own argument is back
    fit.fit_loop.max_epochs = 2
    fit.fit(module, data)
    assert fit.global_step == 10


def test_every_schedule_moves_once_a_step_whoever_stepped() -> None:
    # 40 batches make 10 steps: the rate falls linearly to zero over 10, for the generator with its 5 updates too.
    rates: list[list[float]] = []

    class Rates(Callback):
        def on_before_optimizer_step(self, trainer: Trainer, module: Any, optimizer: Optimizer) -> None:
            rates.append([group["lr"] for own in trainer.optimizers for group in own.param_groups])

    module = TwoNetworks(n_critic=2, accumulate=4, schedule="linear")
    fit = trainer(Rates(), enable_checkpointing=False)
    fit.fit(module, Data(80))
    by_step = [rates[i] for i in (0, 1, 3, 4, 6, 7, 9, 10, 12, 13)]  # every second step has two updates
    assert [d for d, _ in by_step] == pytest.approx([0.1 * (1 - k / 10) for k in range(10)])
    assert all(d == g for d, g in rates)
    assert [config.scheduler.last_epoch for config in fit.lr_scheduler_configs] == [10, 10]


def test_loggers_get_one_row_a_step_with_the_mean_over_its_batches(tmp_path: Path) -> None:
    class Logged(TwoNetworks):
        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
            super().training_step(batch, batch_idx)
            self.seen.append(float(batch["index"]))
            self.log_losses({"row": batch["index"].float().mean()})

    module = Logged(accumulate=4, n_critic=3)
    fitted(module, Data(24, 1), logger=RunLogger(tmp_path), log_every_n_steps=2)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "3", "5"]
    assert [float(row["train/row"]) for row in rows] == pytest.approx(
        [sum(module.seen[k : k + 4]) / 4 for k in (4, 12, 20)]
    )
    # the generator's turn is in the third step and in the sixth; until then the last value is kept
    values = [row["train/generator_loss"] for row in rows]
    assert values[0] == ""
    assert float(values[1]) != float(values[2])


# --- who gets gradients --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reuse_fakes", [True, False])
def test_the_gradients_of_each_network_stay_empty_in_the_others_step(reuse_fakes: bool) -> None:
    class Watched(TwoNetworks):
        def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
            stepping = self.trainer.optimizers.index(optimizer)
            for place, name in enumerate(NAMES):
                gradients = [parameter.grad is not None for parameter in self.networks()[name].parameters()]
                assert set(gradients) == {place == stepping}
            super().on_before_optimizer_step(optimizer)

    module = Watched(reuse_fakes=reuse_fakes)
    fitted(module)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())


def test_fakes_made_once_with_a_graph_train_the_same_as_fakes_drawn_twice_from_the_same_noise() -> None:
    once, twice = TwoNetworks(reuse_fakes=True), TwoNetworks(reuse_fakes=False)
    fitted(once)
    fitted(twice)
    for name, value in once.state_dict().items():
        assert torch.equal(value, twice.state_dict()[name]), name


def test_a_network_that_is_frozen_stays_frozen() -> None:
    module = TwoNetworks()
    module.generator.bias.requires_grad_(False)
    fit = trainer()
    before = module.generator.bias.clone()
    fit.fit(module, Data())
    assert not module.generator.bias.requires_grad
    assert torch.equal(module.generator.bias, before)


def test_two_networks_can_step_on_one_loss() -> None:
    class Joint(TwoNetworks):
        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
            with self.toggled("discriminator", "generator"):
                loss = self.discriminator(self.generator(batch["noise"])).mean()
                self.backward_and_step(("discriminator", "generator"), loss)

    module = Joint()
    before = weights(module)
    fitted(module)
    assert module.updates == {"discriminator": 20, "generator": 20}
    assert not any(torch.equal(before[f"{name}.weight"], module.state_dict()[f"{name}.weight"]) for name in NAMES)


# --- accumulation and clipping -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [32, 36])  # of 36 the last group has 2 batches, not 4
@pytest.mark.parametrize("n_critic", [1, 2])
def test_accumulated_batches_train_as_one_large_batch(rows: int, n_critic: int) -> None:
    # TrainBatches(drop_last) would leave out the large last batch of 8: rows are given in order instead.
    def loader(size: int) -> DataLoader:
        order = [list(range(k, min(k + size, rows))) for k in range(0, rows, size)]
        return DataLoader(Rows(rows), batch_size=None, sampler=order)  # type: ignore[arg-type]

    class Apart(TwoNetworks):
        """Neither loss asks the other network, which a group of batches meets before its step and after."""

        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
            with self.toggled("discriminator"):
                self.backward_and_step("discriminator", softplus(self.discriminator(batch["real"])).mean())
            if self.every_n_steps(self.n_critic):
                with self.toggled("generator"):
                    self.backward_and_step("generator", self.generator(batch["noise"]).square().mean())

    small, large = Apart(accumulate=4, n_critic=n_critic), Apart(n_critic=n_critic)
    trainer().fit(small, loader(2))
    trainer().fit(large, loader(8))
    assert small.updates == large.updates
    for name, value in large.state_dict().items():
        torch.testing.assert_close(small.state_dict()[name], value, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_each_network_is_clipped_by_its_own_norm_after_unscaling(precision: str, optimizer: str) -> None:
    norms: dict[str, list[float]] = {name: [] for name in NAMES}

    class Watched(TwoNetworks):
        def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
            super().on_before_optimizer_step(optimizer)
            name = NAMES[self.trainer.optimizers.index(optimizer)]
            gradients = [parameter.grad for parameter in self.networks()[name].parameters()]
            norms[name].append(float(torch.nn.utils.get_total_norm(gradients)))  # type: ignore[arg-type]

    module = Watched(discriminator_clip=1e-2, optimizer=optimizer, lr=1e-3)
    plugins = {"plugins": float16()} if precision == "16-mixed" else {"precision": precision}
    fitted(module, Data(20), **plugins)
    assert norms["discriminator"] == pytest.approx([1e-2] * 10, rel=1e-3)
    assert all(1e-2 < norm < 2 for norm in norms["generator"])  # its own, and not the scaler's 1024 times as large


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient_clip_val": 0.5}, r"discriminator_clip=0.5 or generator_clip=0.5"),
        ({"accumulate_grad_batches": 4}, r"give the model accumulate=4"),
    ],
)
def test_the_trainers_own_arguments_are_refused_with_the_modules_names(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(TwoNetworks(), **settings)


def test_a_trainer_whose_fit_failed_fits_again() -> None:
    def fail(name: str, step: int, batch: Mapping[str, Tensor]) -> float:
        raise ZeroDivisionError

    fit, data = trainer(), Data()
    with pytest.raises(ZeroDivisionError):
        fit.fit(TwoNetworks(accumulate=4, factors=fail), data)
    fit.fit(TwoNetworks(accumulate=2), data)
    assert fit.global_step == 10


# --- mistakes ------------------------------------------------------------------------------------------------------


def test_a_step_outside_of_updating_is_an_error() -> None:
    class Careless(TwoNetworks):
        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
            self.backward_and_step("discriminator", self.discriminator(batch["real"]).mean())

    with pytest.raises(RuntimeError, match=r"step\('discriminator'\) stands outside"):
        fitted(Careless())


def test_an_unknown_network_is_named() -> None:
    class Misspelt(TwoNetworks):
        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
            with self.toggled("critic"):
                pass

    with pytest.raises(ValueError, match="no network 'critic', only discriminator, generator"):
        fitted(Misspelt())


def test_a_network_steps_twice_a_batch_only_without_accumulation() -> None:
    class Twice(TwoNetworks):
        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
            for _ in range(2):
                with self.toggled("discriminator"):
                    self.backward_and_step("discriminator", softplus(self.discriminator(batch["real"])).mean())

    module = Twice()
    assert fitted(module).global_step == 20
    assert module.updates["discriminator"] == 40
    with pytest.raises(RuntimeError, match="accumulate=2 the discriminator can step once a batch"):
        fitted(Twice(accumulate=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"accumulate": 0}, "accumulate=0"), ({"generator_clip": 0.0}, "generator_clip=0.0: must be above 0")],
)
def test_numbers_that_make_no_sense_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TwoNetworks(**arguments)


def test_optimizers_are_given_for_every_network() -> None:
    class Incomplete(TwoNetworks):
        def configure_optimizers(self) -> list[dict[str, Any]]:
            return self.optimizers_and_schedules({"generator": {}})

    with pytest.raises(ValueError, match="optimizers are for generator; the networks are discriminator, generator"):
        fitted(Incomplete())


def test_a_schedule_that_ends_needs_a_trainer_that_does() -> None:
    with pytest.raises(ValueError, match="cosine schedule needs an end"):
        fitted(TwoNetworks(schedule="cosine"), max_epochs=-1)
