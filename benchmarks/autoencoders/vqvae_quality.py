"""Reconstruction and use of codes of one VQ-VAE around two quantizers: ours and that of `vector-quantize-pytorch`.

    pip install vector-quantize-pytorch==1.32.0
    python -m benchmarks.autoencoders.vqvae_quality fashion_mnist/ --folder quality/
    python -m benchmarks.autoencoders.vqvae_quality anime_faces/ --image_size 64 --downsamplings 3 --folder quality/

Both sides have the same network with the same first weights, batches, Adam and number of steps, a codebook that starts
by k-means on the first batch and follows by averages of decay .99, dead codes restarted below an average of 2 vectors,
and the straight-through gradient. Figures are of the test split, or of held-out pictures where the data has none: mean
squared error in [-1, 1], and perplexity of the codes of all of them. Means ± standard deviation over `--seeds`.

Every result is a file in `--folder`: what is there is not computed again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lhy_lightning import ImageDataModule
from lhy_lightning.autoencoders.networks import ConvDecoder, ConvEncoder
from lhy_lightning.autoencoders.quantizers.codebook_usage import code_perplexity
from lhy_lightning.autoencoders.quantizers.vector_quantizer import Quantized, VectorQuantizer
from lhy_lightning.autoencoders.vqvae import VQVAENetwork
from lhy_lightning.core.atomic_files import atomic_write

SIDES = ("ours", "vector-quantize-pytorch")
BETA, DECAY, RESTART_BELOW = 0.25, 0.99, 2.0


class Theirs(nn.Module):
    """The other package's quantizer, called as ours is."""

    def __init__(self, codebook_size: int, dim: int) -> None:
        super().__init__()
        from vector_quantize_pytorch import VectorQuantize  # type: ignore[import-not-found]

        self.quantizer = VectorQuantize(
            dim=dim, codebook_size=codebook_size, decay=DECAY, commitment_weight=BETA, rotation_trick=False,
            kmeans_init=True, threshold_ema_dead_code=RESTART_BELOW,
        )  # fmt: skip

    def forward(self, vectors: Tensor) -> Quantized:
        quantized, codes, loss = self.quantizer(vectors.flatten(1, 2))
        return Quantized(quantized.view_as(vectors), codes.view(vectors.shape[:-1]), loss.sum())


def network_of(side: str, channels: int, seed: int, options: Any) -> VQVAENetwork:
    torch.manual_seed(seed)
    numbers = {"width": options.width, "inner": options.width // 2, "downsamplings": options.downsamplings}
    encoder = ConvEncoder(channels, options.dim, **numbers)
    decoder = ConvDecoder(channels, options.dim, **numbers)
    quantizer: nn.Module = Theirs(options.codes, options.dim)
    if side == "ours":
        quantizer = VectorQuantizer(
            options.codes, options.dim, beta=BETA, decay=DECAY, restart_below=RESTART_BELOW, codebook_init="kmeans"
        )
    return VQVAENetwork(encoder, quantizer, decoder)


def batches(pictures: Any, seed: int, options: Any) -> Iterator[Tensor]:
    """Epoch after epoch in an order of the seed's, for so many steps."""
    order, done = np.random.default_rng(seed), 0
    while True:
        rows = order.permutation(len(pictures))
        for first in range(0, len(rows) - options.batch_size + 1, options.batch_size):
            if done == options.steps:
                return
            done += 1
            yield pictures.take(rows[first : first + options.batch_size])


def train(side: str, data: ImageDataModule, seed: int, options: Any) -> dict[str, float]:
    network = network_of(side, data.channels, seed, options)
    adam = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=options.lr)
    began = time.process_time()
    network.train()
    for images in batches(data.pictures("train"), seed, options):
        result, (found,) = network(images)
        loss = F.mse_loss(result, images) + found.loss
        adam.zero_grad()
        loss.backward()
        adam.step()
    seconds = time.process_time() - began
    network.eval()
    error, counts, elements = 0.0, torch.zeros(options.codes), 0
    with torch.no_grad():
        for images in data.pictures("test"):
            result, (found,) = network(images)
            error += float((result - images).square().sum())
            elements += images.numel()
            counts += torch.bincount(found.codes.flatten(), minlength=options.codes)
    return {"mse": error / elements, "perplexity": float(code_perplexity(counts)), "seconds": seconds}


def main(arguments: Sequence[str] | None = None) -> dict[str, list[dict[str, float]]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--folder", type=Path, required=True, help="where results are kept")
    parser.add_argument("--image_size", type=int, default=28)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    numbers: dict[str, int] = {
        "steps": 3000, "batch_size": 32, "width": 32, "dim": 32, "codes": 512, "downsamplings": 2
    }  # fmt: skip
    for name, value in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--lr", type=float, default=1e-3)
    options = parser.parse_args(arguments)
    data = ImageDataModule(source=options.source, image_size=options.image_size)
    data.setup("fit")
    data.setup("test")
    results: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for seed in options.seeds:
        for side in SIDES:
            kept = {name: getattr(options, name) for name in (*numbers, "lr", "image_size")}
            title = "-".join(str(value) for value in (Path(options.source).name, side, seed, *kept.values()))
            path = options.folder / f"{title}.json"
            if not path.is_file():
                atomic_write(path, json.dumps(train(side, data, seed, options)))
            results[side].append(json.loads(path.read_text()))
            print(f"seed {seed}, {side}: {results[side][-1]}", flush=True)
    print("\n| quantizer | squared error | perplexity | seconds of one core |\n|---|---:|---:|---:|")
    for side, runs in results.items():
        cells = []
        for figure, digits in (("mse", 5), ("perplexity", 1), ("seconds", 0)):
            values = [run[figure] for run in runs]
            spread = statistics.stdev(values) if len(values) > 1 else float("nan")
            cells.append(f"{statistics.mean(values):.{digits}f} ± {spread:.{digits}f}")
        print(f"| {side} | {' | '.join(cells)} |")
    return results


if __name__ == "__main__":
    main()
