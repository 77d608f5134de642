"""The prior over codes: nothing is seen before its turn, bits are counted right, the VQ-VAE travels along."""

from __future__ import annotations

import os
from math import log, log2
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import seed_everything
from torch import nn

from lhy_lightning import VQVAE, CodePrior
from lhy_lightning.autoencoders.prior.code_transformer import CodeTransformer
from lhy_lightning.autoencoders.prior.pixelcnn import GatedPixelCNN
from lhy_lightning.autoencoders.prior.prior_plots import DrawnPictures
from lhy_lightning.core.distributed import rank_and_world
from tests.cnn.pictures_to_fit import BrightOrDark, bright_or_dark, fit, silent_trainer
from tests.processes import run_forked, torchrun_environments

SIZE, SHAPE = 5, (3, 4)
NETWORKS: dict[str, Any] = {
    "transformer": lambda: CodeTransformer(SIZE, SHAPE, classes=2, width=8, layers=2, heads=2, dropout=0.0),
    "pixelcnn": lambda: GatedPixelCNN(SIZE, SHAPE, classes=2, width=8, layers=3),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_code_is_told_from_those_above_and_to_the_left_alone(name: str) -> None:
    torch.manual_seed(0)
    network: nn.Module = NETWORKS[name]().eval()
    network.requires_grad_(False)
    codes, labels = torch.randint(SIZE, (1, *SHAPE)), torch.tensor([1])
    before = network(codes, labels).flatten(1, 2)
    assert before.shape == (1, 12, SIZE)
    for place in range(12):
        changed = codes.clone()
        changed.view(-1)[place] = (changed.view(-1)[place] + 1) % SIZE
        difference = (network(changed, labels).flatten(1, 2) - before).abs().amax(2)[0]
        assert bool((difference[: place + 1] == 0).all())
        if place < 11:
            assert float(difference[place + 1]) > 0 or (place + 1) % 4 == 0
    # every code above and to the left reaches the last one
    changed = codes.clone()
    changed[0, 0, 0] = (changed[0, 0, 0] + 1) % SIZE
    assert float((network(changed, labels) - network(codes, labels))[0, -1, -1].abs().max()) > 0
    assert float((network(codes, 1 - labels) - network(codes, labels)).abs().amin((0, 3)).max()) > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_drawn_codes_are_those_of_the_plain_way(name: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    labels = torch.tensor([0, 1, 1])
    drawn = network.sample(labels, generator=torch.Generator().manual_seed(4))
    generator, codes = torch.Generator().manual_seed(4), torch.zeros(3, *SHAPE, dtype=torch.int64)
    for row in range(3):
        for column in range(4):
            probabilities = network(codes, labels)[:, row, column].softmax(1).detach()
            codes[:, row, column] = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
    assert torch.equal(drawn, codes)


@pytest.fixture(scope="module")
def vqvae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    seed_everything(0, verbose=False)
    folder = tmp_path_factory.mktemp("vqvae")
    module = VQVAE(
        codebook_size=8, dim=4, width=8, residual_width=4, downsamplings=1, plot_every_n_validations=0, lr=1e-2
    )
    fit(module, folder, max_epochs=5).save_checkpoint(folder / "vqvae.ckpt")
    return folder / "vqvae.ckpt"


def prior(vqvae: Path, **settings: Any) -> CodePrior:
    return CodePrior(vqvae=str(vqvae), width=16, layers=2, heads=2, **settings)


@pytest.mark.parametrize("network", ["transformer", "pixelcnn"])
def test_training_lowers_the_bits_below_those_of_a_uniform_choice(network: Any, vqvae: Path, tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    module = prior(vqvae, network=network, conditional=True, lr=1e-2)
    figures = fit(module, tmp_path, max_epochs=20).callback_metrics
    assert float(figures["val/bits_per_code"]) < float(figures["val/code_bits"]) == log2(8)
    assert float(figures["val/bits_per_code"]) == pytest.approx(float(figures["val/loss"]) / log(2))


def test_bits_are_those_of_the_probabilities_and_the_histogram_is_smoothed(vqvae: Path, tmp_path: Path) -> None:
    class WithPictures(BrightOrDark):
        def pictures(self, split: str) -> list[torch.Tensor]:
            assert split == "train"
            return [batch["image"] for batch in self.train_dataloader()]

    module = prior(vqvae)
    trainer = silent_trainer(tmp_path, max_epochs=1)
    trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, DrawnPictures)]
    module.configure_callbacks = list  # type: ignore[method-assign,assignment]
    trainer.fit(module, datamodule=WithPictures())
    module.eval()
    counts = torch.zeros(8)
    for batch in bright_or_dark(32, seed=0):
        for code in module.vqvae.codes_of(batch["image"]).flatten().tolist():
            counts[code] += 1
    assert torch.equal(module.histogram, counts)
    nats, histogram_nats, rows = 0.0, 0.0, 0
    for batch in bright_or_dark(13, seed=1):
        codes = module.vqvae.codes_of(batch["image"])
        probabilities = module(codes).softmax(-1)
        for place, code in zip(probabilities.reshape(-1, 8), codes.flatten().tolist(), strict=True):
            nats -= float(place[code].log())
            histogram_nats -= float(((counts[code] + 1) / (counts.sum() + 8)).log())
            rows += 1
    figures = trainer.callback_metrics
    assert float(figures["val/bits_per_code"]) == pytest.approx(nats / rows / log(2), rel=1e-4)
    assert float(figures["val/histogram_bits"]) == pytest.approx(histogram_nats / rows / log(2), rel=1e-4)


def test_the_vqvae_stays_as_it_is_and_travels_in_the_checkpoint(vqvae: Path, tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    copy = tmp_path / "copy.ckpt"
    copy.write_bytes(vqvae.read_bytes())
    module = prior(copy, conditional=True)
    before = {name: value.clone() for name, value in module.vqvae.state_dict().items()}
    trainer = fit(module, tmp_path, max_epochs=2)
    assert all(torch.equal(before[name], value) for name, value in module.vqvae.state_dict().items())
    trainer.save_checkpoint(tmp_path / "prior.ckpt")
    copy.unlink()
    again = CodePrior.load_from_checkpoint(tmp_path / "prior.ckpt")
    assert torch.equal(again.sample(6, seed=3), module.sample(6, seed=3))
    module.save_pretrained(tmp_path / "saved")
    assert torch.equal(CodePrior.from_pretrained(tmp_path / "saved").sample(6, seed=3), module.sample(6, seed=3))


def test_samples_are_of_the_seed_and_class_accuracy_is_the_share_of_classes_named(vqvae: Path) -> None:
    module = prior(vqvae, conditional=True, num_classes=2, samples=10)
    assert torch.equal(module.sample(5, seed=1), module.sample(5, seed=1))
    assert module.sample(5, seed=1).shape == (5, 1, 8, 8)

    class AlwaysFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(64, 2)
            nn.init.zeros_(self.last.weight)
            self.last.bias.data = torch.tensor([1.0, 0.0])

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.last(pictures.flatten(1))
            return logits

    assert float(module.class_accuracy(AlwaysFirst())) == 0.5


class ByBrightness(nn.Module):
    """Class 1 where the mean is above that of most drawings."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(64, 2)
        nn.init.zeros_(self.last.bias)
        self.last.weight.data = torch.stack((torch.zeros(64), torch.ones(64) / 64 + torch.arange(64) / 1e3))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.last(pictures.flatten(1))
        return logits


def class_accuracy(vqvae: Path, folder: Path) -> None:
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    torch.manual_seed(0)
    module = prior(vqvae, conditional=True, num_classes=2, samples=600)
    torch.save(module.class_accuracy(ByBrightness()), folder / f"{rank_and_world()[0]}.pt")


def test_ranks_draw_the_same_pictures_together_that_one_draws_alone(vqvae: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert run_forked(class_accuracy, vqvae, one) == [0]
    assert run_forked(class_accuracy, vqvae, two, environments=torchrun_environments(2)) == [0, 0]
    alone, *together = (torch.load(path, weights_only=True) for path in (one / "0.pt", two / "0.pt", two / "1.pt"))
    assert 0 < float(alone) < 1
    assert together == [alone, alone]


def test_codes_of_two_levels_are_learned_in_a_row(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    module = VQVAE(
        codebook_size=8,
        dim=4,
        width=8,
        residual_width=4,
        downsamplings=1,
        levels=2,
        plot_every_n_validations=0,
        lr=1e-2,
    )
    fit(module, tmp_path, max_epochs=1).save_checkpoint(tmp_path / "two.ckpt")
    learner = prior(tmp_path / "two.ckpt")
    fit(learner, tmp_path, max_epochs=1)
    assert learner.sample(3, seed=0).shape == (3, 1, 8, 8)
    with pytest.raises(ValueError, match="the codes of two levels are no map for network: pixelcnn"):
        prior(tmp_path / "two.ckpt", network="pixelcnn")


def test_missing_and_wrong_checkpoints_and_labels_are_told(vqvae: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"vqvae='nothing\.ckpt': there is no such checkpoint"):
        CodePrior(vqvae="nothing.ckpt")
    with pytest.raises(FileNotFoundError, match=r"classifier='nothing\.ckpt'"):
        prior(vqvae, classifier="nothing.ckpt")
    gone = prior(vqvae)
    gone.classifier = "gone.ckpt"
    with pytest.raises(FileNotFoundError, match=r"classifier='gone\.ckpt': there is no such checkpoint"):
        silent_trainer(tmp_path).test(gone, datamodule=BrightOrDark(), verbose=False)  # not after the whole test
    with pytest.raises(ValueError, match="give a VQVAE's checkpoint"):
        CodePrior()
    with pytest.raises(ValueError, match="network is one of transformer, pixelcnn, not 'gru'"):
        prior(vqvae, network="gru")

    class Larger(BrightOrDark):
        image_size = (16, 16)

    with pytest.raises(ValueError, match=r"pictures are \(1, 16, 16\), the VQVAE was trained on \(1, 8, 8\)"):
        silent_trainer(tmp_path).fit(prior(vqvae), datamodule=Larger())
