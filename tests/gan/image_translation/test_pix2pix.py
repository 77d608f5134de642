"""`Pix2Pix`: its losses, whose gradients they are, what a test compares it with, and what is drawn and written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch import Tensor
from torch.nn.functional import softplus
from torch.optim import Optimizer

from lhy_lightning.callbacks.last_checkpoint import LastCheckpoint
from lhy_lightning.core.arguments.signatures import constructor_arguments
from lhy_lightning.gan.image_translation.pix2pix import Pix2Pix
from tests.cnn.pictures_to_fit import silent_trainer
from tests.gan.translators_to_fit import Kill, KilledError, Negatives

TINY: dict[str, Any] = {
    "width": 2, "discriminator_width": 2, "discriminator_layers": 1, "plot_every_n_steps": 0,
}  # fmt: skip
SIZES: dict[str, Any] = {"image_size": (16, 16), "input_channels": 1, "target_channels": 1}


def fitted(module: Pix2Pix, folder: Path, **settings: Any) -> Pix2Pix:
    torch.manual_seed(0)
    trainer = silent_trainer(folder, **{"max_steps": 3, "max_epochs": -1, "limit_val_batches": 0, **settings})
    trainer.fit(module, datamodule=Negatives())
    return module


def test_hyperparameters_are_the_arguments_and_rebuild_the_networks(tmp_path: Path) -> None:
    module = fitted(Pix2Pix(ema_decay=0.9, **TINY), tmp_path)
    assert set(module.hparams) == set(constructor_arguments(Pix2Pix))
    again = Pix2Pix(**module.hparams)
    again.load_state_dict(module.state_dict())
    pictures = Negatives.held_out[[0, 1]]["input"]
    torch.testing.assert_close(again.eval()(pictures), module.eval()(pictures))


def test_losses_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    module = Pix2Pix(l1_weight=100, **SIZES, **TINY)
    inputs, targets, outputs = (torch.rand(3, 1, 16, 16) * 2 - 1 for _ in range(3))
    assert module.discriminator is not None
    real, fake = module.discriminator(targets, inputs), module.discriminator(outputs, inputs)
    torch.testing.assert_close(
        module.discriminator_loss(inputs, targets, outputs), softplus(-real).mean() + softplus(fake).mean()
    )
    loss, parts = module.generator_loss(inputs, targets, outputs)
    torch.testing.assert_close(loss, softplus(-fake).mean() + 100 * (outputs - targets).abs().mean())
    torch.testing.assert_close(parts["l1"], (outputs - targets).abs().mean())


def test_the_discriminator_judges_a_target_beside_its_own_input() -> None:
    torch.manual_seed(0)
    module = Pix2Pix(**SIZES, **TINY)
    inputs, targets = (torch.rand(2, 1, 16, 16) for _ in range(2))
    assert module.discriminate(targets, inputs).shape == (2, 1, 6, 6)
    assert not module.discriminate(targets, inputs).allclose(module.discriminate(targets, inputs.flip(0)))


def test_each_network_steps_on_every_batch_and_the_other_has_no_gradient_meanwhile(tmp_path: Path) -> None:
    with_gradient: list[set[str]] = []

    class Watched(Pix2Pix):
        def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
            found = {name.split(".")[0] for name, value in self.named_parameters() if value.grad is not None}
            with_gradient.append(found)
            super().on_before_optimizer_step(optimizer)

    module = fitted(Watched(**TINY), tmp_path)
    assert with_gradient == 3 * [{"discriminator"}, {"generator"}]
    assert module.trainer.global_step == 3


def test_the_headline_is_the_mean_difference_over_all_validation_rows(tmp_path: Path) -> None:
    module = fitted(Pix2Pix(**TINY), tmp_path, limit_val_batches=1.0, max_steps=4)
    batch = Negatives.held_out[list(range(7))]
    expected = (module.eval()(batch["input"]) - batch["target"]).abs().mean()
    assert Pix2Pix.monitor == ("val/l1", "min")
    torch.testing.assert_close(module.trainer.callback_metrics["val/l1"], expected)


def test_a_test_compares_with_copying_the_input_and_with_the_mean_training_target(tmp_path: Path) -> None:
    trainer = silent_trainer(tmp_path)
    [figures] = trainer.test(Pix2Pix(**SIZES, **TINY), datamodule=Negatives(), verbose=False)
    batch = Negatives.held_out[list(range(7))]
    mean = Negatives.train[list(range(16))]["target"].mean(0)
    assert figures["test/l1_of_input"] == pytest.approx(float(1.5 * batch["input"].abs().mean()), rel=1e-5)
    assert figures["test/l1_of_mean_target"] == pytest.approx(float((batch["target"] - mean).abs().mean()), rel=1e-5)


def test_dropout_at_test_is_an_option_and_without_it_a_result_depends_on_its_input_alone() -> None:
    pictures = torch.rand(3, 1, 16, 16)
    plain, noisy = (Pix2Pix(dropout_at_test=draw, **SIZES, **TINY).train() for draw in (False, True))
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    together = plain(pictures)
    torch.testing.assert_close(together, torch.cat([plain(picture[None]) for picture in pictures]))
    assert not noisy(pictures).allclose(noisy(pictures))
    assert plain.generator is not None
    assert plain.generator.training
    assert all(value.equal(before[name]) for name, value in plain.state_dict().items())


def test_averaged_weights_translate_where_there_are_any(tmp_path: Path) -> None:
    module, pictures = fitted(Pix2Pix(ema_decay=0.9, **TINY), tmp_path), torch.rand(2, 1, 16, 16)
    assert module.averaged is not None
    assert module.generator is not None
    torch.testing.assert_close(module(pictures), module.averaged.network.eval()(pictures))
    assert not module(pictures).allclose(module.generator.eval()(pictures))


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    def run(name: str, *callbacks: Callback, going_on: bool = False) -> dict[str, Tensor]:
        torch.manual_seed(0)
        module, last = Pix2Pix(**TINY), LastCheckpoint(every_n_steps=2, folder=str(tmp_path / name))
        settings: dict[str, Any] = {"max_steps": 6, "max_epochs": -1, "limit_val_batches": 0}
        trainer = silent_trainer(tmp_path, callbacks=[last, *callbacks], enable_checkpointing=True, **settings)
        found = tmp_path / name / "last.ckpt" if going_on else None
        trainer.fit(module, datamodule=Negatives(), ckpt_path=found, weights_only=True)
        return module.state_dict()

    whole = run("whole")
    with pytest.raises(KilledError):
        run("killed", Kill(3))
    resumed = run("killed", going_on=True)
    assert [name for name, value in whole.items() if not value.equal(resumed[name])] == []


def test_input_output_and_target_stand_side_by_side_in_the_runs_pictures(tmp_path: Path) -> None:
    module = fitted(Pix2Pix(**{**TINY, "plot_every_n_steps": 2}), tmp_path, limit_val_batches=1, num_sanity_val_steps=1)
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["translation_000002.png", "translation_000003.png"]
    pixels = np.asarray(Image.open(tmp_path / "samples" / names[1]))
    assert pixels.shape == (4 * 65 - 1, 3 * 65 - 1, 3)  # 16 pixels are enlarged to 64
    shown = torch.from_numpy(pixels[:64:4, :64:4, 0].copy()) / 127.5 - 1
    torch.testing.assert_close(shown, Negatives.held_out[[0]]["input"][0, 0], atol=0.005, rtol=0)
    assert module.training


def test_prediction_writes_a_picture_for_every_input_under_its_name(tmp_path: Path) -> None:
    module = Pix2Pix(**SIZES, **TINY)
    trainer = silent_trainer(tmp_path, callbacks=module.prediction_writers())
    outputs = trainer.predict(module, datamodule=Negatives())
    written = {path.name: np.asarray(Image.open(path)) for path in (tmp_path / "pictures").iterdir()}
    assert set(written) == {f"{number}.png" for number in range(7)}
    assert outputs is not None
    batch: Any = outputs[1]
    assert batch["index"].tolist() == [4, 5, 6]
    expected = ((batch["pictures"][2, 0] + 1) * 127.5).round().byte()
    assert torch.from_numpy(written["6.png"].copy()).equal(expected)


def test_bad_arguments_and_pictures_are_named(tmp_path: Path) -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"loss": "hinges"}, "did you mean 'hinge'"),
        ({"norm": "group"}, "norm is one of batch, instance, layer, none"),
        ({"l1_weight": -1}, "l1_weight=-1: 0 for the adversarial loss alone"),
        ({**SIZES, "image_size": (16, 32)}, "16 x 32, the U-Net wants squares"),
        ({**SIZES, "image_size": (20, 20)}, "Ask the data for image_size 16"),
    )
    for arguments, message in wrong:
        with pytest.raises(ValueError, match=message):
            Pix2Pix(**arguments)
    with pytest.raises(ValueError, match=r"built for image_size \(32, 32\), the data has \(16, 16\)"):
        fitted(Pix2Pix(**{**SIZES, "image_size": (32, 32)}, **TINY), tmp_path)
    with pytest.raises(ValueError, match="too small for a patch discriminator of 3 layers"):
        fitted(Pix2Pix(**{**TINY, "discriminator_layers": 3}), tmp_path)
