"""Several optimizers: a run that stopped in mid-epoch goes on to the same numbers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

from lhy_lightning.callbacks.last_checkpoint import LastCheckpoint
from lhy_lightning.training.checkpoints import read_checkpoint
from lhy_lightning.training.csv_logger import RunLogger
from tests.two_networks import Data, TwoNetworks, float16, trainer


class Interrupted(Exception):
    pass


class Die(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step:
            raise Interrupted


@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_run_that_resumes_in_mid_epoch_equals_an_unbroken_one(
    tmp_path: Path, accumulate: int, precision: str
) -> None:
    def fit(name: str, *callbacks: Callback, resumed_step: int | None = None) -> TwoNetworks:
        module = TwoNetworks(n_critic=2, accumulate=accumulate, optimizer="adam", lr=0.01, schedule="cosine")
        folder = tmp_path / name
        run = trainer(
            LastCheckpoint(every_n_steps=4, folder=str(folder)), *callbacks, max_epochs=2, log_every_n_steps=1,
            logger=RunLogger(folder, before_step=resumed_step),
            **({"plugins": float16()} if precision == "16-mixed" else {}),
        )  # fmt: skip
        where = {"ckpt_path": str(folder / "last.ckpt"), "weights_only": True} if resumed_step is not None else {}
        run.fit(module, Data(30 * accumulate + 2), **where)
        assert run.global_step == 32
        assert [config.scheduler.last_epoch for config in run.lr_scheduler_configs] == [32, 32]
        return module

    whole = fit("whole")
    with pytest.raises(Interrupted):
        fit("broken", Die(23))
    assert read_checkpoint(tmp_path / "broken/last.ckpt")["global_step"] == 20  # no turn of the generator follows
    resumed = fit("broken", resumed_step=20)
    assert resumed.updates == {"discriminator": 32 - 20, "generator": 16 - 10}
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert (tmp_path / "broken/metrics.csv").read_bytes() == (tmp_path / "whole/metrics.csv").read_bytes()
    one, other = (read_checkpoint(tmp_path / name / "last.ckpt")["optimizer_states"] for name in ("whole", "broken"))
    for state in (0, 1):
        for key, values in one[state]["state"].items():
            assert all(torch.equal(value, other[state]["state"][key][what]) for what, value in values.items())
