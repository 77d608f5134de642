"""`UnpairedImageDataModule`: pictures of two domains, none of which has a partner, as CycleGAN wants them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.augmentation.transforms import centre_crop, scale_to_contract
from lhy_lightning.data.base import ResumableLoader
from lhy_lightning.data.image_pairs.base import TwoSidedArguments, TwoSidedImages
from lhy_lightning.data.image_pairs.pair_datasets import SIDES, EvalUnpairedPictures, UnpairedBatches, UnpairedPictures
from lhy_lightning.data.image_pairs.two_sides import Side, find_sides
from lhy_lightning.data.images.arguments import kept_and_cut
from lhy_lightning.data.images.base import LabelledArguments, LabelledImages
from lhy_lightning.data.images.image_report import describe_splits, tell_of_sources
from lhy_lightning.data.images.image_sets import ImageSplitSources, common_range
from lhy_lightning.data.images.image_splits import Split
from lhy_lightning.data.images.stages import roles_of_stage, splits_of_stage
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.sources.folders import Role
from lhy_lightning.data.splits import duplicates_between

EMBEDDED_SIDES = {"embedded:coloured_digits": (Side("embedded:grey_digits"), Side("embedded:coloured_digits"))}
UNEVEN = 10  # times larger: the smaller domain is seen so often that it is learnt by heart

SplitName = Literal["train", "val", "test", "predict"]


class UnpairedArguments(TwoSidedArguments, LabelledArguments, total=False):
    """What `UnpairedImageDataModule` hands on to its bases."""


class UnpairedImageDataModule(TwoSidedImages, LabelledImages):
    """Pictures of a domain A and a domain B (Zhu et al. 2017, https://arxiv.org/abs/1703.10593).

    Args:
        source: both domains in one place: `embedded:coloured_digits` (digits, and other digits in colours), a folder
            with `trainA`, `trainB`, `testA`, `testB` (CycleGAN's data sets), with `A` and `B`, or with any two
            sub-folders, of which the first in natural order is A.
        source_a: domain A, anything that `ImageDataModule` takes; with `source_b` in place of `source`. In prediction
            one of both will do.
        source_b: domain B.
        arguments: as `ImageDataModuleBase`, `TwoSidedImages` and `LabelledImages`. Nothing trains on labels, evaluation
            batches carry them; both domains have 3 channels where not given and either is in colour; flips are drawn
            for each picture of each domain.

    Attributes:
        image_size, channels: (height, width) and 1 or 3, after `setup`.
        domain_names: what both domains are called, after their folders.
        has_test: whether both domains have a test split.

    Example:
        >>> from lhy_lightning import UnpairedImageDataModule
        >>> data = UnpairedImageDataModule("embedded:coloured_digits", batch_size=4)
        >>> data.setup("fit")
        domain A, embedded:grey_digits: 719 train, 90 val ...
        >>> sorted(next(iter(data.train_dataloader())))
        ['a', 'b']
    """

    _splits: dict[str, dict[str, Split]]  # by split, then by side

    split_settings: tuple[str, ...] = (
        "source", "source_a", "source_b", "image_column", "label_column", "val_fraction", "test_fraction", "split_seed",
    )  # fmt: skip

    def __init__(
        self,
        source: str = "embedded:coloured_digits",
        *,
        source_a: str | None = None,
        source_b: str | None = None,
        **arguments: Unpack[UnpairedArguments],
    ) -> None:
        super().__init__(**arguments)
        self._sets: dict[str, ImageSplitSources] = {}

    # --- setup -----------------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Makes the splits; without a trainer, call it yourself (`prepare_data` need not be called)."""
        stage, given = stage or "fit", self._args
        if stage in self._stages:
            return
        for side, (roles, pool) in self._read(stage).items():
            found = splits_of_stage(self._sets[side], roles, pool, stage, self._division(), self._warn_once)
            for name, split in found.items():
                self._splits.setdefault(name, {})[side] = split
        self._stages.add(stage)
        self.has_test = all("test" in sets.roles or given.test_fraction > 0 for sets in self._sets.values())
        given.image_size, given.channels = self.image_size, self.channels
        given.value_range = common_range(given.value_range, list(self._sets.values()))
        if stage == "fit":
            tell_of_sources(self._sets.values(), self._tell, self._warn_once)
            for side, sets in self._sets.items():
                splits = {name: parts[side] for name, parts in self._splits.items()}
                self._tell(f"domain {side.upper()}, {describe_splits(sets.source, splits, sets.roles)}")
            self._compare_domains()

    def _sides(self, stage: str) -> dict[str, Side]:
        given = self._args
        apart = {side: place for side in SIDES if (place := given[f"source_{side}"]) is not None}
        if apart:
            if len(apart) == 1 and stage != "predict":
                [(there, place)] = apart.items()
                missing = "b" if there == "a" else "a"
                raise ValueError(
                    f"source_{there}={place!r} without source_{missing}: give both, or one place as source."
                )
            return {side: Side(place) for side, place in apart.items()}
        found = EMBEDDED_SIDES.get(given.source)
        if found is None:
            if given.source.startswith("embedded:"):
                raise FileNotFoundError(
                    f"no two domains are called {given.source}; there is {', '.join(EMBEDDED_SIDES)}."
                )
            found = find_sides(given.source, any_two=True)
        if found is None:
            raise ValueError(
                f"{given.source} does not look like two domains: it should have trainA and trainB, A and B, or just "
                "two sub-folders. Otherwise give --data.source_a and --data.source_b."
            )
        return dict(zip(SIDES, found, strict=True))

    def _read(self, stage: str) -> dict[str, tuple[tuple[Role, ...], Pool]]:
        """What of each domain this stage reads, at one size and number of channels for both."""
        given = self._args
        sides = self._sides(stage)
        self.domain_names = tuple(side.name for side in sides.values())
        for side, place in sides.items():
            if side not in self._sets:
                self._sets[side] = ImageSplitSources(
                    place.source,
                    val_source=place.val_source,
                    test_source=place.test_source,
                    image_column=given.image_column,
                    label_column=given.label_column,
                    value_range=given.value_range,
                    cache_dir=given.cache_dir,
                )
        roles = {side: roles_of_stage(sets, stage, given.test_fraction) for side, sets in self._sets.items()}
        kept, cut = kept_and_cut(given.load_size, given.image_size)
        shapes = {side: sets.shape(roles[side], kept, given.channels) for side, sets in self._sets.items()}
        sizes = {size for size, _ in shapes.values()}
        if len(sizes) > 1:
            told = ", ".join(f"{self._sets[side].source} has {h}×{w}" for side, ((h, w), _) in shapes.items())
            raise ValueError(f"both domains need one size: {told}. Set --data.image_size.")
        [size], self.channels = sizes, max(channels for _, channels in shapes.values())
        self.image_size = cut or size
        self._augmentation = self._random_changes(self.image_size)
        return {
            side: (roles[side], sets.read(roles[side], size, self.channels, given.resize, given.cache_limit_gb))
            for side, sets in self._sets.items()
        }

    def _compare_domains(self) -> None:
        """Warns about domains of very different size, and of common pictures."""
        first, second = (self._splits["train"][side] for side in SIDES)
        small, large = sorted((len(first), len(second)))
        if large > UNEVEN * small:
            self._warn_once(
                f"domain A has {len(first):,} training pictures, B has {len(second):,}: an epoch shows those of the "
                f"smaller domain {large / small:.0f} times, and its discriminator may learn them by heart."
            )
        common = int(duplicates_between(first.content, second.content).sum())
        if common:
            self._warn_once(f"{common:,} training pictures of domain B are in domain A too, pixel by pixel.")

    def _split(self, name: str) -> dict[str, Split]:
        self._make(name)
        return self._splits[name]

    def paths(self, split: SplitName, side: Literal["a", "b"]) -> list[str]:
        """Path of every picture of one domain's split, or `source#row`, in the order of `index_a` or `index_b`."""
        rows = self._split(split)[side]
        return rows.names(np.arange(len(rows)))

    # --- loaders ---------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> ResumableLoader[dict[str, Tensor]]:
        given, splits = self._args, self._split("train")
        rows = (len(splits["a"]), len(splits["b"]))
        sampler = UnpairedBatches(rows, given.batch_size, steps=given.steps_per_epoch)
        return self.train_loader(UnpairedPictures(splits), sampler, num_workers=given.num_workers)

    def _evaluation_loader(self, name: str) -> DataLoader[dict[str, Tensor]]:
        return self._once(EvalUnpairedPictures(self._split(name)))

    # --- batches ---------------------------------------------------------------------------------------------------

    def prepare_batch(self, batch: dict[str, Tensor], *, training: bool) -> dict[str, Tensor]:
        out = dict(batch)
        for side in (side for side in SIDES if side in batch):  # in this order, or draws would differ between runs
            pictures = batch[side]
            cut = self._augmentation(pictures) if training else centre_crop(pictures, self.image_size)
            out[side] = scale_to_contract(cut)
        return out
