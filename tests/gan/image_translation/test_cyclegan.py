"""`CycleGAN`: both directions in every loss, the history of outputs, and what classifiers say of translations."""

import csv
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim import Optimizer

from lhy_lightning.callbacks.last_checkpoint import LastCheckpoint
from lhy_lightning.core.arguments.signatures import constructor_arguments
from lhy_lightning.gan.image_translation.cyclegan import CycleGAN
from lhy_lightning.gan.image_translation.translated_images import file_names
from lhy_lightning.gan.image_translation.translation_evaluation import TranslationEvaluation
from tests.cnn.pictures_to_fit import silent_trainer
from tests.gan.translators_to_fit import DarkAndBright, Kill, KilledError, domain

TINY: dict[str, Any] = {
    "width": 2, "blocks": 1, "downsamplings": 1, "discriminator_width": 2, "discriminator_layers": 1, "pool_size": 5,
    "plot_every_n_steps": 0,
}  # fmt: skip
SIZES: dict[str, Any] = {"image_size": (8, 8), "channels": 1}
DISCOGAN: dict[str, Any] = {
    "loss": "non_saturating", "cycle_loss": "l2", "cycle_weight": 1, "identity_weight": 0, "pool_size": 0,
    "schedule": "constant", "norm": "batch", "discriminator_norm": "batch",
}  # fmt: skip
DUALGAN: dict[str, Any] = {
    "network": "unet", "loss": "wasserstein", "weight_clip": 0.01, "n_critic": 3, "cycle_weight": 500,
    "identity_weight": 0, "pool_size": 0, "optimizer": "rmsprop", "discriminator_lr": 5e-5, "generator_lr": 5e-5,
    "schedule": "constant", "norm": "batch", "dropout": 0.5, "discriminator_norm": "batch",
}  # fmt: skip


class Negative(nn.Module):
    """Takes dark pictures to bright ones and back without a fault."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(-1.0))

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures * self.factor


class Perfect(CycleGAN):
    def build_generator(self) -> nn.Module:
        return Negative()


class Sums(nn.Module):
    """A classifier of two classes: the second one where the weighted sum of the pixels is above zero."""

    def __init__(self, weights: Tensor, class_names: tuple[str, ...]) -> None:
        super().__init__()
        self.class_names = class_names
        self.last = nn.Linear(weights.numel(), 2)
        with torch.no_grad():
            self.last.weight.copy_(torch.stack([torch.zeros(weights.numel()), weights.flatten()]))
            self.last.bias.zero_()

    def forward(self, pictures: Tensor) -> Tensor:
        return self.last(pictures.flatten(1))


def fitted(module: CycleGAN, folder: Path, *, size: int = 8, **settings: Any) -> CycleGAN:
    torch.manual_seed(0)
    trainer = silent_trainer(folder, **{"max_steps": 3, "max_epochs": -1, "limit_val_batches": 0, **settings})
    trainer.fit(module, datamodule=DarkAndBright(size))
    return module


def test_hyperparameters_are_the_arguments_and_rebuild_the_networks(tmp_path: Path) -> None:
    module = fitted(CycleGAN(ema_decay=0.9, **TINY), tmp_path)
    assert set(module.hparams) == set(constructor_arguments(CycleGAN))
    again = CycleGAN(**module.hparams)
    again.load_state_dict(module.state_dict())
    for direction in ("a_to_b", "b_to_a"):
        pictures = domain(direction[0], 3)
        torch.testing.assert_close(again.eval()(pictures, direction), module.eval()(pictures, direction))


def test_losses_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    module = CycleGAN(cycle_weight=10, identity_weight=5, **SIZES, **TINY)
    real, fake = {"a": domain("a", 3), "b": domain("b", 3)}, {"a": domain("a", 2), "b": domain("b", 2)}
    [judge_a, judge_b], [to_b, to_a] = module.discriminators.values(), module.generators.values()
    expected = ((judge_a(real["a"]) - 1).square().mean() + judge_a(fake["a"]).square().mean()) / 2
    expected = expected + ((judge_b(real["b"]) - 1).square().mean() + judge_b(fake["b"]).square().mean()) / 2
    torch.testing.assert_close(module.discriminator_loss(real, fake), expected)

    fake = {"a": to_a(real["b"]), "b": to_b(real["a"])}
    adversarial = (judge_a(fake["a"]) - 1).square().mean() + (judge_b(fake["b"]) - 1).square().mean()
    cycle = (to_a(fake["b"]) - real["a"]).abs().mean() + (to_b(fake["a"]) - real["b"]).abs().mean()
    identity = (to_b(real["b"]) - real["b"]).abs().mean() + (to_a(real["a"]) - real["a"]).abs().mean()
    loss, parts = module.generator_loss(real, fake)
    torch.testing.assert_close(loss, adversarial + 10 * cycle + 5 * identity)
    torch.testing.assert_close(parts["cycle_l1"], cycle / 2)


def test_one_side_has_no_gradient_in_the_others_step_and_generators_wait_for_their_turn(tmp_path: Path) -> None:
    with_gradient: list[set[str]] = []

    class Watched(CycleGAN):
        def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
            found = {name.split(".")[0] for name, value in self.named_parameters() if value.grad is not None}
            with_gradient.append(found)
            super().on_before_optimizer_step(optimizer)

    module = fitted(Watched(n_critic=2, **TINY), tmp_path, max_steps=4)
    assert with_gradient == 2 * [{"discriminators"}, {"discriminators"}, {"generators"}]
    assert module.trainer.global_step == 4
    assert len(module.trainer.optimizers) == 2


def test_rates_are_constant_for_half_of_the_steps_and_then_fall_to_zero(tmp_path: Path) -> None:
    rates: list[list[float]] = []

    class Watched(CycleGAN):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            super().on_train_batch_start(batch, batch_idx)
            rates.append([optimizer.param_groups[0]["lr"] for optimizer in self.trainer.optimizers])

    fitted(Watched(discriminator_lr=4e-4, generator_lr=2e-4, **TINY), tmp_path, max_steps=8)
    shares = [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    torch.testing.assert_close(torch.tensor(rates), torch.tensor([[4e-4 * s, 2e-4 * s] for s in shares]))


def test_discriminators_see_earlier_outputs_too_which_are_in_the_checkpoint(tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []

    class Watched(CycleGAN):
        def discriminator_loss(self, real: dict[str, Tensor], fake: dict[str, Tensor]) -> Tensor:
            seen.append(fake)
            return super().discriminator_loss(real, fake)

    module = fitted(Watched(**TINY), tmp_path)
    module.trainer.save_checkpoint(tmp_path / "last.ckpt")
    [own] = torch.load(tmp_path / "last.ckpt", weights_only=True)["image_pools"]
    assert {side: tuple(pictures.shape) for side, pictures in own.items()} == dict.fromkeys("ab", (5, 1, 8, 8))
    for side in "ab":  # of the first two batches, before any could be replaced
        assert own[side][:2].equal(seen[0][side]) or own[side][2:4].equal(seen[1][side])
    again = Watched.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert all(again.pools[side].state_dict()["pictures"].equal(own[side]) for side in "ab")


def test_every_rank_finds_its_own_history_and_a_new_rank_an_empty_one() -> None:
    module = CycleGAN(**SIZES, **TINY)
    checkpoint = {"image_pools": [{side: domain(side, 3) for side in "ab"}]}
    module.on_load_checkpoint(checkpoint)
    assert [len(pool) for pool in module.pools.values()] == [3, 3]
    module = CycleGAN(**SIZES, **TINY)
    module.on_load_checkpoint({"image_pools": []})
    assert [len(pool) for pool in module.pools.values()] == [0, 0]


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    def run(name: str, *callbacks: Callback, going_on: bool = False) -> dict[str, Tensor]:
        torch.manual_seed(0)
        module, last = CycleGAN(ema_decay=0.9, **TINY), LastCheckpoint(every_n_steps=5, folder=str(tmp_path / name))
        settings: dict[str, Any] = {"max_steps": 10, "max_epochs": -1, "limit_val_batches": 0}
        trainer = silent_trainer(tmp_path, callbacks=[last, *callbacks], enable_checkpointing=True, **settings)
        found = tmp_path / name / "last.ckpt" if going_on else None
        trainer.fit(module, datamodule=DarkAndBright(), ckpt_path=found, weights_only=True)
        pools = {f"pool of {side}": pool.state_dict()["pictures"] for side, pool in module.pools.items()}
        return {**module.state_dict(), **pools}

    whole = run("whole")
    with pytest.raises(KilledError):
        run("killed", Kill(6))
    resumed = run("killed", going_on=True)
    assert [name for name, value in whole.items() if not value.equal(resumed[name])] == []


@pytest.mark.parametrize("settings", [DISCOGAN, DUALGAN], ids=["DiscoGAN", "DualGAN"])
def test_relatives_are_settings_of_it(settings: dict[str, Any], tmp_path: Path) -> None:
    module = fitted(CycleGAN(**{**TINY, **settings}), tmp_path, size=16)
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    if settings is DUALGAN:
        assert max(float(weight.detach().abs().max()) for weight in module.discriminators.parameters()) <= 0.01
    documented = inspect.getdoc(CycleGAN) or ""
    for name, value in settings.items():
        written = f'"{value}"' if isinstance(value, str) else f"{value:g}".replace("5e-05", "5e-5")
        assert f"{name}={written}" in documented


def test_the_way_back_counts_both_domains_however_many_rows_they_have(tmp_path: Path) -> None:
    module = fitted(CycleGAN(**TINY), tmp_path, limit_val_batches=1.0, max_steps=8).eval()
    with torch.no_grad():
        a, b = domain("a", 7), domain("b", 4)
        back_a, back_b = module(module(a), "b_to_a"), module(module(b, "b_to_a"))
    expected = ((back_a - a).abs().mean() + (back_b - b).abs().mean()) / 2
    torch.testing.assert_close(module.trainer.callback_metrics["val/cycle_l1"], expected)


def test_classifiers_tell_whether_labels_are_kept_and_domains_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a negative reaches the other domain; of the halves the other one is then brighter, so no label is kept
    halves = torch.cat([torch.ones(8, 4), -torch.ones(8, 4)], 1)
    known = {"label": Sums(halves, ("right", "left")), "domain": Sums(torch.ones(8, 8), ("dark", "bright"))}
    monkeypatch.setattr(
        "lhy_lightning.gan.image_translation.translation_evaluation.load_modules",
        lambda paths, _: [known[path.stem] for path in paths],
    )
    for name in known:
        (tmp_path / f"{name}.ckpt").touch()
    paths: dict[str, Any] = {f"{name}_classifier": str(tmp_path / f"{name}.ckpt") for name in known}
    trainer = silent_trainer(tmp_path)
    [figures] = trainer.test(Perfect(**paths, **SIZES, **TINY), datamodule=DarkAndBright(), verbose=False)
    assert figures["test/cycle_l1"] == 0
    for way in ("", "_a_to_b", "_b_to_a"):
        assert figures[f"test/target_domain{way}"] == 1
        assert figures[f"test/label_kept{way}"] == 0
        assert figures[f"test/translated{way}"] == 0
    with (tmp_path / "translation_scores.csv").open() as file:
        rows = {row["figure"]: row for row in csv.DictReader(file)}
    names = ("label_kept", "target_domain", "translated")
    assert [tuple(rows[name][of] for name in names) for of in ("inputs", "targets")] == [
        ("1.0000", "0.0000", "0.0000"), ("1.0000", "1.0000", "1.0000"),
    ]  # fmt: skip

    known["domain"].class_names = ("night", "day")
    with pytest.raises(ValueError, match="classes night, day, the domains are called dark and bright"):
        trainer.test(Perfect(**paths, **SIZES, **TINY), datamodule=DarkAndBright(), verbose=False)


def test_a_picture_is_translated_where_both_its_label_is_kept_and_the_domain_reached() -> None:
    class Said(nn.Module):
        def __init__(self, classes: list[int]) -> None:
            super().__init__()
            self.classes = classes

        def features_and_logits(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
            return pictures, nn.functional.one_hot(torch.tensor(self.classes), 2).float()

    evaluation = TranslationEvaluation("label.ckpt", "domain.ckpt")
    evaluation.class_of = {"a": 0, "b": 1}
    evaluation.classifiers = {"label_kept": Said([0, 1, 0, 1]), "target_domain": Said([1, 1, 0, 0])}  # type: ignore[dict-item]
    right = evaluation.right(torch.zeros(4, 1, 1, 1), torch.tensor([0, 0, 0, -1]), "b")
    assert {name: value.tolist() for name, value in right.items()} == {
        "target_domain": [1, 1, 0, 0], "label_kept": [1, 0, 1], "translated": [1, 0, 0],
    }  # fmt: skip


def test_the_best_epoch_is_one_that_translates_not_one_that_copies() -> None:
    assert CycleGAN().monitor == ("step", "max")
    assert CycleGAN(label_classifier="l.ckpt").monitor == ("step", "max")
    assert CycleGAN(domain_classifier="d.ckpt").monitor == ("val/target_domain", "max")
    assert CycleGAN(label_classifier="l.ckpt", domain_classifier="d.ckpt").monitor == ("val/translated", "max")


def test_a_missing_classifier_is_named(tmp_path: Path) -> None:
    module = CycleGAN(label_classifier=str(tmp_path / "no.ckpt"), **SIZES, **TINY)
    with pytest.raises(FileNotFoundError, match=r"label_classifier=.*no such file"):
        silent_trainer(tmp_path).test(module, datamodule=DarkAndBright(), verbose=False)


def test_prediction_writes_both_directions_under_the_inputs_names(tmp_path: Path) -> None:
    module = CycleGAN(**SIZES, **TINY)
    trainer = silent_trainer(tmp_path, callbacks=module.prediction_writers())
    trainer.predict(module, datamodule=DarkAndBright(), return_predictions=False)
    for folder, count in (("a_to_b", 7), ("b_to_a", 4)):
        assert {path.name for path in (tmp_path / folder).iterdir()} == {f"{number}.png" for number in range(count)}


def test_translations_are_called_like_their_inputs() -> None:
    assert file_names(["x/faces/a.jpg", "x/faces/old/b.jpg"]) == ["a.png", "old/b.png"]
    assert file_names(["x/a.jpg", "x/a.bmp", "x/b.jpg"]) == ["a.jpg.png", "a.bmp.png", "b.png"]
    assert file_names(["embedded:digits#0", "embedded:digits#12"]) == ["0.png", "12.png"]


def test_input_output_and_back_of_both_directions_are_drawn(tmp_path: Path) -> None:
    fitted(CycleGAN(**{**TINY, "plot_every_n_steps": 2}), tmp_path, limit_val_batches=1, num_sanity_val_steps=1)
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == [f"{way}_{step:06d}.png" for way in ("a_to_b", "b_to_a") for step in (2, 3)]


def test_bad_arguments_and_pictures_are_named(tmp_path: Path) -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"loss": "hinges"}, "did you mean 'hinge'"),
        ({"network": "resnet"}, "network is one of residual, unet, not 'resnet'"),
        ({"cycle_loss": "l3"}, "cycle_loss is one of l1, l2, not 'l3'"),
        ({"norm": "group"}, "norm is one of"),
        ({"cycle_weight": -1.0}, "cycle_weight=-1.0: 0 to leave the loss out"),
        ({"n_critic": 0}, "n_critic=0: must be at least 1"),
        ({"weight_clip": 0.0}, "weight_clip=0.0: must be above 0"),
        ({"pool_size": -1}, "size=-1"),
    )
    for arguments, message in wrong:
        with pytest.raises(ValueError, match=message):
            CycleGAN(**arguments)
    with pytest.raises(ValueError, match="direction is one of a_to_b, b_to_a, not 'b'"):
        CycleGAN(**SIZES, **TINY)(domain("a", 1), "b")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"built for image_size \(16, 16\), the data has \(8, 8\)"):
        fitted(CycleGAN(**{**SIZES, "image_size": (16, 16)}, **TINY), tmp_path)
    with pytest.raises(ValueError, match="Ask the data for another image_size, or take fewer"):
        fitted(CycleGAN(**{**TINY, "downsamplings": 3}), tmp_path)
