"""Reading pictures as training batches: ours against opening each file alone, both sides in one run.

    python -m benchmarks.cnn.read_images            # a few minutes
    python -m benchmarks.cnn.read_images --quick    # seconds, numbers mean little

Ten epochs over picture files at the size of the batch, the one-time decoding counted. The plain side is what
tutorials do: a Dataset that opens, resizes and converts one file, a DataLoader with the same batch size and workers.
The second table gives what each augmentation costs a picture.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lhy_lightning import ImageDataModule
from lhy_lightning.data.augmentation.augmentation import Augmentation
from lhy_lightning.data.samplers import TrainBatches

EPOCHS, BATCH = 10, 128

AUGMENTATIONS: dict[str, dict[str, float | str]] = {
    "none (float, [-1, 1])": {},
    "horizontal flip": {"horizontal_flip": 0.5},
    "vertical flip": {"vertical_flip": 0.5},
    "crop, 4 pixels of padding": {"crop": 4},
    "the same, reflected": {"crop": 4, "fill": "reflect"},
    "random resized crop": {"crop_scale": 0.5},
    "rotation": {"rotation": 15.0},
    "rotation, translation, scale, shear": {"rotation": 15.0, "translation": 0.1, "scale": 0.1, "shear": 5.0},
    "brightness": {"brightness": 0.3},
    "brightness, contrast, saturation, hue": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05},
    "erasing": {"erasing": 0.5},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
    "strong view (RandAugment, Cutout)": {"strong": 1.0},
}


class OneFileAtATime(Dataset):
    def __init__(self, folder: Path, size: int, channels: int, augment: bool) -> None:
        self.files = sorted(folder.glob("*/*"))
        classes = sorted({file.parent.name for file in self.files})
        self.labels = [classes.index(file.parent.name) for file in self.files]
        self.size, self.mode, self.augment = size, {1: "L", 3: "RGB"}[channels], augment

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        with Image.open(self.files[row]) as image:
            pixels = np.array(image.convert(self.mode).resize((self.size, self.size)))
        x = torch.from_numpy(pixels).reshape(self.size, self.size, -1).permute(2, 0, 1).float() / 255
        if self.augment:
            x = torch.nn.functional.pad(x, (4, 4, 4, 4))
            top, left = torch.randint(0, 9, (2,)).tolist()
            x = x[:, top : top + self.size, left : left + self.size]
            if torch.rand(()) < 0.5:
                x = x.flip(2)
        return (x - 0.5) / 0.5, self.labels[row]


def write_files(folder: Path, size: int, number: int) -> None:
    """28: the digits, enlarged, grey PNG. 64: pieces of two photos, colour JPEG."""
    rng, digits, photos = np.random.default_rng(0), load_digits(), load_sample_images().images
    for i in range(number):
        place = folder / str(i % 10)
        place.mkdir(parents=True, exist_ok=True)
        if size == 28:
            pixels = (digits.images[i % len(digits.images)] * 15.9).astype(np.uint8)
            Image.fromarray(pixels).resize((28, 28), Image.Resampling.BICUBIC).save(place / f"{i}.png")
        else:
            photo = photos[i % 2]
            top, left = rng.integers(0, photo.shape[0] - 128), rng.integers(0, photo.shape[1] - 128)
            piece = Image.fromarray(photo[top : top + 128, left : left + 128])
            piece.resize((64, 64)).save(place / f"{i}.jpg", quality=90)


def consume(batches: Iterable[object]) -> None:
    for _ in batches:
        pass


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def ours(folder: Path, size: int, channels: int, augment: bool, workers: int) -> tuple[float, float]:
    """Seconds of everything from the folder to the end of the last epoch, and of the epochs alone."""
    options = {"crop": 4, "horizontal_flip": 0.5} if augment else {}
    with tempfile.TemporaryDirectory() as cache:
        data = ImageDataModule(
            str(folder),
            image_size=size,
            channels=1 if channels == 1 else 3,
            batch_size=BATCH,
            val_fraction=0.01,
            test_fraction=0.0,
            cache_dir=cache,
            num_workers=workers,
            **options,  # type: ignore[arg-type]
        )
        setup = seconds(lambda: data.setup("fit"))
        loader = data.train_dataloader()
        sampler = loader.sampler
        assert isinstance(sampler, TrainBatches)

        def epoch(number: int) -> None:
            sampler.set_epoch(number)
            consume(data.prepare_batch(batch, training=True) for batch in loader)

        epochs = sum(seconds(partial(epoch, number)) for number in range(EPOCHS))
    return setup + epochs, epochs


def plain(folder: Path, size: int, channels: int, augment: bool, workers: int) -> float:
    loader = DataLoader(
        OneFileAtATime(folder, size, channels, augment),
        batch_size=BATCH,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
    )
    return sum(seconds(partial(consume, loader)) for _ in range(EPOCHS))


def reading(size: int, number: int, repeats: int, workers: int) -> float:
    """Prints two rows; returns what the one-time decoding costs a picture and epoch, with indexing, in µs."""
    channels = 1 if size == 28 else 3
    cost = 0.0
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), size, number)
        seen = number * EPOCHS
        for augment in (False, True):
            setting = (Path(folder), size, channels, augment, workers)
            pairs = [(plain(*setting), *ours(*setting)) for _ in range(repeats)]
            alone, all_of_it, epochs = (statistics.median(column) / seen * 1e6 for column in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b, _ in pairs)
            what = "decoded, [-1, 1]" + (", crop, flip" if augment else "")
            goal = 3 if augment else 8
            print(
                f"| {size}×{size} {'PNG' if size == 28 else 'JPEG'} | {what} | {alone:.0f} | {all_of_it:.1f} | "
                f"{epochs:.1f} | **{ratio:.1f}** | {goal} |"
            )
            cost = cost or all_of_it
    return cost


def augmentation_cost(size: int, repeats: int) -> dict[str, float]:
    """Microseconds a picture of every augmentation, conversion to float taken off, batch 128."""
    pictures = torch.randint(0, 256, (BATCH, size, size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    labels, found = torch.arange(BATCH), {}
    for name, options in AUGMENTATIONS.items():
        augment = Augmentation((size, size), **options)  # type: ignore[arg-type]

        def once(augment: Augmentation = augment) -> None:
            x = augment(pictures)
            augment.mix(x, labels)

        once()
        found[name] = statistics.median(seconds(once) for _ in range(repeats)) / BATCH * 1e6
    nothing = next(iter(found.values()))
    return {name: cost if cost is nothing else max(0.0, cost - nothing) for name, cost in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few pictures, once: a smoke test")
    parser.add_argument("--workers", type=int, default=0, help="worker processes of both sides")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads; more need idle cores to gain")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore")
    number, repeats = (300, 1) if arguments.quick else (5000, 3)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {BATCH}, {EPOCHS} epochs over "
        f"{number:,} files, {arguments.workers} workers, median of {repeats}; µs a picture and epoch.\n"
    )
    print("| files | batch | one file at a time | ours | ours after the first reading | ratio | goal |")
    print("|---|---|---|---|---|---|---|")
    reads = {size: reading(size, number, repeats, arguments.workers) for size in (28, 64)}
    print("\nEach augmentation, µs a picture of three channels beyond conversion to float:\n")
    print("| augmentation | 32×32 | 64×64 |\n|---|---|---|")
    costs = {size: augmentation_cost(size, 5 if arguments.quick else 50) for size in (32, 64)}
    for name in AUGMENTATIONS:
        print(f"| {name} | {costs[32][name]:.1f} | {costs[64][name]:.1f} |")
    dear = [name for name, cost in costs[64].items() if cost > reads[64]]
    print(
        f"\nDearer than reading a 64×64 picture ({reads[64]:.1f} µs), so off in CPU recipes: "
        f"{'; '.join(dear) or 'none'}."
    )


if __name__ == "__main__":
    main()
