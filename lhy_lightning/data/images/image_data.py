"""`ImageDataModule`: pictures from any source, labelled or not, as batches in [-1, 1]."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lhy_lightning.core.arguments.ranges import COUNT, NOT_NEGATIVE, SHARE, Range, ranges
from lhy_lightning.core.arguments.signatures import Unpack, settings_of
from lhy_lightning.data.augmentation.transforms import centre_crop, scale_to_contract
from lhy_lightning.data.base import ResumableLoader
from lhy_lightning.data.controls import Control, most_frequent_class
from lhy_lightning.data.images.arguments import check_crop, check_fractions, kept_and_cut
from lhy_lightning.data.images.augmented import MovedArguments, MovedImages, TrainingChanges
from lhy_lightning.data.images.image_datasets import EvalPictures, TrainPictures
from lhy_lightning.data.images.image_report import (
    describe_splits,
    enlargement,
    tell_of_classes,
    tell_of_sources,
    tell_of_unlabelled,
)
from lhy_lightning.data.images.image_sets import ImageSplitSources
from lhy_lightning.data.images.image_splits import Division, Split
from lhy_lightning.data.images.missing_labels import missing_labels
from lhy_lightning.data.images.stages import roles_of_stage, splits_of_stage
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.images.unlabelled import PseudoLabels, batches_of_both
from lhy_lightning.data.samplers import TrainBatches
from lhy_lightning.data.sources.folders import Role


class ImageDataModule(MovedImages):
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
        load_size: keep pictures this much larger than `image_size`: training crops at random, evaluation the centre.
        test_fraction: share of the training rows for a test split where a source has none; 0 holds none out.
        unlabelled_source: unlabelled pictures from elsewhere, one place or several.
        labelled_per_class: keep only so many labelled training rows a class; the others become unlabelled.
        unlabelled_per_batch: unlabelled rows per training step and process; 0 takes none.
        unlabelled: what comes of them: "weak_strong", two views of each (FixMatch), or "pseudo", those that have a
            pseudo-label. The weak view has flips, crops and translation of the labelled rows.
        strong_magnitude: strength of the strong view in (0, 1]; 1 is RandAugment's own.
        crop_scale: smallest share of the area in a random resized crop; 0 disables it.
        shear: largest shear angle in degrees.
        brightness: factors from 1 - brightness to 1 + brightness.
        contrast: the same for contrast.
        saturation: the same for saturation.
        hue: largest turn of the colour circle, as a share of a full turn.
        erasing: probability of filling a random rectangle.
        mixup: alpha of mixup's Beta distribution; 0 disables it.
        cutmix: alpha of cutmix's Beta distribution; 0 disables it.
        arguments: as `MovedImages`, `LabelledImages` and `ImageDataModuleBase`: moves, labels, reading and loaders.

    Attributes:
        num_classes, class_names: after `setup`; 0 and none without labels.
        image_size, channels: (height, width) and 1 or 3, after `setup`.
        class_counts: labelled training rows of each class.
        has_test: whether there is a test split.
        test_labelled: whether its labels are known.
        bad_rows: rows of each split that cannot be read; a grey picture stands in (test and prediction only).
        unlabelled_truth: (rows,) int64 labels of the unlabelled rows where known, else -1: for reports only.

    Example:
        >>> from lhy_lightning import ImageDataModule
        >>> data = ImageDataModule("embedded:digits", batch_size=8)
        >>> data.setup("fit")
        embedded:digits: 1,439 train, 179 val (held out), ...
        >>> tuple(next(iter(data.train_dataloader()))["image"].shape)
        (8, 1, 8, 8)
    """

    split_settings: tuple[str, ...] = (
        "source", "val_source", "test_source", "unlabelled_source", "image_column", "label_column", "val_fraction",
        "test_fraction", "split_seed", "folds", "fold", "labelled_per_class", "class_names", "num_classes",
    )  # fmt: skip
    order_settings: tuple[str, ...] = (
        "batch_size", "class_balanced", "steps_per_epoch", "unlabelled_per_batch", "unlabelled",
    )  # fmt: skip

    argument_ranges = ranges(
        folds=Range(at_least=2, said="cross-validation needs at least 2"), fold=NOT_NEGATIVE, num_classes=COUNT,
        labelled_per_class=COUNT, unlabelled_per_batch=NOT_NEGATIVE, strong_magnitude=Range(above=0, at_most=1),
        crop_scale=SHARE, shear=Range(at_least=0, at_most=80), brightness=SHARE, contrast=SHARE, saturation=SHARE,
        hue=Range(at_least=0, at_most=0.5), erasing=SHARE, mixup=NOT_NEGATIVE, cutmix=NOT_NEGATIVE,
    )  # fmt: skip

    _pseudo_labels: PseudoLabels | None = None  # made when the unlabelled split is

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
        load_size: int | tuple[int, int] | None = None,
        test_fraction: float = 0.1,
        unlabelled_source: str | list[str] | None = None,
        labelled_per_class: int | None = None,
        unlabelled_per_batch: int = 0,
        unlabelled: Literal["weak_strong", "pseudo"] = "weak_strong",
        strong_magnitude: float = 1.0,
        crop_scale: float = 0.0,
        shear: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        erasing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        **arguments: Unpack[MovedArguments],
    ) -> None:
        if fold is not None and folds is None:
            raise ValueError(f"fold={fold} needs folds, the number of them.")
        if fold is not None and folds is not None and fold >= folds:
            raise ValueError(f"fold={fold} is out of range: folds={folds} has 0 to {folds - 1}.")
        super().__init__(**arguments)
        check_fractions(self._args.val_fraction, test_fraction)
        kept_and_cut(load_size, arguments.get("image_size"))
        self._sets: dict[tuple[str, ...], ImageSplitSources] = {}

    # --- setup -----------------------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Decodes on one process a machine; the others open the file."""
        stage = self._stage()
        sets = self._open_sets(stage)
        self._read(sets, self._roles(sets, stage))

    def setup(self, stage: str | None = None) -> None:
        """Makes the splits; without a trainer, call it yourself (`prepare_data` need not be called)."""
        stage, given = stage or "fit", self._args
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
        how = settings_of(Division, given)
        found = self.choose(splits_of_stage(sets, roles, pool, stage, how, self._warn_once, labels))
        self._splits.update(found)
        pseudo = given.unlabelled_per_batch and given.unlabelled == "pseudo"
        if "unlabelled" in found and pseudo and self._pseudo_labels is None:
            self._pseudo_labels = PseudoLabels(len(found["unlabelled"]))
        self._stages.add(stage)
        self.has_test = "test" in sets.roles or given.test_fraction > 0
        self.test_labelled = sets.labelled("test" if "test" in sets.roles else "train")
        given.image_size, given.channels, given.value_range = self.image_size, self.channels, sets.value_range
        if self.class_names:
            given.class_names, given.num_classes = list(self.class_names), self.num_classes
        if stage == "fit":
            self._tell_what_was_read(sets)

    def _tell_what_was_read(self, sets: ImageSplitSources) -> None:
        tell_of_sources([sets], self._tell, self._warn_once)
        handed = () if self._args.folds is not None else sets.roles
        self._tell(describe_splits(sets.source, self._splits, handed))
        self._tell_classes()
        tell_of_unlabelled(self._splits, self.class_names, self._warn_once)
        if (sentence := enlargement(self._splits["train"], self.image_size)) is not None:
            self._warn_once(f"{sentence}.")

    def _tell_classes(self) -> None:
        tell_of_classes(self.class_names, self._splits["train"].truth, self._tell, self._warn_once)

    def choose(self, splits: dict[str, Split]) -> dict[str, Split]:
        """The splits that are used of those that a stage found. Override it to leave rows out or to label them anew."""
        return splits

    def _open_sets(self, stage: str) -> ImageSplitSources:
        """Prediction looks at the source and at test pictures from elsewhere; the others may be gone by then."""
        names: tuple[str, ...] = ("test_source", "image_column", "label_column", "value_range", "cache_dir")
        names += () if stage == "predict" else ("val_source", "unlabelled_source")
        if names not in self._sets:
            self._sets[names] = ImageSplitSources(self._args.source, **{name: self._args[name] for name in names})
        return self._sets[names]

    def _roles(self, sets: ImageSplitSources, stage: str) -> tuple[Role, ...]:
        """Which of the splits that the source hands out this stage reads."""
        given = self._args
        return roles_of_stage(
            sets, stage, given.test_fraction, unlabelled=given.unlabelled_per_batch > 0, folds=given.folds is not None,
            hint=": set --data.test_source.",
        )  # fmt: skip

    def _read(self, sets: ImageSplitSources, roles: tuple[Role, ...]) -> Pool:
        given = self._args
        kept, cut = kept_and_cut(given.load_size, given.image_size)
        size, channels = sets.shape(roles, kept, given.channels)
        self.image_size, self.channels = cut or size, channels
        check_crop(given.crop, self.image_size)
        self._changes = TrainingChanges(given, self.image_size)
        return sets.read(roles, size, channels, given.resize, given.cache_limit_gb)

    # --- what others ask -------------------------------------------------------------------------------------------

    def missing_labels(self) -> str | None:
        if self._split("train").labels is not None:
            return None
        return missing_labels(str(self._args.source), self._args.label_column)

    def control(self, split: str) -> Control | None:
        helps = "train longer (--trainer.max_epochs), try another --model.lr, or look whether the labels fit the images"
        names = self.class_names or tuple(map(str, range(self.num_classes)))
        return most_frequent_class(self._split("train").truth, self._split(split).truth, names, helps)

    @property
    def class_counts(self) -> tuple[int, ...]:
        return self._counts("train")

    @property
    def unlabelled_truth(self) -> Tensor:
        return torch.from_numpy(self._split("unlabelled").truth)

    def set_pseudo_labels(self, index: Tensor, label: Tensor) -> None:
        """Replaces all pseudo-labels, from the next epoch on; an epoch under way keeps those that it began with.

        Args:
            index: (M,) rows of the unlabelled split. On several processes all must be given the same.
            label: (M,) int64.
        """
        assert self._pseudo_labels is not None, "call setup first"
        self._pseudo_labels.replace(index, label)

    def state_dict(self) -> dict[str, Any]:
        labels = {} if self._pseudo_labels is None else self._pseudo_labels.state_dict()
        return {**super().state_dict(), **labels}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if self._pseudo_labels is not None and "pseudo_labels" in state_dict:
            self._pseudo_labels.load_state_dict(state_dict)

    # --- loaders ---------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> ResumableLoader[dict[str, Tensor]]:
        given, split, others = self._args, self._split("train"), self._split("unlabelled")
        labels, weights = split.labels, None
        if given.class_balanced:
            if labels is None:
                raise ValueError("class_balanced needs labelled training rows.")
            weights = (1 / torch.bincount(labels).double())[labels]
        dataset = TrainPictures(split.pool, split.rows, labels, others.rows)
        if given.unlabelled_per_batch:
            sampler: TrainBatches = batches_of_both(
                len(split), len(others), given, weights=weights, pseudo_labels=self._pseudo_labels
            )
        else:
            sampler = TrainBatches(len(split), given.batch_size, weights=weights, steps=given.steps_per_epoch)
        return self.train_loader(dataset, sampler, num_workers=given.num_workers)

    def unlabelled_loader(self) -> DataLoader[dict[str, Tensor]]:
        """All unlabelled rows once over the ranks, `image` in [-1, 1] without augmentation, and `index`; no label."""
        split = self._split("unlabelled")
        return self._once(EvalPictures(split.pool, split.rows, None, self.image_size))

    def _evaluation_loader(self, name: str) -> DataLoader[dict[str, Tensor]]:
        split = self._split(name)
        return self._once(EvalPictures(split.pool, split.rows, split.labels))

    # --- batches ---------------------------------------------------------------------------------------------------

    def prepare_batch(self, batch: dict[str, Tensor], *, training: bool) -> dict[str, Tensor]:
        if training:
            return self._changes(batch, self._pseudo_labels)
        return {**batch, "image": scale_to_contract(centre_crop(batch["image"], self.image_size))}
