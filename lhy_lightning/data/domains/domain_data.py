"""`DomainDataModule`: labelled source pictures and unlabelled target pictures, for domain adaptation."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lhy_lightning.core.arguments.ranges import BELOW_ONE, COUNT, NOT_NEGATIVE, SHARE, Range, ranges
from lhy_lightning.core.arguments.signatures import Unpack, settings_of
from lhy_lightning.core.distributed import rank_and_world
from lhy_lightning.data.augmentation.transforms import Fill
from lhy_lightning.data.base import ResumableLoader
from lhy_lightning.data.domains.domain_arguments import check_domain_arguments
from lhy_lightning.data.domains.domain_changes import DomainChanges
from lhy_lightning.data.domains.domain_datasets import DomainBatches, DomainPictures, Epoch, EvalDomainPictures
from lhy_lightning.data.domains.domain_report import describe_domains, tell_of_common_rows
from lhy_lightning.data.domains.domain_sources import Domain, DomainSources, read_alike
from lhy_lightning.data.domains.domain_splits import (
    TargetDivision,
    common_classes,
    joined,
    labels_in,
    source_splits,
    target_splits,
)
from lhy_lightning.data.domains.domain_transforms import Change
from lhy_lightning.data.images.arguments import check_crop
from lhy_lightning.data.images.augmented import MovedArguments, MovedImages
from lhy_lightning.data.images.image_datasets import TrainPictures
from lhy_lightning.data.images.image_report import tell_of_classes, tell_of_sources
from lhy_lightning.data.images.image_sets import common_range
from lhy_lightning.data.images.image_splits import Split, report_duplicates
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.sources.folders import Role
from lhy_lightning.data.splits import UNLABELLED


class DomainDataModule(MovedImages):
    """Labelled source pictures and target pictures whose labels are never trained on (Ganin & Lempitsky 2015).

    https://arxiv.org/abs/1409.7495. A training batch has rows of both; validation has two loaders, the source's
    and the target's; the test is the target's.

    Args:
        source: labelled pictures, anything that `ImageDataModule` takes; a list stands for several source domains.
        target: the same without labels. None: the unlabelled test pictures that the source itself hands out, as in
            homework 11's folder; `transductive` is then needed.
        target_test: test pictures of the target from elsewhere.
        target_labelled: read the target's labels, for evaluation; without it, class folders and label columns are
            only told of.
        classes: keep only these classes of all labelled domains, in this order.
        target_rows_per_class: keep so many of the target's training rows a class, for a balanced protocol.
        transductive: all target rows are trained on (without labels), validated, tested and predicted.
        train_on: "domains", or "target" for a bound: a classifier of labelled target rows, whose batches are `image`,
            `label`.
        target_labels_per_class: keep so many labelled rows a class of those that "target" trains on.
        target_batch_size: target rows per step and process; as `batch_size` if not given, 0 takes none.
        epoch: one pass over the "source" (all domains together), the "target", or what is "longer". The other side
            goes on through its own permutations across epochs.
        target_val_fraction: `val_fraction` of the target's training rows.
        target_test_fraction: the same for its test split; 0 holds none out.
        source_transform: done once to every source picture, before all else: "grey", "inverted" (255 - grey), or
            "edges" (OpenCV's Canny of the grey picture at `image_size`).
        target_transform: the same for the target.
        canny: both thresholds of edges.
        target_horizontal_flip: of target pictures; this and the following as the source's if not given.
        target_vertical_flip: of target pictures.
        target_rotation: of target pictures.
        target_translation: of target pictures.
        target_scale: of target pictures.
        target_crop: of target pictures.
        target_fill: of target pictures.
        arguments: as `MovedImages` and its bases: flips, rotation … are the source's. `batch_size` is of source
            rows, equally many of each source domain; `val_fraction` is of a source's training rows; `channels` are
            those of all domains.

    Attributes:
        num_classes, class_names: after `setup`.
        image_size, channels: (height, width) and 1 or 3, after `setup`.
        domain_names: of the sources, then of the target.
        source_domains: number of source domains.
        has_test: whether the target has a test split.
        test_labelled: whether its labels are known.
        class_counts: labelled training rows of each class.
        bad_rows: rows of each split that cannot be read; a grey picture stands in (test and prediction only).

    Example:
        >>> from lhy_lightning import DomainDataModule
        >>> data = DomainDataModule("embedded:plain_digits", "embedded:photo_digits", batch_size=4)
        >>> data.setup("fit")
        source plain_digits: 539 train, 60 val (held out) ...
        >>> sorted(next(iter(data.train_dataloader())))
        ['source_image', 'source_label', 'target_image']
    """

    split_settings: tuple[str, ...] = (
        "source", "target", "target_test", "classes", "target_rows_per_class", "transductive", "train_on",
        "target_labels_per_class", "image_column", "label_column", "val_fraction", "target_val_fraction",
        "target_test_fraction", "split_seed",
    )  # fmt: skip
    order_settings: tuple[str, ...] = ("batch_size", "target_batch_size", "epoch", "steps_per_epoch")

    argument_ranges = ranges(
        target_rows_per_class=COUNT, target_labels_per_class=COUNT, target_batch_size=Range(at_least=0),
        target_val_fraction=Range(above=0, below=1), target_test_fraction=BELOW_ONE,
        canny=Range(at_least=0, said="two thresholds, not negative"), target_horizontal_flip=SHARE,
        target_vertical_flip=SHARE, target_rotation=Range(at_least=0, at_most=180), target_translation=SHARE,
        target_scale=Range(at_least=0, at_most=0.99), target_crop=NOT_NEGATIVE,
    )  # fmt: skip

    def __init__(
        self,
        source: str | list[str] = "embedded:plain_digits",
        target: str | None = "embedded:photo_digits",
        *,
        target_test: str | None = None,
        target_labelled: bool = False,
        classes: list[str] | None = None,
        target_rows_per_class: int | None = None,
        transductive: bool = False,
        train_on: Literal["domains", "target"] = "domains",
        target_labels_per_class: int | None = None,
        target_batch_size: int | None = None,
        epoch: Epoch = "source",
        target_val_fraction: float = 0.1,
        target_test_fraction: float = 0.1,
        source_transform: Change = "none",
        target_transform: Change = "none",
        canny: tuple[int, int] = (170, 300),
        target_horizontal_flip: float | None = None,
        target_vertical_flip: float | None = None,
        target_rotation: float | None = None,
        target_translation: float | None = None,
        target_scale: float | None = None,
        target_crop: int | None = None,
        target_fill: Fill | None = None,
        **arguments: Unpack[MovedArguments],
    ) -> None:
        super().__init__(**arguments)
        check_domain_arguments(dict(self.hparams))
        self._sources = DomainSources(self._args, self._warn_once)
        self.domain_names, self.source_domains = self._sources.names, len(self._sources.places)
        self._domain_of_row: dict[str, Tensor] = {}

    # --- setup -----------------------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Decodes on one process a machine; the others open the file."""
        sources, target = self._domains(self._stage())
        self._read([*sources, target])

    def setup(self, stage: str | None = None) -> None:
        """Makes the splits; without a trainer, call it yourself (`prepare_data` need not be called)."""
        stage, given = stage or "fit", self._args
        if stage in self._stages:
            return
        sources, target = self._domains(stage)
        labelled = [*sources, target] if given.target_labelled else sources
        chosen = {domain.name: domain.sets for domain in labelled}
        self.class_names = common_classes(chosen, given.classes, self._warn_once) if chosen else tuple(given.classes)
        self.num_classes = len(self.class_names)
        pools = self._read([*sources, target])
        if stage in ("fit", "validate"):
            self._divide_sources(sources, pools[:-1])
        self._divide_target(target, pools[-1], stage)
        self._stages.add(stage)
        self.has_test = given.transductive or "test" in target.sets.roles or given.target_test_fraction > 0
        tested: Role = "test" if "test" in target.sets.roles else "train"
        self.test_labelled = given.target_labelled and target.sets.labelled(tested)
        given.image_size, given.channels, given.classes = self.image_size, self.channels, list(self.class_names)
        given.value_range = common_range(given.value_range, [domain.sets for domain in [*sources, target]])
        if stage == "fit":
            self._tell_what_was_read(sources, target)

    def _tell_what_was_read(self, sources: list[Domain], target: Domain) -> None:
        given = self._args
        tell_of_sources([domain.sets for domain in [*sources, target]], self._tell, self._warn_once)
        told = describe_domains(self._splits, sources, target, self.domain_names, transductive=given.transductive)
        for sentence in told:
            self._tell(sentence)
        truth = self._splits[self._labelled_split].truth
        tell_of_classes(self.class_names, truth, self._tell, self._warn_once)
        if given.source_transform == given.target_transform == "none":
            tell_of_common_rows(self._splits, self._warn_once)

    def _domains(self, stage: str) -> tuple[list[Domain], Domain]:
        """What a stage reads; test and prediction leave the sources alone once the classes are known."""
        needed = stage in ("fit", "validate") or self._args.classes is None
        return self._sources.sources() if needed else [], self._sources.target(stage)

    def _read(self, domains: list[Domain]) -> list[Pool]:
        given = self._args
        pools = read_alike(domains, given.image_size, given.channels, given.resize, given.cache_limit_gb)
        self.image_size, self.channels = pools[0].stores[0].size, pools[0].stores[0].channels
        for crop in (given.crop, given.target_crop):
            check_crop(crop, self.image_size)
        self._changes = DomainChanges(given, self.image_size)
        return pools

    def _divide_sources(self, sources: list[Domain], pools: list[Pool]) -> None:
        given, found = self._args, []
        for domain, pool in zip(sources, pools, strict=True):
            labels = labels_in(domain.sets, domain.roles, self.class_names)
            splits = source_splits(
                domain.sets, domain.roles, pool, labels, given.val_fraction, given.split_seed, self._warn_once
            )
            report_duplicates(splits, self._warn_once)
            found.append(splits)
        whole = Pool([store for pool in pools for store in pool.stores])
        starts = np.cumsum([0, *(len(pool.bad) for pool in pools)])[:-1].tolist()
        for name in ("train", "val"):
            parts = [splits[name] for splits in found]
            self._splits[f"source_{name}"] = joined(parts, whole, starts)
            numbers = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor([len(part) for part in parts]))
            self._domain_of_row[f"source_{name}"] = numbers

    def _divide_target(self, target: Domain, pool: Pool, stage: str) -> None:
        given, labels = self._args, np.full(len(pool.bad), UNLABELLED)
        if given.target_labelled:
            labels = labels_in(target.sets, target.roles, self.class_names)
        how = settings_of(TargetDivision, given)
        found = target_splits(target.sets, target.roles, pool, labels, stage, how, self._warn_once)
        for name, split in found.items():
            self._splits[name if name in ("test", "predict") else f"target_{name}"] = split

    def _split(self, name: str) -> Split:
        self._make(name)
        if name not in self._splits:
            raise ValueError(
                f"{self.domain_names[-1]} has no test split and target_test_fraction is 0: set --data.target_test."
            )
        return self._splits[name]

    # --- what others ask -------------------------------------------------------------------------------------------

    def labels(self, split: str) -> Tensor | None:
        """(N,) int64, or None where unknown; those of the target's training rows only where they are trained on."""
        if split == "target_train" and self._args.train_on != "target":
            return None
        return self._split(split).labels

    @property
    def _labelled_split(self) -> str:
        return "target_train" if self._args.train_on == "target" else "source_train"

    @property
    def class_counts(self) -> tuple[int, ...]:
        return self._counts(self._labelled_split)

    # --- loaders ---------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> ResumableLoader[dict[str, Tensor]]:
        given, source, target = self._args, self._split("source_train"), self._split("target_train")
        if given.train_on == "target":
            labels = target.labels
            assert labels is not None
            dataset: Dataset[dict[str, Tensor]] = TrainPictures(target.pool, target.rows, labels, target.rows[:0])
            sampler = DomainBatches(
                [len(target)], 0, given.batch_size, target_batch_size=0, steps=given.steps_per_epoch,
                names=[f"target {self.domain_names[-1]}", ""],
            )  # fmt: skip
            return self.train_loader(dataset, sampler, num_workers=given.num_workers)
        assert source.labels is not None
        domain, others = self._domain_of_row["source_train"], given.target_batch_size
        others = given.batch_size if others is None else others
        dataset = DomainPictures(
            source.pool, source.rows, source.labels, domain if self.source_domains > 1 else None,
            target.pool if others else None, target.rows,
        )  # fmt: skip
        sampler = DomainBatches(
            torch.bincount(domain, minlength=self.source_domains).tolist(), len(target), given.batch_size,
            target_batch_size=others, epoch=given.epoch, steps=given.steps_per_epoch,
            names=[*(f"source {name}" for name in self.domain_names[:-1]), f"target {self.domain_names[-1]}"],
        )  # fmt: skip
        return self.train_loader(dataset, sampler, num_workers=given.num_workers)

    def _evaluation_loader(self, name: str) -> DataLoader[dict[str, Tensor]]:
        split, (_, world) = self._split(name), rank_and_world()
        if len(split) < world:
            of = ", ".join(self.domain_names[:-1] if name == "source_val" else self.domain_names[-1:])
            raise ValueError(
                f"{name} has {len(split)} rows of {of}, too few for {world} processes: use "
                f"--trainer.devices {len(split)}, or hold out more."
            )
        domain = self._domain_of_row.get(name) if self.source_domains > 1 else None
        return self._once(EvalDomainPictures(domain, split.pool, split.rows, split.labels))

    def val_dataloader(self) -> list[DataLoader[dict[str, Tensor]]]:
        """Of the source's validation rows, and of the target's."""
        return [self._evaluation_loader("source_val"), self._evaluation_loader("target_val")]

    # --- batches ---------------------------------------------------------------------------------------------------

    def prepare_batch(self, batch: dict[str, Tensor], *, training: bool) -> dict[str, Tensor]:
        """As in `ImageDataModuleBase`: to `DomainBatch` or `ImageBatch`, in training each side in its own way."""
        return self._changes(batch, training=training)
