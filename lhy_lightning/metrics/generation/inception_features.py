"""Features and class probabilities by the published Inception, from weights that the user fetches."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from lhy_lightning.core.plain_files import load_plain
from lhy_lightning.metrics.generation.inception_network import NUM_CLASSES, NUM_FEATURES, InceptionV3, tensorflow_input

PUBLISHED_SHA256 = "6726825d"  # first digits of the file's; they are in its name too
WHERE = (
    "they are released on GitHub by mseitzer/pytorch-fid (tag fid_weights) as pt_inception-2015-12-05-6726825d.pth, "
    "91 MB: give InceptionFeatures.from_file that file's path or URL"
)


class InceptionFeatures(nn.Module):
    """Pictures (N, 1 or 3, H, W) in [-1, 1], of any size, to Inception's features (N, 2048).

    Always in evaluation mode and without gradients. Make it with `from_file`.

    Args:
        network: with its weights.
        published: they are the published ones, so that a Fréchet distance in these features may be called FID.
    """

    name = "inception"
    num_features = NUM_FEATURES
    num_classes = NUM_CLASSES

    def __init__(self, network: InceptionV3, *, published: bool = False) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.published = published
        self.eval()

    @classmethod
    def from_file(
        cls, weights: str | Path | None, *, sha256: str = PUBLISHED_SHA256, cache_dir: str | Path | None = None
    ) -> InceptionFeatures:
        """Reads weights from a file, or fetches them once from a URL, and checks that they are the right ones.

        Args:
            weights: path, or URL (http, https, file).
            sha256: first digits (8 or more) that the file's SHA-256 must have. The published file's by default: with
                others the network is not called `published`.
            cache_dir: where a fetched file is kept; None for `lhy_lightning/weights` in the user's cache folder.

        Raises:
            ValueError: no weights given, another checksum, or a file without these weights.
            FileNotFoundError: no such file.
            OSError: the URL could not be fetched.
        """
        if weights is None:
            raise ValueError(f"Inception has no weights, and none come with the package: {WHERE}")
        if len(sha256) < 8:
            raise ValueError(f"sha256 takes 8 digits or more to tell files apart, not {sha256!r}")
        path = _fetched(str(weights), sha256, cache_dir) if "://" in str(weights) else Path(weights).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"there are no Inception weights at {path}: {WHERE}")
        _check(path, sha256)
        network = InceptionV3()
        try:
            network.load_state_dict(load_plain(path, "weights"))
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not hold the weights of this Inception ({error}); {WHERE}") from error
        return cls(network, published=sha256.lower().startswith(PUBLISHED_SHA256))

    def train(self, mode: bool = True) -> InceptionFeatures:
        """Stays in evaluation mode: its batch statistics are part of the weights."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 1 or 3, H, W) to features (N, 2048) float32."""
        with torch.autocast(pictures.device.type, enabled=False):
            return self.network.pooled(tensorflow_input(pictures))

    @torch.no_grad()
    def features_and_probabilities(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, 2048) and class probabilities (N, 1008) in one pass.

        The probabilities leave the last layer's bias out, as the published Inception Score does.
        """
        features = self(pictures)
        with torch.autocast(pictures.device.type, enabled=False):
            return features, (features @ self.network.fc.weight.T).softmax(1)

    @torch.no_grad()
    def logits(self, pictures: Tensor) -> Tensor:
        """(N, 1 or 3, H, W) to logits (N, 1008), bias included."""
        with torch.autocast(pictures.device.type, enabled=False):
            return torch.as_tensor(self.network(tensorflow_input(pictures)))


def _check(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256.lower()):
        raise ValueError(
            f"{path} has SHA-256 {found[: max(8, len(sha256))]}…, expected {sha256}…: it is damaged or another file; "
            f"delete it. The published weights: {WHERE}"
        )


def _fetched(url: str, sha256: str, cache_dir: str | Path | None) -> Path:
    """The file of a URL, fetched where it is not there yet."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")) / "lhy_lightning" / "weights"
    folder = root if cache_dir is None else Path(cache_dir).expanduser()
    path = folder / url.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    try:  # to a file beside it, renamed once its checksum is right
        torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256.lower(), progress=False)
    except (URLError, OSError) as error:
        raise OSError(f"Inception's weights could not be fetched from {url} ({error}); {WHERE}") from error
    except RuntimeError as error:  # another checksum
        raise ValueError(f"{url} is not the expected file ({error}); {WHERE}") from error
    return path
