"""Several optimizers where numbers overflow: steps that float16 skips, losses and weights that are not finite."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from lhy_lightning.callbacks.last_checkpoint import LastCheckpoint
from lhy_lightning.training.checkpoints import read_checkpoint
from lhy_lightning.training.finite_losses import NonFiniteError
from tests.two_networks import NAMES, Data, TwoNetworks, fitted, float16, trainer, weights

# --- float16 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])  # unscales inside of its step, or before
@pytest.mark.parametrize("bad", NAMES)
def test_an_overflow_skips_the_step_of_its_network_alone(bad: str, optimizer: str) -> None:
    after: dict[int, dict[str, Tensor]] = {}

    class Watched(TwoNetworks):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            after[batch_idx] = weights(self)

    def overflow(name: str, step: int, batch: Mapping[str, Tensor]) -> float:
        return 1e37 if name == bad and step == 3 else 1.0  # times the scale it is above float32's 3.4e38

    module = Watched(optimizer=optimizer, lr=1e-2, factors=overflow)
    fit = fitted(module, Data(10), plugins=float16())
    for step in range(1, 5):
        for name in NAMES:
            moved = not torch.equal(after[step][f"{name}.weight"], after[step - 1][f"{name}.weight"])
            assert moved == ((step, name) != (2, bad))
    assert fit.precision_plugin.scaler.get_scale() == 2.0**9
    assert fit.global_step == 5
    assert {name: int(n) for name, n in module.finite_losses.skipped.items()} == {"discriminator": 0, "generator": 0}


@pytest.mark.parametrize("n_batches", [2, 3])
def test_gradients_that_a_network_still_gathers_follow_the_scale(n_batches: int) -> None:
    # The discriminator overflows where the group ends, between two backward passes of the generator. Its loss here is
    # the mean output: the gradient of each bias is 1, whatever was scaled by what.
    class Mean(TwoNetworks):
        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
            with self.toggled("discriminator"):
                self.backward_and_step(
                    "discriminator", self.discriminator(batch["real"]).mean().float() * (1e38 if batch_idx else 1)
                )
            with self.toggled("generator"):
                self.backward_and_step("generator", self.generator(batch["noise"]).sum(1).mean().float())

        def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
            super().on_before_optimizer_step(optimizer)
            if optimizer is self.trainer.optimizers[1]:
                assert self.generator.bias.grad is not None
                self.seen = self.generator.bias.grad.tolist()

    module = Mean(accumulate=n_batches)
    fit = fitted(module, Data(4 if n_batches == 2 else 6), plugins=float16())
    assert fit.precision_plugin.scaler.get_scale() == 2.0**9
    assert module.seen == pytest.approx([1.0] * 3, rel=1e-3)


def test_an_overflow_now_and_then_is_no_error_but_twenty_in_a_row_are() -> None:
    def at_times(name: str, step: int, batch: Mapping[str, Tensor]) -> float:
        return float("nan") if step < 20 else 1.0

    def always(name: str, step: int, batch: Mapping[str, Tensor]) -> float:
        return float("inf") if name == "generator" and step > 5 else 1.0

    fitted(TwoNetworks(factors=at_times), Data(42), plugins=float16(), log_every_n_steps=1)
    with pytest.raises(NonFiniteError, match=r"generator's gradients .* 20 steps in a row, up to step 25"):
        fitted(TwoNetworks(factors=always), Data(100), plugins=float16(), log_every_n_steps=10)


# --- losses and weights that are not finite ------------------------------------------------------------------------


def nan_at(step_of_nan: int, network: str = "generator") -> Any:
    def factor(name: str, step: int, batch: Mapping[str, Tensor]) -> float:
        return float("nan") if name == network and step == step_of_nan else 1.0

    return factor


@pytest.mark.parametrize("network", NAMES)
def test_a_loss_that_is_not_finite_stops_training_at_the_next_logging_step(network: str) -> None:
    module = TwoNetworks(factors=nan_at(7, network), lr=1e-30)
    with pytest.raises(NonFiniteError, match=f"the {network}'s loss was not finite at step 7: .*{network}_clip"):
        fitted(module, log_every_n_steps=5)
    assert module.updates["discriminator"] == 10


def test_without_logging_it_stops_training_at_the_end_of_the_epoch() -> None:
    with pytest.raises(NonFiniteError, match="step 7"):
        fitted(TwoNetworks(factors=nan_at(7)), log_every_n_steps=0)
    with pytest.raises(NonFiniteError, match="step 7"):
        fitted(TwoNetworks(factors=nan_at(7)), log_every_n_steps=0, max_steps=9)


def test_the_network_that_failed_first_is_named() -> None:
    with pytest.raises(NonFiniteError, match="generator's loss was not finite at step 3"):
        fitted(TwoNetworks(factors=nan_at(3)), log_every_n_steps=0)  # both losses are NaN from step 4 on


def test_no_checkpoint_is_written_after_a_loss_was_not_finite_and_the_last_good_one_stays(tmp_path: Path) -> None:
    last = LastCheckpoint(every_n_steps=5, folder=str(tmp_path))
    with pytest.raises(NonFiniteError):
        trainer(last, log_every_n_steps=0).fit(TwoNetworks(factors=nan_at(7), lr=1e-30), Data())
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 5


def test_a_checkpoint_with_weights_that_are_not_finite_is_refused(tmp_path: Path) -> None:
    module = TwoNetworks()
    fit = fitted(module)
    fit.save_checkpoint(tmp_path / "good.ckpt")
    with torch.no_grad():
        module.generator.weight[0, 0] = float("inf")
    with pytest.raises(NonFiniteError, match=r"generator\.weight is not finite"):
        fit.save_checkpoint(tmp_path / "bad.ckpt")
    assert not (tmp_path / "bad.ckpt").exists()
