"""`GAN` and the papers' settings of it: whose turn it is, what bounds the discriminator, who draws the samples."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lhy_lightning.core.arguments.signatures import constructor_arguments
from lhy_lightning.gan.gan import GAN
from lhy_lightning.gan.losses import LOSSES
from lhy_lightning.gan.networks.norms import has_batch_norm
from lhy_lightning.gan.networks.spectral import largest_singular_values
from lhy_lightning.gan.wgan import SNGAN, WGAN, WGANGP
from tests.cnn.pictures_to_fit import BrightOrDark, silent_trainer

TINY: dict[str, Any] = {"width": 4, "latent_dim": 3, "plot_every_n_steps": 0}


class Watched(GAN):
    """Counts how often each network is called in training, and steps."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.drawn, self.steps = 0, {"discriminator": 0, "generator": 0}

    def generate_fakes(self, labels: Tensor | None, count: int) -> Tensor:
        self.drawn += 1
        return super().generate_fakes(labels, count)

    def on_network_step(self, name: str) -> None:
        super().on_network_step(name)
        self.steps[name] += 1


def trained(module: GAN, folder: Path, **settings: Any) -> GAN:
    torch.manual_seed(0)
    trainer = silent_trainer(folder, **{"max_steps": 4, "max_epochs": -1, "limit_val_batches": 0, **settings})
    trainer.fit(module, datamodule=BrightOrDark())
    return module


@pytest.mark.parametrize("kind", [GAN, WGAN, WGANGP, SNGAN])
def test_hyperparameters_are_the_arguments_and_rebuild_the_networks(kind: type[GAN], tmp_path: Path) -> None:
    module = trained(kind(**TINY), tmp_path)
    assert set(module.hparams) == set(constructor_arguments(kind))
    again = kind(**module.hparams)
    again.load_state_dict(module.state_dict())
    torch.testing.assert_close(again.eval().sample(5, seed=1), module.eval().sample(5, seed=1))


def test_five_critic_steps_a_generator_step_and_the_trainer_counts_the_critics(tmp_path: Path) -> None:
    module = Watched(n_critic=5, **TINY)
    trained(module, tmp_path, max_steps=10)
    assert module.trainer.global_step == 10
    assert module.steps == {"discriminator": 10, "generator": 2}


@pytest.mark.parametrize(("reuse", "draws"), [(True, 4), (False, 6)])
def test_fakes_are_made_once_a_batch_or_anew_for_the_generator(reuse: bool, draws: int, tmp_path: Path) -> None:
    module = Watched(n_critic=2, reuse_fakes=reuse, **TINY)
    trained(module, tmp_path)
    assert module.drawn == draws


@pytest.mark.parametrize("loss", LOSSES)
def test_both_networks_learn_by_every_loss(loss: Any, tmp_path: Path) -> None:
    module = GAN(loss=loss, image_size=(8, 8), channels=1, **TINY)
    before = {name: value.clone() for name, value in module.named_parameters()}
    trained(module, tmp_path, max_steps=2)
    moved = {name.split(".")[0] for name, value in module.named_parameters() if not value.equal(before[name])}
    assert moved == {"discriminator", "generator", "averaged"}
    assert all(parameter.grad is None for parameter in module.parameters())


def test_weights_of_a_wgan_never_leave_the_clip_range(tmp_path: Path) -> None:
    class Checked(WGAN):
        largest = 0.0

        def on_train_batch_end(self, *args: Any) -> None:
            assert self.discriminator is not None
            self.largest = max(self.largest, *(float(p.detach().abs().max()) for p in self.discriminator.parameters()))

    module = Checked(weight_clip=0.02, discriminator_lr=0.1, **TINY)
    trained(module, tmp_path)
    assert 0.019 < module.largest <= 0.02


def test_every_weight_of_a_spectrally_normalized_discriminator_has_norm_one(tmp_path: Path) -> None:
    module = trained(SNGAN(**TINY), tmp_path, max_steps=40)
    assert module.discriminator is not None
    values = largest_singular_values(module.discriminator)
    assert len(values) >= 2
    assert list(values.values()) == pytest.approx([1] * len(values), abs=1e-2)


def test_a_lazy_penalty_is_taken_every_fourth_step_and_multiplied_by_four(tmp_path: Path) -> None:
    taken: list[tuple[int, float]] = []

    class Seen(WGANGP):
        def discriminator_penalty(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> Tensor:
            return torch.ones(())

        def discriminator_loss(self, real: Tensor, fake: Tensor, labels: Any) -> tuple[Tensor, dict[str, Tensor]]:
            loss, figures = super().discriminator_loss(real, fake, labels)
            taken.append((self.trainer.global_step, float((loss - figures["discriminator_loss"]).detach())))
            return loss, figures

    trained(Seen(penalty_every_n_steps=4, penalty_weight=3, **TINY), tmp_path, max_steps=6)
    assert [step for step, _ in taken] == list(range(6))
    assert [value for _, value in taken] == pytest.approx([12, 0, 0, 0, 12, 0])


@pytest.mark.parametrize("penalty", ["gradient", "one_sided", "r1"])
def test_no_gradient_penalty_meets_batch_statistics_unless_told(penalty: Any) -> None:
    sizes: dict[str, Any] = {"image_size": (16, 16), "channels": 1}
    critic = GAN(penalty=penalty, **sizes, **TINY).discriminator
    assert critic is not None
    assert not has_batch_norm(critic)
    with pytest.warns(UserWarning, match="batch normalization ties samples together"):
        GAN(penalty=penalty, discriminator_norm="batch", **sizes, **TINY)


def test_samples_are_the_averaged_generators_with_its_own_batch_statistics(tmp_path: Path) -> None:
    module = trained(GAN(ema_decay=0.9, **TINY), tmp_path)
    noise = module.noise(3, seed=0)
    assert module.averaged is not None
    assert module.generator is not None
    expected = module.averaged.network.eval()(noise, None)
    assert module(noise).equal(expected)
    assert not module(noise).allclose(module.generator.eval()(noise, None), atol=1e-4)
    averaged, raw = dict(module.averaged.network.named_buffers()), dict(module.generator.named_buffers())
    means = [name for name in raw if name.endswith("running_mean")]
    assert means
    assert all(not averaged[name].equal(raw[name]) for name in means)


def test_drawing_leaves_the_training_mode_and_statistics_of_the_generator_alone() -> None:
    module = GAN(ema_decay=None, image_size=(8, 8), channels=1, **TINY).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.sample(4)
    assert module.generator is not None
    assert module.generator.training
    assert all(value.equal(before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("network", ["dcgan", "residual"])
@pytest.mark.parametrize("condition", ["concat", "projection", "auxiliary"])
def test_a_conditional_gan_draws_the_class_that_is_asked_for(network: Any, condition: Any, tmp_path: Path) -> None:
    module = trained(
        GAN(condition=condition, network=network, ema_decay=0.9, width=8, latent_dim=4, discriminator_lr=2e-3,
            generator_lr=2e-3, plot_every_n_steps=0),
        tmp_path, max_steps=120,
    )  # fmt: skip
    dark, bright = (module.sample(64, labels=torch.full((64,), label), seed=1).mean() for label in (0, 1))
    assert module.num_classes == 2
    assert bright > dark + 0.3  # real ones are .5 on average against -.5


def test_a_conditional_gan_without_labels_is_told_so(tmp_path: Path) -> None:
    class Unlabelled(BrightOrDark):
        num_classes = 0

    with pytest.raises(ValueError, match="condition='concat' needs labelled pictures, the data has no labels"):
        silent_trainer(tmp_path).fit(GAN(condition="concat", **TINY), datamodule=Unlabelled())


def test_a_run_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    def run(steps: int, going_on_from: Path | None = None) -> dict[str, Tensor]:
        torch.manual_seed(0)
        module = GAN(n_critic=3, **TINY)
        trainer = silent_trainer(tmp_path, max_steps=steps, max_epochs=-1)
        trainer.fit(module, datamodule=BrightOrDark(), ckpt_path=going_on_from, weights_only=True)
        trainer.save_checkpoint(tmp_path / f"{steps}.ckpt")
        return module.state_dict()

    whole = run(8)
    run(4)
    resumed = run(8, tmp_path / "4.ckpt")
    assert all(value.equal(resumed[name]) for name, value in whole.items())


def test_bad_arguments_are_named() -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"loss": "hinges"}, "did you mean 'hinge'"),
        ({"penalty": "r2"}, "penalty is one of none, gradient, one_sided, r1, not 'r2'"),
        ({"condition": "class"}, "condition is one of"),
        ({"n_critic": 0}, "n_critic=0: must be at least 1"),
        ({"weight_clip": 0.0}, "weight_clip=0.0: must be above 0"),
        ({"weight_clip": 0.1, "spectral_norm": True}, "choose one"),
        ({"augmentation": "colour"}, "no change is called 'colour'"),
        ({"image_size": (8, 10), "channels": 1}, "8 x 10, the networks want squares"),
    )
    for arguments, message in wrong:
        with pytest.raises(ValueError, match=message):
            GAN(**arguments)


def test_every_evaluation_draws_the_same_noise_a_seed_for_each_batch(tmp_path: Path, monkeypatch: Any) -> None:
    class Heard(GAN):
        def noise(self, count: int, *, seed: int | None = None) -> Tensor:
            if seed is not None:
                seeds[-1].append(seed)
            return super().noise(count, seed=seed)

        def on_validation_epoch_start(self) -> None:
            super().on_validation_epoch_start()
            seeds.append([])

        def on_test_epoch_start(self) -> None:
            super().on_test_epoch_start()
            seeds.append([])

    seeds: list[list[int]] = []
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    module = Heard(**TINY)
    settings = {"limit_val_batches": 2, "num_sanity_val_steps": 1, "val_check_interval": 2}
    trained(module, tmp_path, **settings)
    silent_trainer(tmp_path, limit_test_batches=2).test(module, datamodule=BrightOrDark())
    assert seeds == [[7], [7, 8], [7, 8], [7, 8]]
