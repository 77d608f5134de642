"""Mean and covariance of a feature network's outputs on real pictures: computed once, kept on disk."""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lhy_lightning.core.atomic_files import atomic_open
from lhy_lightning.core.checksums import made_anew
from lhy_lightning.core.distributed import rank_and_world

FeatureNetwork = Callable[[Tensor], Tensor]
"""Pictures (N, C, H, W) float32 in [-1, 1] to features (N, D)."""

VERSION = 1  # of the files' layout and of how features are computed: raise it and old files are not used any more


@dataclass(frozen=True)
class FeatureStatistics:
    """What the Fréchet distance needs of a set of features.

    Attributes:
        mean: (D,) float64.
        covariance: (D, D) float64, over count − 1.
        count: samples that they are of.
    """

    mean: Tensor
    covariance: Tensor
    count: int

    @classmethod
    def from_sums(cls, total: Tensor, outer: Tensor, count: int) -> FeatureStatistics:
        """From the sum of features (D,), the sum of their outer products (D, D), both float64, and their number."""
        mean = total / max(count, 1)
        return cls(mean, (outer - count * torch.outer(mean, mean)) / max(count - 1, 1), count)

    @classmethod
    def of(cls, features: Tensor) -> FeatureStatistics:
        """Of all features at once, (N, D)."""
        features = features.double()
        mean = features.mean(0)
        centred = features - mean
        return cls(mean, centred.T @ centred / max(len(features) - 1, 1), len(features))

    def save(self, path: Path) -> None:
        """Writes an npz file, whole or not at all."""
        with atomic_open(path) as file:
            np.savez(file, mean=self.mean.cpu(), covariance=self.covariance.cpu(), count=np.int64(self.count))

    @classmethod
    def load(cls, path: Path) -> FeatureStatistics:
        """Reads what `save` wrote.

        Raises:
            ValueError: the file is damaged or of another kind.
            FileNotFoundError: there is none.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                mean, covariance, count = file["mean"], file["covariance"], int(file["count"])
        except (EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} holds no feature statistics ({error}): delete it") from error
        if covariance.shape != (*mean.shape, *mean.shape):
            raise ValueError(f"{path} holds a mean {mean.shape} and a covariance {covariance.shape}: delete it")
        return cls(torch.from_numpy(mean), torch.from_numpy(covariance), count)


def check_enough(count: int, num_features: int, *, which: str = "", allow_few: bool = False) -> None:
    """Refuses fewer samples than features: their covariance has no full rank, and the distance is too large by much.

    Args:
        count: samples.
        num_features: D.
        which: "real" or "generated", for the message.
        allow_few: refuse only fewer than two, of which there is no covariance.

    Raises:
        ValueError: too few.
    """
    kind = f"{which} samples".strip()
    if count < 2:
        raise ValueError(f"a Fréchet distance takes at least two {kind}, there are {count}")
    if count < num_features and not allow_few:
        raise ValueError(
            f"{count:,} {kind} are fewer than the {num_features:,} features: their Fréchet distance is far too large. "
            "Take more samples, a feature network with fewer features, or allow_few=True to compare such figures "
            "among themselves"
        )


# --- keys ----------------------------------------------------------------------------------------------------------


def pixels_hash(pictures: Iterable[Tensor]) -> str:
    """A key of a set of pictures that does not depend on their order or batches.

    Args:
        pictures: batches (N, C, H, W), float32 in [-1, 1]; hashed at the 256 steps that files have.
    """
    rows: list[bytes] = []
    for batch in pictures:
        steps = (batch.detach() * 127.5 + 127.5).round().clamp(0, 255).to("cpu", torch.uint8).contiguous().numpy()
        shape = str(steps.shape[1:]).encode()
        rows += [hashlib.blake2b(shape + row.tobytes(), digest_size=16).digest() for row in steps]
    return hashlib.blake2b(b"".join(sorted(rows)), digest_size=16).hexdigest()


def content_hash(content: np.ndarray, size: tuple[int, int], channels: int) -> str:
    """The same from hashes that are already there, as picture stores keep them, without another pass over pixels.

    Args:
        content: (N,) int64, a hash of each picture's decoded pixels.
        size: (height, width) of the pictures.
        channels: 1 or 3.
    """
    rows = np.sort(np.asarray(content, dtype="<i8")).tobytes()
    return hashlib.blake2b(f"{tuple(size)} {channels} ".encode() + rows, digest_size=16).hexdigest()


def network_hash(network: FeatureNetwork) -> str:
    """A key of a feature network: its class, its layers and the bytes of its weights.

    Raises:
        ValueError: it is no torch module, so that its key must be given.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"features by {network!r} have no weights to tell them apart by: make it a torch.nn.Module, or give "
            "network_key, a text that changes whenever the features do"
        )
    kind = type(network)
    ours = kind.__module__.startswith("lhy_lightning.")  # whose files may move
    name = kind.__qualname__ if ours else f"{kind.__module__}.{kind.__qualname__}"
    digest = hashlib.blake2b(f"{name}\n{network}".encode())
    for name, tensor in network.state_dict().items():
        if not isinstance(tensor, Tensor):  # extra state, which is no weight
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


# --- real statistics -----------------------------------------------------------------------------------------------


def features_folder(given: str | Path | None = None) -> Path:
    """Where statistics are kept: `given`, else `lhy_lightning/features` in the user's cache folder."""
    if given is not None:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")) / "lhy_lightning" / "features"


@torch.no_grad()
def statistics_of(
    pictures: Iterable[Tensor], network: FeatureNetwork, *, device: torch.device | str | None = None
) -> FeatureStatistics:
    """One pass over pictures: their features' mean and covariance.

    Args:
        pictures: batches (N, C, H, W) float32 in [-1, 1].
        network: to features (N, D); a module should be in evaluation mode.
        device: where to move each batch; None to leave it.

    Raises:
        ValueError: no pictures, features that are not (N, D), or not finite.
    """
    total: Tensor | None = None
    outer, count = torch.zeros(()), 0
    for batch in pictures:
        features = network(batch if device is None else batch.to(device)).double()
        if features.ndim != 2 or len(features) != len(batch):
            raise ValueError(f"{len(batch)} pictures gave features {tuple(features.shape)}, expected ({len(batch)}, D)")
        if total is None:
            total = features.new_zeros(features.shape[1])
            outer = features.new_zeros(features.shape[1], features.shape[1])
        total += features.sum(0)
        outer.addmm_(features.T, features)
        count += len(features)
    if total is None:
        raise ValueError("there is no picture to take features of")
    if not outer.isfinite().all():
        raise ValueError("the real features are not finite: look for NaN in the pictures or in the feature network")
    return FeatureStatistics.from_sums(total.cpu(), outer.cpu(), count)


def real_statistics(
    pictures: Iterable[Tensor],
    network: FeatureNetwork,
    *,
    data_key: str | None = None,
    network_key: str | None = None,
    cache_dir: str | Path | None = None,
    allow_few: bool = False,
    device: torch.device | str | None = None,
) -> FeatureStatistics:
    """Statistics of real pictures' features, from the cache on disk where the same were computed before.

    The file's name is a hash of the pixels, of the network and of the pictures' size: other data or weights never
    meet an old file. Ranks that ask at once each compute and write the same file whole; let one go first.

    Args:
        pictures: batches (N, C, H, W) float32 in [-1, 1]; walked through twice where `data_key` is None.
        network: see `statistics_of`.
        data_key: see `content_hash`; None to hash the pixels here.
        network_key: a text that changes with the features; None to hash the module's weights.
        cache_dir: see `features_folder`.
        allow_few: also accept fewer pictures than features.
        device: where to move each batch; None to leave it.

    Returns:
        Statistics on the CPU.

    Raises:
        ValueError: fewer pictures than features, pictures that can be walked through only once, no key of the
            network, or what `statistics_of` raises.
    """
    if data_key is None:
        if isinstance(pictures, Iterator):
            raise ValueError(
                "pictures that can be walked through only once cannot be hashed first: give a list or a data loader, "
                "or a data_key"
            )
        data_key = pixels_hash(pictures)
    key = f"{VERSION} {data_key} {network_hash(network) if network_key is None else network_key}"
    path = features_folder(cache_dir) / f"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.statistics.npz"
    try:
        found = FeatureStatistics.load(path)
    except (FileNotFoundError, ValueError):
        if path.exists() and rank_and_world()[0] == 0:
            warnings.warn(made_anew(path), stacklevel=2)
        found = statistics_of(pictures, network, device=device)
        found.save(path)
    check_enough(found.count, found.mean.numel(), which="real", allow_few=allow_few)
    return found
