"""`ImageDataModule`: pictures from any source, labelled or not, as batches in [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lhy_lightning.core.argument_ranges import COUNT, NOT_NEGATIVE, Range, ranges
from lhy_lightning.core.signatures import Unpack
from lhy_lightning.data.augmentation.transforms import centre_crop, scale_to_contract
from lhy_lightning.data.base import ResumableLoader
from lhy_lightning.data.controls import Control, most_frequent_class
from lhy_lightning.data.images.arguments import check_crop, kept_and_cut
from lhy_lightning.data.images.base import DividedArguments, DividedImages
from lhy_lightning.data.images.image_datasets import EvalPictures, TrainPictures
from lhy_lightning.data.images.image_report import (
    describe_splits,
    enlargement,
    tell_of_classes,
    tell_of_sources,
    tell_of_unlabelled,
)
from lhy_lightning.data.images.image_sets import ImageSets
from lhy_lightning.data.images.image_splits import Split
from lhy_lightning.data.images.missing_labels import missing_labels
from lhy_lightning.data.images.stages import roles_of_stage, splits_of_stage
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.images.unlabelled import UnlabelledArguments, UnlabelledImages
from lhy_lightning.data.samplers import TrainBatches
from lhy_lightning.data.sources.folders import Role


class SharedArguments(DividedArguments, UnlabelledArguments, total=False):
    """What `ImageDataModule` hands on to its bases."""


class ImageArguments(SharedArguments, total=False):
    """Arguments of `ImageDataModule` behind its source, for the `**arguments` of those built on it."""

    val_source: str | None
    test_source: str | None
    folds: int | None
    fold: int | None
    class_balanced: bool
    class_names: list[str] | None
    num_classes: int | None


class ImageDataModule(DividedImages, UnlabelledImages):
    """Pictures from folders, tables, arrays, the hub or an embedded set.

    Args:
        source: `embedded:digits`, a folder (class folders, a flat folder, the course's food-11 tree), a parquet, csv,
            json, jsonl or npy file, or a hub id. Its own train, validation and test splits are used.
        val_source: validation pictures from elsewhere.
        test_source: test pictures from elsewhere.
        folds: number of folds for cross-validation over training and validation rows; the test split is in none.
        fold: which one validates, from 0.
        class_balanced: draw training rows such that every class comes equally often.
        class_names: names of the classes in the order of their numbers; from the source if not given.
        num_classes: number of classes, where the labels alone would not tell.
        arguments: what bases take: reading, splits and loaders (`PictureDataModule`, `LabelledImages`,
            `DividedImages`), random changes (`MovedImages`, `AugmentedImages`), unlabelled rows (`UnlabelledImages`).

    Attributes:
        num_classes, class_names: after `setup`; 0 and none without labels.
        image_size, channels: (height, width) and 1 or 3, after `setup`.
        class_counts: labelled training rows of each class.
        has_test: whether there is a test split.
        test_labelled: whether its labels are known.
        bad_rows: rows of each split that cannot be read; a grey picture stands in (test and prediction only).
        unlabelled_truth: (rows,) int64 labels of the unlabelled rows where known, else -1: for reports only.
    """

    split_settings: tuple[str, ...] = (
        "source", "val_source", "test_source", "unlabelled_source", "image_column", "label_column", "val_fraction",
        "test_fraction", "split_seed", "folds", "fold", "labelled_per_class", "class_names", "num_classes",
    )  # fmt: skip
    order_settings: tuple[str, ...] = (
        "batch_size",
        "class_balanced",
        "steps_per_epoch",
        "unlabelled_per_batch",
        "unlabelled",
    )

    argument_ranges = ranges(
        folds=Range(at_least=2, said="cross-validation needs at least 2"), fold=NOT_NEGATIVE, num_classes=COUNT
    )

    def __init__(
        self,
        source: str = "embedded:digits",
        *,
        val_source: str | None = None,
        test_source: str | None = None,
        folds: int | None = None,
        fold: int | None = None,
        class_balanced: bool = False,
        class_names: list[str] | None = None,
        num_classes: int | None = None,
        **arguments: Unpack[SharedArguments],
    ) -> None:
        if fold is not None and folds is None:
            raise ValueError(f"fold={fold} needs folds, the number of them.")
        if fold is not None and folds is not None and fold >= folds:
            raise ValueError(f"fold={fold} is out of range: folds={folds} has 0 to {folds - 1}.")
        super().__init__(**arguments)
        self._sets: dict[tuple[str, ...], ImageSets] = {}

    # --- setup -----------------------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Decodes on one process a machine; the others open the file."""
        stage = self._stage()
        sets = self._open_sets(stage)
        self._read(sets, self._roles(sets, stage))

    def setup(self, stage: str | None = None) -> None:
        """Makes the splits; without a trainer, call it yourself (`prepare_data` need not be called)."""
        stage, given = stage or "fit", self._given
        if stage in self._stages:
            return
        sets = self._open_sets(stage)
        strict = stage != "predict" or given.class_names is None  # folders of pictures to classify may have any names
        self.class_names = sets.classes(given.class_names, given.num_classes) if strict else tuple(given.class_names)
        self.num_classes = len(self.class_names)
        roles = self._roles(sets, stage)
        pool = self._read(sets, roles)
        labels = sets.labels_of(roles, self.class_names, strict=strict)
        if given.labelled_per_class is not None and not (labels >= 0).any():
            raise ValueError(
                f"labelled_per_class={given.labelled_per_class} counts labelled pictures. "
                + missing_labels(str(given.source), given.label_column)
            )
        found = self.choose(splits_of_stage(sets, roles, pool, stage, self._division(), self._report, labels))
        self._splits.update(found)
        if "unlabelled" in found:
            self._begin_pseudo_labels(len(found["unlabelled"]))
        self._stages.add(stage)
        self.has_test = "test" in sets.roles or given.test_fraction > 0
        self.test_labelled = sets.labelled("test" if "test" in sets.roles else "train")
        given.image_size, given.channels, given.value_range = self.image_size, self.channels, sets.value_range
        if self.class_names:
            given.class_names, given.num_classes = list(self.class_names), self.num_classes
        if stage == "fit":
            self._tell_what_was_read(sets)

    def _tell_what_was_read(self, sets: ImageSets) -> None:
        tell_of_sources([sets], self._tell, self._report)
        handed = () if self._given.folds is not None else sets.roles
        self._tell(describe_splits(sets.source, self._splits, handed))
        self._tell_classes()
        tell_of_unlabelled(self._splits, self.class_names, self._report)
        if (sentence := enlargement(self._splits["train"], self.image_size)) is not None:
            self._report(f"{sentence}.")

    def _tell_classes(self) -> None:
        tell_of_classes(self.class_names, self._splits["train"].truth, self._tell, self._report)

    def choose(self, splits: dict[str, Split]) -> dict[str, Split]:
        """The splits that are used of those that a stage found. Override it to leave rows out or to label them anew."""
        return splits

    def _open_sets(self, stage: str) -> ImageSets:
        """Prediction looks at the source and at test pictures from elsewhere; the others may be gone by then."""
        names: tuple[str, ...] = ("test_source", "image_column", "label_column", "value_range", "cache_dir")
        names += () if stage == "predict" else ("val_source", "unlabelled_source")
        if names not in self._sets:
            self._sets[names] = ImageSets(self._given.source, **{name: self._given[name] for name in names})
        return self._sets[names]

    def _roles(self, sets: ImageSets, stage: str) -> tuple[Role, ...]:
        """Which of the splits that the source hands out this stage reads."""
        given = self._given
        return roles_of_stage(
            sets, stage, given.test_fraction, unlabelled=given.unlabelled_per_batch > 0, folds=given.folds is not None,
            hint=": set --data.test_source.",
        )  # fmt: skip

    def _read(self, sets: ImageSets, roles: tuple[Role, ...]) -> Pool:
        given = self._given
        kept, cut = kept_and_cut(given.load_size, given.image_size)
        size, channels = sets.shape(roles, kept, given.channels)
        self.image_size, self.channels = cut or size, channels
        check_crop(given.crop, self.image_size)
        self._prepare_changes(self.image_size)
        return sets.read(roles, size, channels, given.resize, given.cache_limit_gb)

    # --- what others ask -------------------------------------------------------------------------------------------

    def missing_labels(self) -> str | None:
        if self._split("train").labels is not None:
            return None
        return missing_labels(str(self._given.source), self._given.label_column)

    def control(self, split: str) -> Control | None:
        helps = "train longer (--trainer.max_epochs), try another --model.lr, or look whether the labels fit the images"
        names = self.class_names or tuple(map(str, range(self.num_classes)))
        return most_frequent_class(self._split("train").truth, self._split(split).truth, names, helps)

    @property
    def class_counts(self) -> tuple[int, ...]:
        return self._counts("train")

    # --- loaders ---------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> ResumableLoader:
        given, split, others = self._given, self._split("train"), self._split("unlabelled")
        labels, weights = split.labels, None
        if given.class_balanced:
            if labels is None:
                raise ValueError("class_balanced needs labelled training rows.")
            weights = (1 / torch.bincount(labels).double())[labels]
        dataset = TrainPictures(split.pool, split.rows, labels, others.rows)
        if given.unlabelled_per_batch:
            sampler: TrainBatches = self._batches_of_both(len(split), weights)
        else:
            sampler = TrainBatches(len(split), given.batch_size, weights=weights, steps=given.steps_per_epoch)
        return self.train_loader(dataset, sampler, num_workers=given.num_workers)

    def _rows_once(self, name: str) -> DataLoader:
        split = self._split(name)
        return self._once(EvalPictures(split.pool, split.rows, split.labels))

    # --- batches ---------------------------------------------------------------------------------------------------

    def prepare_batch(self, batch: dict[str, Tensor], *, training: bool) -> dict[str, Tensor]:
        if training:
            return self._change_at_random(batch)
        return {**batch, "image": scale_to_contract(centre_crop(batch["image"], self.image_size))}
