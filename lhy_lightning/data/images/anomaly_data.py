"""`AnomalyDataModule`: normal pictures to learn from, normal and strange ones to be told apart."""

from __future__ import annotations

import numpy as np

from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.images.arguments import ImageArguments
from lhy_lightning.data.images.image_data import ImageDataModule
from lhy_lightning.data.images.image_splits import Split

NORMAL, ANOMALY = 0, 1


class AnomalyDataModule(ImageDataModule):
    """Pictures of which training sees the normal ones only; in test, label 1 is an anomaly and 0 is normal.

    Where the source has classes, one of them is normal and all others are anomalies ("one against the rest"). Training
    rows without labels, such as homework 8's `trainingset.npy` or the class folder `train/good` alone, are all normal;
    test rows without labels are to be predicted for.

    Args:
        source: as in `ImageDataModule`.
        normal_class: name of the class that is normal.
        val_anomalies: keep the validation rows of the other classes, as anomalies. There is a `val/auroc` then, to look
            at; an epoch that is chosen by it has seen anomaly labels.
        arguments: as in `ImageDataModule`.

    Raises:
        ValueError: the source has classes and `normal_class` is none of them, or there is no normal row.

    Example:
        >>> from lhy_lightning import AnomalyDataModule
        >>> data = AnomalyDataModule("embedded:digits", normal_class="3", batch_size=8)
        >>> data.setup("fit")
        embedded:digits: 147 train, 18 val (held out), ...
        >>> batch = next(iter(data.train_dataloader()))
        >>> tuple(batch["image"].shape), set(batch["label"].tolist())
        ((8, 1, 8, 8), {0})
    """

    split_settings: tuple[str, ...] = (*ImageDataModule.split_settings, "normal_class", "val_anomalies")

    def __init__(
        self,
        source: str = "embedded:digits",
        *,
        normal_class: str | None = "0",
        val_anomalies: bool = False,
        **arguments: Unpack[ImageArguments],
    ) -> None:
        super().__init__(source, **arguments)

    def choose(self, splits: dict[str, Split]) -> dict[str, Split]:
        """Training and validation without the other classes; labels that say what is an anomaly."""
        self._check_normal_class(training="train" in splits)
        chosen = {name: self._normal_or_not(split) for name, split in splits.items()}
        for name in {"train", "val"} & chosen.keys():
            split = chosen[name]
            if name == "train" or not self._args.val_anomalies:
                # -1: pictures to train on that have no label are normal by what this task is
                kept = split.truth != ANOMALY
                split = chosen[name] = Split(split.pool, split.rows[kept], np.full(int(kept.sum()), NORMAL))
            if not (split.truth == NORMAL).any():
                raise ValueError(f"the {name} split has no picture of the class {self._args.normal_class!r}.")
        if "unlabelled" in chosen:
            chosen["unlabelled"] = Split(splits["unlabelled"].pool, np.zeros(0, dtype=np.int64), np.zeros(0, np.int64))
        return chosen

    def _check_normal_class(self, *, training: bool) -> None:
        normal = self._args.normal_class
        if self.class_names and normal not in self.class_names:
            names = ", ".join(self.class_names)
            raise ValueError(f"normal_class={normal!r} is none of the classes {names}: which of them is normal?")
        if training and not self.class_names and normal is not None:
            raise ValueError(
                f"normal_class={normal!r}, but {self._args.source} has no classes: if all its images are normal, set "
                "--data.normal_class null."
            )

    def _tell_classes(self) -> None:
        normal, test = self._args.normal_class, self._splits.get("test")
        told = f"normal is class {normal}; training sees no other" if self.class_names else "all are taken as normal"
        if test is not None and (test.truth >= 0).any():
            told += f"; test: {int((test.truth == NORMAL).sum()):,} normal, {int((test.truth == ANOMALY).sum()):,} not"
        self._tell(told)

    def _normal_or_not(self, split: Split) -> Split:
        known = split.truth >= 0
        if not known.any():
            return split
        normal = self._args.normal_class
        strange = (split.truth != self.class_names.index(normal)).astype(np.int64)
        return Split(split.pool, split.rows, np.where(known, strange, -1))
