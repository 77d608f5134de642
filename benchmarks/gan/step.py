"""Time of a DCGAN's training step: homework 6's own loop in plain PyTorch against `GAN` under the Trainer.

    python -m benchmarks.gan.step [--width 64] [--rounds 20] [--threads 2] [--json figures.json] [--quick]

A step is one of the discriminator and one of the generator on 64 pictures of 64 x 64 pixels. The other side is the
notebook's loop, written out: the same networks, fresh noise for each of the two steps, binary cross entropy after a
sigmoid, both backward passes through the whole discriminator, Adam as torch has it by default, losses read every tenth
step. The notebook of 2021 detaches the fakes in the discriminator's step, those of 2022 and 2023 do not and go back
through the generator for nothing: ratios are against the cheaper one.

Our step is everything from the end of one step to the end of the next: batch, hooks, logging, progress bar, averaged
generator. All sides train in one process on the same random pictures in memory, one step of each in turn, so that a
busy machine slows all; medians are over steps, of ratios over rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.tools.interleaved import LOG_EVERY, Contestant, default_trainer
from benchmarks.tools.step_times import Figure, InTurns, Repeated, compare
from lhy_lightning.gan.gan import GAN
from lhy_lightning.gan.networks.dcgan import DCGANDiscriminator, DCGANGenerator

LATENT, LR, BETAS = 100, 2e-4, (0.5, 0.999)
NOTEBOOK = "the notebook's loop, 2021"
TARGETS = {"GAN, defaults": 0.8, "GAN, reuse_fakes off": 0.9}


@dataclass(frozen=True)
class Size:
    """Homework 6: pictures of 64 pixels in batches of 64, 64 channels next to the picture."""

    width: int = 64
    batch_size: int = 64
    image_size: int = 64


def batches(size: Size) -> DataLoader:
    """Four random batches over and over, without an end."""
    generator = torch.Generator().manual_seed(0)
    shape = (size.batch_size, 3, size.image_size, size.image_size)
    kept = [{"image": 2 * torch.rand(shape, generator=generator) - 1} for _ in range(4)]
    return DataLoader(Repeated(kept), batch_size=None)


def notebook(size: Size, *, detached: bool) -> Callable[[Contestant], None]:
    """The loop of homework 6; `detached` says whether the discriminator's backward stops at the fakes."""

    def loop(side: Contestant) -> None:
        generator = DCGANGenerator(latent_dim=LATENT, width=size.width, image_size=size.image_size)
        discriminator = DCGANDiscriminator(width=size.width, image_size=size.image_size)
        criterion = nn.BCELoss()
        discriminator_adam = torch.optim.Adam(discriminator.parameters(), lr=LR, betas=BETAS)
        generator_adam = torch.optim.Adam(generator.parameters(), lr=LR, betas=BETAS)
        for step, batch in enumerate(batches(size)):
            real = batch["image"]
            real_label, fake_label = torch.ones(len(real)), torch.zeros(len(real))

            fake = generator(torch.randn(len(real), LATENT))
            real_scores = discriminator(real).sigmoid()
            fake_scores = discriminator(fake.detach() if detached else fake).sigmoid()
            discriminator_loss = (criterion(real_scores, real_label) + criterion(fake_scores, fake_label)) / 2
            discriminator.zero_grad()
            discriminator_loss.backward()
            discriminator_adam.step()

            fake = generator(torch.randn(len(real), LATENT))
            fake_scores = discriminator(fake).sigmoid()
            generator_loss = criterion(fake_scores, real_label)
            generator.zero_grad()
            generator_loss.backward()
            generator_adam.step()

            if step % LOG_EVERY == 0:
                discriminator_loss.item(), generator_loss.item()
            side.step()

    return loop


def ours(size: Size, folder: Path, **settings: Any) -> Callable[[Contestant], None]:
    """`GAN` under the Trainer with everything that `lhy fit` switches on by default."""

    def loop(side: Contestant) -> None:
        module = GAN(
            width=size.width, latent_dim=LATENT, image_size=(size.image_size, size.image_size), channels=3,
            discriminator_lr=LR, generator_lr=LR, betas=BETAS, **settings,
        )  # fmt: skip
        trainer = default_trainer(folder / side.name, InTurns(side), max_epochs=-1)
        trainer.fit(module, batches(size))

    return loop


def loops_of(size: Size, folder: Path) -> dict[str, Callable[[Contestant], None]]:
    """All sides by their names, the one first that the others are measured against."""
    variants: dict[str, dict[str, Any]] = {
        "GAN, defaults": {},
        "GAN, reuse_fakes off": {"reuse_fakes": False},
        "GAN, channels_last off": {"channels_last": False},
        "GAN, reuse_fakes and channels_last off": {"reuse_fakes": False, "channels_last": False},
        "GAN, averaged generator off": {"ema_decay": None},
    }
    return {
        NOTEBOOK: notebook(size, detached=True),
        "the notebook's loop, 2022 and 2023": notebook(size, detached=False),
        **{name: ours(size, folder, **settings) for name, settings in variants.items()},
    }


def main(arguments: Sequence[str] | None = None) -> list[Figure]:
    return compare(
        arguments,
        doc=__doc__,
        size=Size(),
        quick=Size(width=2, batch_size=4, image_size=16),
        loops_of=loops_of,
        targets=TARGETS,
    )


if __name__ == "__main__":
    main()
