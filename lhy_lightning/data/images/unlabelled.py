"""Unlabelled rows beside the labelled ones of a training batch: two views of each, or pseudo-labels."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lhy_lightning.core.argument_ranges import COUNT, NOT_NEGATIVE, Range, ranges
from lhy_lightning.core.signatures import Unpack
from lhy_lightning.data.images.augmented import AugmentedArguments, AugmentedImages
from lhy_lightning.data.images.image_datasets import EvalPictures, PairedBatches, PseudoLabels


class UnlabelledArguments(AugmentedArguments, total=False):
    """Arguments of `UnlabelledImages`, for the `**arguments` of those built on it."""

    unlabelled_source: str | list[str] | None
    labelled_per_class: int | None
    unlabelled_per_batch: int
    unlabelled: Literal["weak_strong", "pseudo"]
    strong_magnitude: float


class UnlabelledImages(AugmentedImages):
    """Base of those that may train on unlabelled rows too.

    Args:
        unlabelled_source: unlabelled pictures from elsewhere, one place or several.
        labelled_per_class: keep only so many labelled training rows a class; the others become unlabelled.
        unlabelled_per_batch: unlabelled rows a training step and process; 0 for none.
        unlabelled: what comes of them: "weak_strong", two views of each (FixMatch), or "pseudo", those that have a
            pseudo-label. The weak view has flips, crops and translation of the labelled rows.
        strong_magnitude: strength of the strong view in (0, 1]; 1 is RandAugment's own.
        arguments: as `AugmentedImages`.

    Attributes:
        unlabelled_truth: (rows,) int64 labels of the unlabelled rows where known, else -1: for reports only.
    """

    argument_ranges = ranges(
        labelled_per_class=COUNT, unlabelled_per_batch=NOT_NEGATIVE, strong_magnitude=Range(above=0, at_most=1)
    )

    _pseudo_labels: PseudoLabels | None = None  # made when the unlabelled split is

    def __init__(
        self,
        *,
        unlabelled_source: str | list[str] | None = None,
        labelled_per_class: int | None = None,
        unlabelled_per_batch: int = 0,
        unlabelled: Literal["weak_strong", "pseudo"] = "weak_strong",
        strong_magnitude: float = 1.0,
        **arguments: Unpack[AugmentedArguments],
    ) -> None:
        super().__init__(**arguments)

    @property
    def unlabelled_truth(self) -> Tensor:
        return torch.from_numpy(self._split("unlabelled").truth)

    def unlabelled_loader(self) -> DataLoader:
        """All unlabelled rows once over the ranks, `image` in [-1, 1] without augmentation, and `index`; no label."""
        split = self._split("unlabelled")
        return self._once(EvalPictures(split.pool, split.rows, None, self.image_size))

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

    # --- for the data module ---------------------------------------------------------------------------------------

    def _begin_pseudo_labels(self, rows: int) -> None:
        """Once the unlabelled split is there: none of its rows has a pseudo-label yet."""
        given = self._given
        if given.unlabelled_per_batch and given.unlabelled == "pseudo" and self._pseudo_labels is None:
            self._pseudo_labels = PseudoLabels(rows)

    def _batches_of_both(self, rows: int, weights: Tensor | None) -> PairedBatches:
        """Labelled and unlabelled rows of each batch.

        Raises:
            ValueError: there are no unlabelled ones.
        """
        given = self._given
        if not len(self._split("unlabelled")):
            raise ValueError(
                "unlabelled_per_batch is set, but there are no unlabelled pictures: set "
                "--data.unlabelled_source or --data.labelled_per_class."
            )
        return PairedBatches(
            rows,
            given.batch_size,
            weights=weights,
            steps=given.steps_per_epoch,
            unlabelled_per_batch=given.unlabelled_per_batch,
            available=self._rows_to_draw,
        )

    def _rows_to_draw(self, epoch: int) -> np.ndarray:
        if self._given.unlabelled == "weak_strong" or self._pseudo_labels is None:
            return np.arange(len(self._split("unlabelled")))
        return self._pseudo_labels.rows_of(epoch)

    def _change_at_random(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A training batch of bytes: its images, then the views of its unlabelled ones."""
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

    def _prepare_changes(self, size: tuple[int, int]) -> None:
        """Once the size of the images is known: the changes of labelled images and of both views."""
        self._augmentation, self._weak = self._changes(size), self._weak_changes(size)
        self._strong = self._weak_changes(size, strong=self._given.strong_magnitude)
