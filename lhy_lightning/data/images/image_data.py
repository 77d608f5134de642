"""`ImageDataModule`: pictures from any source, labelled or not, as batches in [-1, 1]."""

from dataclasses import fields
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lhy_lightning.core.argument_ranges import COUNT, NOT_NEGATIVE, SHARE, Range, ranges
from lhy_lightning.data.augmentation.augmentation import Augmentation
from lhy_lightning.data.augmentation.transforms import Fill, centre_crop, scale_to_contract
from lhy_lightning.data.base import ResumableLoader
from lhy_lightning.data.controls import Control, most_frequent_class
from lhy_lightning.data.images.arguments import check_crop, check_numbers, kept_and_cut
from lhy_lightning.data.images.base import PictureDataModule
from lhy_lightning.data.images.image_datasets import (
    EvalPictures,
    PairedBatches,
    PlainPictures,
    PseudoLabels,
    TrainPictures,
)
from lhy_lightning.data.images.image_report import (
    describe_splits,
    enlargement,
    tell_of_classes,
    tell_of_sources,
    tell_of_unlabelled,
)
from lhy_lightning.data.images.image_sets import ImageSets
from lhy_lightning.data.images.image_splits import Division, Split
from lhy_lightning.data.images.missing_labels import missing_labels
from lhy_lightning.data.images.reading.readers import Resize
from lhy_lightning.data.images.stages import roles_of_stage, splits_of_stage
from lhy_lightning.data.images.store_pool import Pool
from lhy_lightning.data.samplers import TrainBatches
from lhy_lightning.data.sources.folders import Role

WEAK = ("horizontal_flip", "vertical_flip", "crop", "crop_scale", "translation", "fill")
MORE = ("rotation", "scale", "shear", "brightness", "contrast", "saturation", "hue", "erasing", "mixup", "cutmix")

SplitName = Literal["train", "val", "test", "predict", "unlabelled"]


class ImageDataModule(PictureDataModule):
    """Pictures from folders, tables, arrays, the hub or an embedded set.

    Args:
        source: `embedded:digits`, a folder (class folders, a flat folder, the course's food-11 tree), a parquet, csv,
            json, jsonl or npy file, or a hub id. Its own train, validation and test splits are used.
        val_source: validation pictures from elsewhere.
        test_source: test pictures from elsewhere.
        unlabelled_source: unlabelled pictures from elsewhere, one place or several.
        image_column: column of the pictures in a table; found by type and name if not given.
        label_column: column of the labels in a table.
        value_range: the numbers that stand for black and white in images of more than 8 bits and in npy files of other
            numbers than bytes, such as [0, 1]; images of 16 bits that use all of them need none.
        batch_size: training rows a step and process.
        eval_batch_size: the same in evaluation; as `batch_size` if not given.
        image_size: side, or height and width, of the network's pictures; as in the source if all are of one size.
        channels: 1 (grey) or 3 (colour); as in the source if not given.
        resize: "stretch" pictures to the size, or "crop" the centre after bringing the shorter side to size.
        load_size: keep pictures this much larger than `image_size`: training crops at random, evaluation the centre.
        val_fraction: share of the training rows held out where the source has no validation split.
        test_fraction: the same for a test split; 0 for none.
        split_seed: of the splits made here; the same number, the same rows, on every machine.
        folds: number of folds for cross-validation over training and validation rows; the test split is in none.
        fold: which one validates, from 0.
        labelled_per_class: keep only so many labelled training rows a class; the others become unlabelled.
        class_balanced: draw training rows such that every class comes equally often.
        class_names: names of the classes in the order of their numbers; from the source if not given.
        num_classes: number of classes, where the labels alone would not tell.
        steps_per_epoch: training batches an epoch, if not one pass over the rows.
        num_workers: processes that read; 0 is fastest for sets that fit `cache_limit_gb`.
        cache_limit_gb: sets of at most so many 10⁹ bytes (rows × height × width × channels) are decoded once into
            a memory-mapped file; larger ones are decoded anew for every batch.
        cache_dir: folder for these files; `~/.cache/lhy_lightning/pictures` if not given.
        horizontal_flip: probability of mirroring left and right.
        vertical_flip: probability of mirroring top and bottom.
        crop: pixels of padding on each side before a random crop.
        crop_scale: smallest share of the area in a random resized crop; 0 for none.
        rotation: largest angle in degrees, either way.
        translation: largest shift, as a share of the side.
        scale: largest zoom: factors from 1 - scale to 1 + scale.
        shear: largest shear angle in degrees.
        brightness: factors from 1 - brightness to 1 + brightness.
        contrast: the same for contrast.
        saturation: the same for saturation.
        hue: largest turn of the colour circle, as a share of a full turn.
        erasing: probability of filling a random rectangle.
        mixup: alpha of mixup's Beta distribution; 0 for none.
        cutmix: alpha of cutmix's Beta distribution; 0 for none.
        fill: what lies outside a moved picture: "black", "grey", "white", its "border" or its mirror image "reflect".
        unlabelled_per_batch: unlabelled rows a training step and process; 0 for none.
        unlabelled: what comes of them: "weak_strong", two views of each (FixMatch), or "pseudo", those that have a
            pseudo-label. The weak view has flips, crops and translation of those above.
        strong_magnitude: strength of the strong view in (0, 1]; 1 is RandAugment's own.

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
        folds=Range(at_least=2, said="cross-validation needs at least 2"), fold=NOT_NEGATIVE, labelled_per_class=COUNT,
        num_classes=COUNT, crop_scale=SHARE, shear=Range(at_least=0, at_most=80), brightness=SHARE, contrast=SHARE,
        saturation=SHARE, hue=Range(at_least=0, at_most=0.5), erasing=SHARE, mixup=NOT_NEGATIVE, cutmix=NOT_NEGATIVE,
        unlabelled_per_batch=NOT_NEGATIVE, strong_magnitude=Range(above=0, at_most=1),
    )  # fmt: skip

    def __init__(
        self,
        source: str = "embedded:digits",
        *,
        val_source: str | None = None,
        test_source: str | None = None,
        unlabelled_source: str | list[str] | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
        value_range: tuple[float, float] | None = None,
        batch_size: int = 64,
        eval_batch_size: int | None = None,
        image_size: int | tuple[int, int] | None = None,
        channels: Literal[1, 3] | None = None,
        resize: Resize = "stretch",
        load_size: int | tuple[int, int] | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        folds: int | None = None,
        fold: int | None = None,
        labelled_per_class: int | None = None,
        class_balanced: bool = False,
        class_names: list[str] | None = None,
        num_classes: int | None = None,
        steps_per_epoch: int | None = None,
        num_workers: int = 0,
        cache_limit_gb: float = 2.0,
        cache_dir: str | None = None,
        horizontal_flip: float = 0.0,
        vertical_flip: float = 0.0,
        crop: int = 0,
        crop_scale: float = 0.0,
        rotation: float = 0.0,
        translation: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        erasing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        fill: Fill = "black",
        unlabelled_per_batch: int = 0,
        unlabelled: Literal["weak_strong", "pseudo"] = "weak_strong",
        strong_magnitude: float = 1.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self._check_arguments()
        self._sets: dict[tuple[str, ...], ImageSets] = {}
        self._splits: dict[str, Split] = {}
        self._stages: set[str] = set()
        self._pseudo_labels: PseudoLabels | None = None  # made when the unlabelled split is

    @property
    def _given(self) -> Any:  # the arguments, completed by setup
        return self.hparams

    def _check_arguments(self) -> None:
        given = self._given
        if given.fold is not None and given.folds is None:
            raise ValueError(f"fold={given.fold} needs folds, the number of them.")
        if given.fold is not None and given.fold >= given.folds:
            raise ValueError(f"fold={given.fold} is out of range: folds={given.folds} has 0 to {given.folds - 1}.")
        check_numbers(dict(given))
        kept_and_cut(given.load_size, given.image_size)

    def _augmentations(self, size: tuple[int, int]) -> tuple[Augmentation, Augmentation, Augmentation]:
        """Of labelled pictures, of the weak view, of the strong view."""
        given = self._given
        weak = {name: given[name] for name in WEAK}
        more = {name: given[name] for name in MORE}
        labelled, strong = Augmentation(size, **weak, **more), Augmentation(size, **weak, strong=given.strong_magnitude)
        return labelled, Augmentation(size, **weak), strong

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
        self.class_names: tuple[str, ...] = (
            sets.classes(given.class_names, given.num_classes) if strict else tuple(given.class_names)
        )
        self.num_classes = len(self.class_names)
        roles = self._roles(sets, stage)
        pool = self._read(sets, roles)
        labels = sets.labels_of(roles, self.class_names, strict=strict)
        if given.labelled_per_class is not None and not (labels >= 0).any():
            raise ValueError(
                f"labelled_per_class={given.labelled_per_class} counts labelled pictures. "
                + missing_labels(str(given.source), given.label_column)
            )
        how = Division(**{field.name: given[field.name] for field in fields(Division)})
        found = self.choose(splits_of_stage(sets, roles, pool, stage, how, self._report, labels))
        self._splits.update(found)
        pseudo = given.unlabelled_per_batch and given.unlabelled == "pseudo" and self._pseudo_labels is None
        if pseudo and "unlabelled" in found:
            self._pseudo_labels = PseudoLabels(len(found["unlabelled"]))
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
        self.image_size: tuple[int, int] = cut or size
        self.channels: int = channels
        check_crop(given.crop, self.image_size)
        self._augmentation, self._weak, self._strong = self._augmentations(self.image_size)
        return sets.read(roles, size, channels, given.resize, given.cache_limit_gb)

    def _split(self, name: str) -> Split:
        if name not in self._splits:
            if name not in ("test", "predict"):
                raise RuntimeError(f"no {name} split yet: call setup first.")
            self.setup(name)
        return self._splits[name]

    # --- what others ask -------------------------------------------------------------------------------------------

    def missing_labels(self) -> str | None:
        if self._split("train").labels is not None:
            return None
        return missing_labels(str(self._given.source), self._given.label_column)

    def control(self, split: str) -> Control | None:
        helps = "train longer (--trainer.max_epochs), try another --model.lr, or look whether the labels fit the images"
        names = self.class_names or tuple(map(str, range(self.num_classes)))
        return most_frequent_class(self._split("train").truth, self._split(split).truth, names, helps)

    def paths(self, split: SplitName) -> list[str]:
        """Path of every picture of a split, or `source#row`, in the order of `index`."""
        rows = self._split(split)
        return rows.names(np.arange(len(rows)))

    def pictures(self, split: SplitName) -> PlainPictures:
        """A split's pictures in [-1, 1] without augmentation, all of them on every rank."""
        rows = self._split(split)
        return PlainPictures(rows.pool, rows.rows, self.image_size)

    @property
    def bad_rows(self) -> dict[str, list[int]]:
        return {name: split.bad for name, split in self._splits.items()}

    @property
    def class_counts(self) -> tuple[int, ...]:
        truth = self._split("train").truth
        return tuple(np.bincount(truth[truth >= 0], minlength=self.num_classes).tolist())

    @property
    def unlabelled_truth(self) -> Tensor:
        return torch.from_numpy(self._split("unlabelled").truth)

    # --- loaders ---------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> ResumableLoader:
        given, split, others = self._given, self._split("train"), self._split("unlabelled")
        labels, weights = split.labels, None
        if given.class_balanced:
            if labels is None:
                raise ValueError("class_balanced needs labelled training rows.")
            weights = (1 / torch.bincount(labels).double())[labels]
        dataset = TrainPictures(split.pool, split.rows, labels, others.rows)
        if not given.unlabelled_per_batch:
            sampler = TrainBatches(len(split), given.batch_size, weights=weights, steps=given.steps_per_epoch)
        else:
            if not len(others):
                raise ValueError(
                    "unlabelled_per_batch is set, but there are no unlabelled pictures: set "
                    "--data.unlabelled_source or --data.labelled_per_class."
                )
            sampler = PairedBatches(
                len(split),
                given.batch_size,
                weights=weights,
                steps=given.steps_per_epoch,
                unlabelled_per_batch=given.unlabelled_per_batch,
                available=self._rows_to_draw,
            )
        return self.train_loader(dataset, sampler, num_workers=given.num_workers)

    def _rows_once(self, name: str, *, labels: bool = True, crop_to: tuple[int, int] | None = None) -> DataLoader:
        split, given = self._split(name), self._given
        dataset = EvalPictures(split.pool, split.rows, split.labels if labels else None, crop_to)
        return self.eval_loader(dataset, given.eval_batch_size or given.batch_size, num_workers=given.num_workers)

    # --- pseudo-labels ---------------------------------------------------------------------------------------------

    def unlabelled_loader(self) -> DataLoader:
        """All unlabelled rows once over the ranks, `image` in [-1, 1] without augmentation, and `index`; no label."""
        return self._rows_once("unlabelled", labels=False, crop_to=self.image_size)

    def set_pseudo_labels(self, index: Tensor, label: Tensor) -> None:
        """Replaces all pseudo-labels, from the next epoch on; an epoch under way keeps those that it began with.

        Args:
            index: (M,) rows of the unlabelled split. On several processes all must be given the same.
            label: (M,) int64.
        """
        assert self._pseudo_labels is not None, "call setup first"
        self._pseudo_labels.replace(index, label)

    def _rows_to_draw(self, epoch: int) -> np.ndarray:
        if self._given.unlabelled == "weak_strong" or self._pseudo_labels is None:
            return np.arange(len(self._split("unlabelled")))
        return self._pseudo_labels.rows_of(epoch)

    def state_dict(self) -> dict[str, Any]:
        labels = {} if self._pseudo_labels is None else self._pseudo_labels.state_dict()
        return {**super().state_dict(), **labels}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if self._pseudo_labels is not None and "pseudo_labels" in state_dict:
            self._pseudo_labels.load_state_dict(state_dict)

    # --- batches ---------------------------------------------------------------------------------------------------

    def prepare_batch(self, batch: dict[str, Tensor], *, training: bool) -> dict[str, Tensor]:
        """Bytes of a loader to pictures in [-1, 1], augmented in training. The Trainer calls it, a plain loop can.

        Args:
            batch: of one of this module's loaders, on any device.
            training: augment; otherwise cut out the centre (with `load_size`) and scale.

        Returns:
            The batch of the contract (`lhy_lightning.data.batches`).
        """
        if not training:
            return {**batch, "image": scale_to_contract(centre_crop(batch["image"], self.image_size))}
        out = {**batch, "image": self._augmentation(batch["image"])}
        others = out.pop("unlabelled_image", None)
        if others is not None and self._given.unlabelled == "weak_strong":
            out["weak_image"], out["strong_image"] = self._weak(others), self._strong(others)
        elif others is not None and self._pseudo_labels is not None:
            out["pseudo_image"] = self._augmentation(others)
            out["pseudo_label"] = self._pseudo_labels.of(out.pop("unlabelled_index"))
        if "label" in out:
            mixed = self._augmentation.mix(out["image"], out["label"])
            if mixed is not None:
                out["image"], out["mixed_label"], out["mix"] = mixed
        return out
