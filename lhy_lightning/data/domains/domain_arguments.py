"""Checks of `DomainDataModule`'s arguments, and what its domains are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lhy_lightning.data.domains.domain_transforms import check_change
from lhy_lightning.data.images.arguments import check_fractions


def check_domain_arguments(given: dict[str, Any]) -> None:
    """Refuses arguments that make no sense, or none together.

    Raises:
        ModuleNotFoundError: edges without OpenCV.
        ValueError: names the argument, and what to do.
    """
    check_fractions(given["target_val_fraction"], given["target_test_fraction"], of="target_")
    for side in ("source", "target"):
        check_change(given[f"{side}_transform"])
    if not given["source"]:
        raise ValueError("source is empty: give one labelled source, or several.")
    if given["target"] is None:
        _check_own_target(given)
    if given["transductive"]:
        if given["target_test"] is not None:
            raise ValueError("transductive trains on the pictures that are tested: leave target_test out.")
        if given["train_on"] == "target":
            raise ValueError("train_on='target' with transductive would train on the labels of the test pictures.")
    if not given["target_labelled"]:
        if given["train_on"] == "target":
            raise ValueError("train_on='target' needs labels: set --data.target_labelled true.")
        if given["target_rows_per_class"] is not None:
            raise ValueError("target_rows_per_class needs to know classes: set --data.target_labelled true.")
    if given["target_labels_per_class"] is not None and given["train_on"] != "target":
        raise ValueError("target_labels_per_class is for --data.train_on target: no other training reads its labels.")


def _check_own_target(given: dict[str, Any]) -> None:
    if not isinstance(given["source"], str) and len(given["source"]) > 1:
        raise ValueError("target=None stands for the test pictures of the source, but there are several: set a target.")
    if not given["transductive"]:
        raise ValueError(
            "target=None adapts to the source's own unlabelled test pictures, which are then trained on and tested: "
            "say so by --data.transductive true, or set --data.target."
        )
    if given["target_labelled"]:
        raise ValueError("target_labelled with target=None: the source's unlabelled test pictures have no labels.")


def names_of_places(places: Sequence[str]) -> tuple[str, ...]:
    """What domains are called: the last part of their place, with the one before where that is the same for two."""
    paths = [Path(place.removeprefix("embedded:")).expanduser() for place in places]
    last = [path.stem if path.is_file() else path.name for path in paths]
    return tuple(
        name if last.count(name) == 1 else f"{path.parent.name}/{name}" for path, name in zip(paths, last, strict=True)
    )
