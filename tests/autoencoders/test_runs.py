"""Runs that go on, and runs on two processes: same losses, same codebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from lhy_lightning import VQVAE, AutoEncoder, ImageDataModule
from lhy_lightning.training.checkpoints import read_checkpoint
from tests.cnn.pictures_to_fit import silent_trainer
from tests.processes import in_one_and_two

CASES: dict[str, dict[str, Any]] = {
    "vqvae": {"restart_below": 2.0, "decay": 0.5},
    "two levels": {"levels": 2, "codebook_update": "gradient"},
    "variational": {"beta": 0.1, "masking": 0.2, "noise": 0.1},
}


def module_of(case: str, **settings: Any) -> LightningModule:
    given = {
        "width": 8,
        "downsamplings": 1,
        "plot_every_n_validations": 0,
        "lr": 1e-2,
        **CASES.get(case, {}),
        **settings,
    }
    if case == "variational":
        return AutoEncoder(latent_dim=4, **given)
    return VQVAE(codebook_size=16, dim=4, residual_width=4, **given)


def digits(folder: Path, batch_size: int = 64) -> ImageDataModule:
    return ImageDataModule(batch_size=batch_size, cache_dir=str(folder))


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_goes_on_in_the_midst_of_an_epoch_ends_as_the_unbroken_one(case: str, tmp_path: Path) -> None:
    states = []
    for broken in (False, True):
        seed_everything(0, verbose=False)
        folder = tmp_path / str(broken)
        keep = ModelCheckpoint(folder, filename="at{step}", every_n_train_steps=29, save_top_k=-1, save_last=False)
        settings: dict[str, Any] = {"max_epochs": -1, "limit_val_batches": 1, "enable_checkpointing": True}
        trainer = silent_trainer(folder, max_steps=29 if broken else 58, callbacks=[keep], **settings)
        trainer.fit(module_of(case), datamodule=digits(tmp_path))
        if broken:
            seed_everything(0, verbose=False)
            again = silent_trainer(folder, max_steps=58, callbacks=[keep], **settings)
            again.fit(module_of(case), datamodule=digits(tmp_path), ckpt_path=folder / "atstep=29.ckpt")
        states.append(read_checkpoint(folder / "atstep=58.ckpt")["state_dict"])
    unbroken, resumed = states
    assert unbroken.keys() == resumed.keys()
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)
    if case == "vqvae":
        assert int(unbroken["network.quantizer.restarts"]) > 0


TOGETHER: dict[str, dict[str, Any]] = {
    "averages": {"codebook_init": "random", "restart_below": 0.0},
    "gradient": {"codebook_init": "random", "restart_below": 0.0, "codebook_update": "gradient"},
}


def fit_all(folder: Path, batch_size: int, settings: dict[str, Any]) -> None:
    for name, case in TOGETHER.items():
        seed_everything(0, verbose=False)
        module = module_of("", optimizer="sgd", image_size=(8, 8), channels=1, **case)
        with torch.no_grad():  # spread out, so that rounding does not decide between codes
            module.built().quantizer.codebook.normal_().mul_(0.1)  # type: ignore[operator]
        trainer = silent_trainer(
            folder, max_steps=6, max_epochs=-1, limit_val_batches=3, val_check_interval=6, **settings
        )
        trainer.fit(module, datamodule=digits(folder.parent, batch_size))
        if trainer.is_global_zero:
            figures = {key: value for key, value in trainer.callback_metrics.items() if key.startswith("val/")}
            torch.save({"state": module.state_dict(), "figures": figures}, folder / f"{name}.pt")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return in_one_and_two(fit_all, tmp_path_factory, 32)


@pytest.mark.parametrize("case", TOGETHER)
def test_two_processes_train_the_weights_and_the_codebook_that_one_trains(case: str, runs: tuple[Path, Path]) -> None:
    one, two = (torch.load(folder / f"{case}.pt", weights_only=True) for folder in runs)
    for name, value in one["state"].items():
        torch.testing.assert_close(two["state"][name], value, atol=1e-5, rtol=1e-4, msg=f"{case}: {name}")
    assert {"val/loss", "val/mse", "val/perplexity", "val/codes_used"} <= set(one["figures"])
    for name, value in one["figures"].items():
        torch.testing.assert_close(two["figures"][name], value, atol=1e-5, rtol=1e-4, msg=f"{case}: {name}")
