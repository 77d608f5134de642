"""Random order and random draws as functions of (seed, batch, rank): what makes a resumed run equal an unbroken one.

Lightning restores neither the random state nor the order of rows. Instead of saving generator states, which differ
by device and say nothing about worker processes, every source of randomness is derived anew from plain numbers.
"""

import hashlib
import os
from typing import Any, Protocol

import torch


class Training(Protocol):
    """What of Lightning's `Trainer` is asked here."""

    fit_loop: Any

    @property
    def global_rank(self) -> int: ...

    @property
    def strategy(self) -> Any: ...


def run_seed() -> int:
    """The seed of this run: what `seed_everything` (or `--seed_everything`) was given, otherwise 0."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


def derive_seed(*numbers: int) -> int:
    """Mixes integers into one seed of 63 bits, alike on every machine and Python version."""
    digest = hashlib.blake2b(",".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def reseed(seed: int, device: torch.device | None = None) -> None:
    """Seeds torch's generator of the CPU and, where given, of `device`.

    `torch.manual_seed` costs 160 µs a call, as it visits every back end; this takes about one.
    """
    torch.default_generator.manual_seed(seed)
    if device is not None and device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device is not None and device.type == "mps":
        torch.mps.manual_seed(seed)


def reseed_for_batch(trainer: Training, *, stream: int = 0) -> None:
    """Seeds this rank's generators for one training batch, as a function of (run seed, batch, rank, stream).

    Data modules call it in `on_before_batch_transfer` (augmentation runs right after the transfer), modules in
    `on_train_batch_start` with another stream, which serves foreign loaders too.
    """
    batches_trained = trainer.fit_loop.epoch_loop.batch_progress.total.processed
    seed = derive_seed(run_seed(), batches_trained, trainer.global_rank, stream)
    reseed(seed, trainer.strategy.root_device)
