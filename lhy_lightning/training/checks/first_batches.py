"""Looks at the first batch of every loader, and makes of other packages' batches what the steps take.

What a step takes is the contract that its `batch` is annotated with. A step whose `batch` has another annotation, or
none, gets what the loader gives.
"""

from collections.abc import Mapping, Sequence
from inspect import unwrap
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from lhy_lightning.core.messages import listed
from lhy_lightning.training.checks.batch_contract import Contract
from lhy_lightning.training.checks.data_fit import check_batch

STEPS = {"train": "training_step", "val": "validation_step", "test": "test_step", "predict": "predict_step"}

PAIRS = (("image", "label"), ("input", "target"))
"""What the two parts of a tuple are, in contracts that have both."""

SIZES = {"C": ("channels", "input_channels"), "D": ("target_channels",)}
"""Arguments of a module that say how large an axis is; `image_size` says it of H and W."""


def contracts_of(module: type[LightningModule], stage: str) -> list[Contract]:
    """What a step's `batch` is annotated with, a union by its parts; a step that says Any leaves it to `evaluate`."""
    found: Any = Any
    for name in (STEPS[stage], "evaluate"):
        if found is Any and (step := getattr(module, name, None)) is not None:
            try:
                found = get_type_hints(unwrap(step)).get("batch")
            except NameError:  # of someone's own, there for type checkers alone
                found = None
    parts = get_args(found) if get_origin(found) in (Union, UnionType) else (found,)
    return [Contract.of(part) for part in parts if is_typeddict(part)]


def sizes_of(module: LightningModule) -> dict[str, int]:
    """Axes that the networks are built for, as far as the module says."""
    height, width = getattr(module, "image_size", None) or (None, None)
    sizes = {"H": height, "W": width}
    for letter, names in SIZES.items():
        sizes[letter] = next((size for name in names if (size := getattr(module, name, None)) is not None), None)
    return {letter: size for letter, size in sizes.items() if size is not None}


def closest(contracts: Sequence[Contract], batch: Any) -> Contract:
    """The contract with the most keys of which the batch lacks none; the first where it lacks some of all."""
    whole = [one for one in contracts if isinstance(batch, Mapping) and one.required <= set(batch)]
    return max(whole or contracts[:1], key=lambda one: len(one.required))


def check_keys(module: LightningModule, batch: Any) -> None:
    """Raises ValueError, in the module's own words, where the first training batch lacks a key that it names."""
    for key, said in getattr(module, "missing_keys", ()):
        if isinstance(batch, Mapping) and key not in batch:
            raise ValueError(said)


class FirstBatches:
    """The loaders of one stage, while it lasts."""

    def __init__(self) -> None:
        self._contracts: dict[str, list[Contract]] = {}
        self._seen: set[tuple[str, int]] = set()
        self._rows: dict[tuple[str, int, str], int] = {}
        self._told = False

    def take(self, module: LightningModule, batch: Any, loader: int) -> Any:
        """Returns the batch that a step gets.

        Args:
            module: whose step it is.
            batch: as data module or loader gave it, on the device.
            loader: number of the loader.

        Raises:
            ValueError: the first batch of a loader is not what the step's annotation says, or lacks labels that the
                module needs; or rows are not numbered, and several processes have a part of them each.
        """
        trainer: Any = module.trainer
        stage = trainer.state.stage.dataloader_prefix
        if stage not in self._contracts:
            self._contracts[stage] = contracts_of(type(module), stage)
        contracts = self._contracts[stage]
        if contracts and not isinstance(batch, Mapping):
            batch = self._named(batch, contracts[0])
        first = (stage, loader) not in self._seen
        if stage == "train" and not first:
            return batch
        contract = closest(contracts, batch) if contracts else None

        if first:
            self._seen.add((stage, loader))
            if stage == "train":
                check_batch(module, batch)
                check_keys(module, batch)
            if contract is not None:
                dtype = trainer.precision_plugin.convert_input(torch.zeros(())).dtype
                contract.check(batch, sizes=sizes_of(module), dtype=dtype)
                for doubt in contract.doubts(batch) if stage == "train" else ():
                    rank_zero_warn(doubt)
        if contract is None or stage == "train":
            return batch
        return self._numbered(trainer, batch, contract, stage, loader)

    def _named(self, batch: Any, contract: Contract) -> Any:
        """Tuples (x, y) of torch's data sets, or x alone, as a dict; anything else as it is."""
        pair = next((pair for pair in PAIRS if all(key in contract.specs for key in pair)), None)
        parts = (batch,) if isinstance(batch, Tensor) else batch
        if pair is None or not isinstance(parts, list | tuple) or not 1 <= len(parts) <= len(pair):
            return batch
        named = dict(zip(pair, parts, strict=False))
        if not self._told:
            self._told = True
            rank_zero_info(f"The loader's {type(batch).__name__}s are taken as {listed([*named])} of {contract.name}.")
            first = parts[0]
            if isinstance(first, Tensor) and first.is_floating_point() and first.min() >= 0 and first.max() <= 1:
                rank_zero_warn(
                    f"{pair[0]} of the first batch lies in [0, 1], pictures of {contract.name} in [-1, 1]: scale it by "
                    "`2 * x - 1` (`Normalize(0.5, 0.5)` after `ToTensor()`)."
                )
        return named

    def _numbered(self, trainer: Any, batch: Any, contract: Contract, stage: str, loader: int) -> Any:
        """Rows that a loader of evaluation or prediction does not number, in the order in which they come."""
        if trainer._active_loop.batch_progress.current.ready == 0:  # every evaluation numbers anew
            self._rows.clear()
        added = {}
        for key, spec in contract.specs.items():
            if spec is None or not key.startswith("index") or key in batch:
                continue
            of = [name for name, one in contract.specs.items() if one is not None and one.letters[0] == spec.letters[0]]
            rows: Tensor | None = next((batch[name] for name in of if name in batch), None)
            if rows is None:  # a side that this batch has not
                continue
            if trainer.world_size > 1:
                raise ValueError(
                    f"{contract.name} wants {key} {spec}, the row in its split: each of {trainer.world_size} processes "
                    f"has a part of the rows, so give every {stage} batch its {key}, or take one process."
                )
            place = (stage, loader, key)
            start = self._rows.get(place, 0)
            self._rows[place] = start + len(rows)
            added[key] = torch.arange(start, start + len(rows), device=rows.device)
        return {**batch, **added} if added else batch
