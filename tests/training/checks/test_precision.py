"""Weights in bfloat16 or float64: every public module trains, is tested and predicts, or says what to set instead."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from lhy_lightning.autoencoders.quantizers.vector_quantizer import VectorQuantizer
from lhy_lightning.layers.precision import take_any_input
from lhy_lightning.optim import AveragedWeights
from tests.smallest_data import module_and_data
from tests.smallest_modules import public_modules

NOT_IN_HALF = ("DIRTT", "VADA")
FEW = ("GAN", "SNGAN", "WGAN", "WGANGP", "CodePrior")
FAST = ("WGANGP", "VQVAE", "AutoEncoder", "Pix2Pix")
NAMES = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in public_modules()]


def short(folder: Path, precision: Any) -> Trainer:
    return Trainer(
        max_epochs=1, limit_train_batches=2, limit_val_batches=1, limit_test_batches=1, limit_predict_batches=1,
        precision=precision, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip


def settings_of(name: str, folder: Path) -> dict[str, Any]:
    if name == "BleuTranslator":  # which goes on from another
        module, data = module_and_data("Translator")
        trainer = short(folder, "32-true")
        trainer.fit(module, datamodule=data)
        trainer.save_checkpoint(folder / "start.ckpt")
        return {"start_from": str(folder / "start.ckpt")}
    return {"samples": 16} if name in FEW else {}


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
@pytest.mark.parametrize("name", NAMES)
def test_every_public_module_trains_and_evaluates_with_weights_of_another_precision(
    name: str, precision: str, tmp_path: Path
) -> None:
    module, data = module_and_data(name, **settings_of(name, tmp_path))
    if name == "DIRTT":
        module.started = torch.tensor(True)  # goes on from weights of another run
    trainer = short(tmp_path, precision)
    if precision == "bf16-true" and name in NOT_IN_HALF:
        with pytest.raises(ValueError, match=r"cannot be trained with precision bf16-true: .*bf16-mixed"):
            trainer.fit(module, datamodule=data)
        return
    trainer.fit(module, datamodule=data)
    expected = {"bf16-true": torch.bfloat16, "64-true": torch.float64}[precision]
    assert expected in {parameter.dtype for parameter in module.parameters()}
    assert torch.get_default_dtype() == torch.float32
    if getattr(data, "has_test", True):
        trainer.test(module, datamodule=data, verbose=False)
        assert all(value.isfinite() for value in trainer.callback_metrics.values()), trainer.callback_metrics
    trainer.predict(module, datamodule=data)


def test_layers_cast_what_they_are_given_and_stay_picklable() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(2, 3)).bfloat16()
    take_any_input(network)
    take_any_input(network)
    assert network(torch.ones(4, 1, 1, 1)).dtype == torch.bfloat16
    assert network(torch.ones(4, 1, 1, 1).double()).shape == (4, 3)
    assert all(len(layer._forward_pre_hooks) <= 1 for layer in network.modules())


def test_averages_over_steps_stay_float32_in_a_network_of_half_precision() -> None:
    weight = nn.Linear(1, 1, bias=False).bfloat16()
    nn.init.ones_(weight.weight)
    averaged = AveragedWeights(weight, 0.999).bfloat16()
    averaged.network.float()
    averaged.count = 10**6
    nn.init.constant_(weight.weight, 2.0)
    for _ in range(1000):
        averaged.update(weight)
    torch.testing.assert_close(averaged.network.weight.item(), 2 - 0.999**1000, rtol=1e-3, atol=0)
    assert averaged(torch.ones(1, 1).half()).dtype == torch.float32

    quantizer = VectorQuantizer(4, 2)
    quantizer.bfloat16()
    assert quantizer.codebook.dtype == quantizer.counts.dtype == torch.float32
    found = quantizer(torch.randn(8, 2).bfloat16())
    assert (found.vectors.dtype, found.loss.dtype) == (torch.bfloat16, torch.float32)
