"""`PairedImageDataModule`: pictures and what they are to become, as pix2pix wants them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lhy_lightning.core.arguments.ranges import GREY_OR_COLOUR, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.augmentation.edges import INPUT_TRANSFORMS
from lhy_lightning.data.augmentation.transforms import centre_crop, scale_to_contract
from lhy_lightning.data.base import ResumableLoader
from lhy_lightning.data.image_pairs.base import TwoSidedArguments, TwoSidedImages
from lhy_lightning.data.image_pairs.pair_datasets import PairPictures
from lhy_lightning.data.image_pairs.pair_readers import PairedPool, cut_in_halves, looks_single, matched
from lhy_lightning.data.image_pairs.two_sides import Side, find_sides
from lhy_lightning.data.images.arguments import kept_and_cut
from lhy_lightning.data.images.image_report import describe_splits, tell_of_sources
from lhy_lightning.data.images.image_sets import ImageSplitSources, common_range
from lhy_lightning.data.images.image_splits import Split
from lhy_lightning.data.images.stages import roles_of_stage, splits_of_stage
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.samplers import TrainBatches

DIGIT_EDGES = "embedded:digit_edges"
DIGIT_SIZE = 32  # what these 8×8 digits are enlarged to: their edges are no thinner than a pixel
AT_ONCE = 250

SplitName = Literal["train", "val", "test", "predict"]


class PairedImageDataModule(TwoSidedImages):
    """Pairs of an input and its target (Isola et al. 2017, https://arxiv.org/abs/1611.07004).

    Args:
        source: both in one place: `embedded:digit_edges` (edges of handwritten digits, and the digits); a folder with
            `A` and `B`, `input` and `target`, or `trainA` and `trainB`, whose files are called alike; pictures side by
            side in one file (pix2pix's data sets); or, with `input_transform`, anything that `ImageDataModule` takes.
        input_source: inputs, with `target_source` in place of `source`: files are paired by name, other rows by
            number. In prediction it will do alone.
        target_source: targets.
        direction: "AtoB": A, or the left half, is the input; "BtoA": the other one.
        input_transform: compute the input from the picture: its "edges", or a "grey" version.
        input_channels: 1 (grey) or 3 (colour); as in the source if not given.
        target_channels: the same of the targets.
        arguments: as `ImageDataModuleBase` and `TwoSidedImages`; flips are the same draw for both pictures of a pair.

    Attributes:
        image_size: (height, width), after `setup`.
        input_channels, target_channels: 1 or 3, after `setup`; the second is None in prediction from inputs alone.
        has_test: whether there is a test split.

    Example:
        >>> from lhy_lightning import PairedImageDataModule
        >>> data = PairedImageDataModule("embedded:digit_edges", batch_size=4)
        >>> data.setup("fit")
        embedded:digits: 1,439 train, 179 val (held out), ...
        >>> sorted(next(iter(data.train_dataloader())))
        ['target']
    """

    _splits: dict[str, Split]

    split_settings: tuple[str, ...] = (
        "source", "input_source", "target_source", "direction", "image_column", "val_fraction", "test_fraction",
        "split_seed",
    )  # fmt: skip
    argument_ranges = ranges(input_channels=GREY_OR_COLOUR, target_channels=GREY_OR_COLOUR)

    def __init__(
        self,
        source: str = DIGIT_EDGES,
        *,
        input_source: str | None = None,
        target_source: str | None = None,
        direction: Literal["AtoB", "BtoA"] = "AtoB",
        input_transform: Literal["edges", "grey"] | None = None,
        input_channels: Literal[1, 3] | None = None,
        target_channels: Literal[1, 3] | None = None,
        **arguments: Unpack[TwoSidedArguments],
    ) -> None:
        super().__init__(**arguments)
        if input_transform is not None and input_source is not None:
            raise ValueError("input_transform computes the inputs: give source, not input_source.")
        if target_source is not None and input_source is None:
            raise ValueError("target_source without input_source: give both, or one place as source.")
        self.transform = "edges" if source == DIGIT_EDGES and input_source is None else input_transform
        self._read_side, self._computed = ("target", "input") if direction == "AtoB" else ("input", "target")
        self._sets: dict[str, ImageSplitSources] = {}

    # --- setup -----------------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Makes the splits; without a trainer, call it yourself (`prepare_data` need not be called)."""
        stage, given = stage or "fit", self._args
        if stage in self._stages:
            return
        pools, known = self._read(stage), next(iter(self._sets.values()))
        pool = PairedPool(pools["input"], pools["target"]) if len(pools) == 2 else next(iter(pools.values()))
        roles = roles_of_stage(known, stage, given.test_fraction)
        found = splits_of_stage(known, roles, pool, stage, self._division(), self._warn_once)
        self._splits.update(found)
        self._stages.add(stage)
        self.has_test = "test" in known.roles or given.test_fraction > 0
        given.image_size = self.image_size
        given.value_range = common_range(given.value_range, list(self._sets.values()))
        if stage == "fit":
            tell_of_sources(self._sets.values(), self._tell, self._warn_once)
            self._tell(describe_splits(" and ".join(sets.source for sets in self._sets.values()), found, known.roles))
        given.input_channels, given.target_channels = self.input_channels, self.target_channels

    def _open(self) -> dict[str, ImageSplitSources]:
        """`input` and `target`; one of them where it is alone, or where the other is computed from it."""
        given = self._args

        def opened(side: Side) -> ImageSplitSources:
            return ImageSplitSources(
                side.source,
                val_source=side.val_source,
                test_source=side.test_source,
                image_column=given.image_column,
                value_range=given.value_range,
                cache_dir=given.cache_dir,
            )

        if self.transform is not None:
            place = "embedded:digits" if given.source == DIGIT_EDGES else given.source
            return {self._read_side: opened(Side(place))}
        if given.input_source is not None:
            inputs = opened(Side(given.input_source))
            if given.target_source is None:
                return {"input": inputs}
            return {"input": inputs, "target": matched(inputs, opened(Side(given.target_source)))}
        folder = Path(given.source).expanduser().is_dir()
        sides = find_sides(given.source, any_two=False) if folder else None
        if sides is not None:
            first, second = map(opened, sides)
            second = matched(first, second)
        else:
            first, second = cut_in_halves(opened(Side(given.source)))
            single = looks_single(first)
            if single is not None:
                self._warn_once(
                    f"{single} is taken for two pictures side by side, each tall and narrow. If it is one, set "
                    "--data.input_transform, or give --data.input_source and --data.target_source."
                )
        if given.direction == "BtoA":
            first, second = second, first
        return {"input": first, "target": second}

    def _read(self, stage: str) -> dict[str, Pool]:
        """The pictures that this stage reads, of inputs and targets, at one size."""
        given = self._args
        if given.input_source is not None and given.target_source is None and stage != "predict":
            raise ValueError(f"input_source={given.input_source!r} without target_source: what are they to become?")
        if not self._sets:
            self._sets = self._open()
        digits = given.image_size is None and given.input_source is None and given.source == DIGIT_EDGES
        image_size = DIGIT_SIZE if digits else given.image_size
        kept, cut = kept_and_cut(given.load_size, image_size)
        roles = {name: roles_of_stage(sets, stage, given.test_fraction) for name, sets in self._sets.items()}
        channels = {"input": given.input_channels, "target": given.target_channels}
        shapes = {name: sets.shape(roles[name], kept, channels[name]) for name, sets in self._sets.items()}
        sizes = {size for size, _ in shapes.values()}
        if len(sizes) > 1:
            told = ", ".join(f"{self._sets[name].source} has {h}×{w}" for name, ((h, w), _) in shapes.items())
            raise ValueError(f"input and target need one size: {told}. Set --data.image_size.")
        [size] = sizes
        self.image_size = cut or size
        found = {name: number for name, (_, number) in shapes.items()}
        if self.transform is not None:
            found[self._computed] = 1
        self.input_channels: int = found["input"]
        self.target_channels: int | None = found.get("target", given.target_channels)
        self._augmentation = self._random_changes(self.image_size)
        return {
            name: sets.read(roles[name], size, shapes[name][1], given.resize, given.cache_limit_gb)
            for name, sets in self._sets.items()
        }

    def _split(self, name: str) -> Split:
        self._make(name)
        return self._splits[name]

    def paths(self, split: SplitName) -> list[str]:
        """Path of every input of a split (of the picture that it is computed from), in the order of `index`."""
        rows = self._split(split)
        return rows.names(np.arange(len(rows)))

    def pictures(self, split: SplitName) -> Iterator[dict[str, Tensor]]:
        """A split's `PairedImageBatch`es without augmentation, in order, all of them on every rank."""
        if split == "train" and split not in self._splits:  # a test alone reads no training rows
            self.setup("fit")
        pairs = self._pictures(split, index=True)
        for first in range(0, len(pairs), AT_ONCE):
            rows = list(range(first, min(first + AT_ONCE, len(pairs))))
            yield self.prepare_batch(pairs[rows], training=False)

    # --- loaders ---------------------------------------------------------------------------------------------------

    def _pictures(self, name: str, *, index: bool) -> PairPictures:
        split = self._split(name)
        if isinstance(split.pool, PairedPool):
            return PairPictures({"input": split.pool, "target": split.pool.targets}, split.rows, index=index)
        return PairPictures({next(iter(self._sets)): split.pool}, split.rows, index=index)

    def train_dataloader(self) -> ResumableLoader[dict[str, Tensor]]:
        given, pictures = self._args, self._pictures("train", index=False)
        sampler = TrainBatches(len(pictures), given.batch_size, steps=given.steps_per_epoch)
        return self.train_loader(pictures, sampler, num_workers=given.num_workers)

    def _evaluation_loader(self, name: str) -> DataLoader[dict[str, Tensor]]:
        return self._once(self._pictures(name, index=True))

    # --- batches ---------------------------------------------------------------------------------------------------

    def prepare_batch(self, batch: dict[str, Tensor], *, training: bool) -> dict[str, Tensor]:
        names = [name for name in ("input", "target") if name in batch]
        both = torch.cat([batch[name] for name in names], dim=1)  # (N, C + D, H, W): one draw for both
        both = self._augmentation(both) if training else centre_crop(both, self.image_size)
        parts = scale_to_contract(both).split([batch[name].shape[1] for name in names], dim=1)
        out = {**batch, **dict(zip(names, (part.contiguous() for part in parts), strict=True))}
        if self.transform is not None:
            out[self._computed] = INPUT_TRANSFORMS[self.transform](out[self._read_side])
        return out
