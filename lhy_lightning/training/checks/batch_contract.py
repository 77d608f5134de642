"""A contract of batches: a TypedDict whose tensors have a `Spec`, and what to change of a batch that breaks it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any, Self, get_args, get_type_hints

import torch
from torch import Tensor

from lhy_lightning.core.messages import listed
from lhy_lightning.core.tensor_spec import Spec, dtype_name

CASTS = {torch.int64: "long", torch.float32: "float", torch.bool: "bool"}
"""Methods that make the dtypes of contracts."""

PICTURES: tuple[float, float] = (-1, 1)
"""The values of pictures in every contract."""

ROUNDING = 1e-3
"""How far values may lie outside their range."""

STANDARDISED = 20.0
"""How far from zero pictures may lie that were divided by a deviation; they can be trained on."""


@dataclass(frozen=True)
class Contract:
    """What a TypedDict says of a batch.

    Attributes:
        name: of the TypedDict.
        specs: its keys in order, with what the tensors are.
        required: keys that every batch has.
    """

    name: str
    specs: Mapping[str, Spec | None]
    required: frozenset[str]

    @classmethod
    def of(cls, batch: Any) -> Self:
        specs: dict[str, Spec | None] = {}
        for key, hint in get_type_hints(batch, include_extras=True).items():
            inner = hint if hasattr(hint, "__metadata__") else next(iter(get_args(hint)), hint)  # of NotRequired[…]
            specs[key] = next((one for one in getattr(inner, "__metadata__", ()) if isinstance(one, Spec)), None)
        return cls(batch.__name__, specs, batch.__required_keys__)

    def check(self, batch: Any, *, sizes: Mapping[str, int], dtype: torch.dtype) -> None:
        """Checks a batch.

        Args:
            batch: of a loader.
            sizes: axes that the networks are built for.
            dtype: what the Trainer's precision makes of float32.

        Raises:
            ValueError: says what was wanted, what was got, and what to change.
        """
        if not isinstance(batch, Mapping):
            raise ValueError(f"{self._wants(batch)}; got {described(batch)}: give a dict.")
        mends = [f"{key} is missing" for key in self.specs if key in self.required and key not in batch]
        known = dict(sizes)
        for key, spec in self.specs.items():
            if key in batch and spec is not None:
                mends += mends_of(key, batch[key], spec, known, dtype)
        if mends:
            got = listed(f"{key} {described(value, self.specs.get(key))}" for key, value in batch.items())
            raise ValueError(f"{self._wants(batch)}; got {got or 'nothing'}: {'; '.join(mends)}.")

    def doubts(self, batch: Mapping[str, Any]) -> Iterator[str]:
        """What of a batch that may be trained on looks as if it were not meant."""
        for key, spec in self.specs.items():
            value = batch.get(key)
            if spec is None or spec.within != PICTURES or not isinstance(value, Tensor):
                continue
            if (ends := ends_outside(value, PICTURES)) is not None:
                yield (
                    f"{key} of the first batch lies in [{ends[0]:.4g}, {ends[1]:.4g}], as by the mean and deviation of "
                    f"a data set; pictures of {self.name} lie in [-1, 1], and so do those that generators draw and "
                    "that files are scaled to: `Normalize(0.5, 0.5)` after `ToTensor()` gives these."
                )

    def _wants(self, batch: Any) -> str:
        there = {*self.required, *(batch if isinstance(batch, Mapping) else ())}
        named = [f"{key} {spec}" for key, spec in self.specs.items() if key in there and spec is not None]
        return f"{self.name} wants {listed(named) or ' or '.join(self.specs)}"


def described(value: Any, spec: Spec | None = None) -> str:
    """Shape and dtype of a tensor, and its range where `spec` has one; of anything else its type."""
    if not isinstance(value, Tensor):
        parts = f" of {len(value)}" if isinstance(value, list | tuple) else ""
        return f"a {type(value).__name__}{parts}"
    within = ""
    if spec is not None and spec.within is not None and value.numel() and not value.is_complex():
        low, high = value.aminmax()
        within = f" in [{low.item():.4g}, {high.item():.4g}]"
    return f"{tuple(value.shape)} {dtype_name(value.dtype)}{within}"


def mends_of(key: str, value: Any, spec: Spec, known: dict[str, int], dtype: torch.dtype) -> Iterator[str]:
    """What to change of a tensor that is not as `spec` says; sizes of its axes are added to the `known` ones."""
    if not isinstance(value, Tensor):
        yield f"{key} is no tensor"
        return
    taken = {dtype if one == torch.float32 else one for one in spec.dtypes}
    if spec.within == PICTURES and value.dtype == torch.uint8:
        yield f"scale {key} by `x.float() / 127.5 - 1`"
    elif value.dtype not in taken:
        yield f"make {key} {dtype_name(spec.dtypes[0])} by `{key}.{CASTS[spec.dtypes[0]]}()`"
    elif spec.within is not None:
        yield from _mend_of_values(key, value, spec.within)
    yield from _mends_of_axes(key, value, spec.letters, known)


def ends_outside(value: Tensor, within: tuple[float, float]) -> tuple[float, float] | None:
    """Least and greatest value where one lies outside of `within`; None where none does, or there is no number."""
    if not value.numel():
        return None
    low, high = (float(end) for end in value.aminmax())
    if isnan(low) or (low >= within[0] - ROUNDING and high <= within[1] + ROUNDING):  # losses tell what is no number
        return None
    return low, high


def _mend_of_values(key: str, value: Tensor, within: tuple[float, float]) -> Iterator[str]:
    if (ends := ends_outside(value, within)) is None:
        return
    low, high = ends
    if within == PICTURES and low >= 0 and high > 2:
        yield f"scale {key} by `x.float() / 127.5 - 1`"
    elif not (within == PICTURES and max(-low, high) <= STANDARDISED):  # which are told of: `doubts`
        how = " by `Normalize(0.5, 0.5)` after `ToTensor()`" if within == PICTURES else ""
        yield f"bring {key} into [{within[0]:g}, {within[1]:g}]{how}"


def _mends_of_axes(key: str, value: Tensor, letters: list[str], known: dict[str, int]) -> Iterator[str]:
    shape = tuple(value.shape)
    if len(shape) != len(letters):
        grey = " (grey pictures: `x[:, None]`)" if len(shape) == 3 and len(letters) == 4 else ""
        classes = " (one column a class: `y.argmax(1)`)" if len(shape) == 2 and key.endswith("label") else ""
        yield f"{key} has {len(shape)} axes instead of {len(letters)}{grey}{classes}"
        return
    sizes = dict(zip(letters, shape, strict=True))
    channels = next((letter for letter in ("C", "D") if letter in sizes), None)
    if channels is not None and known.get(channels) not in (None, shape[1]) and shape[3] == known[channels]:
        yield f"put the channels of {key} before height and width: `x.permute(0, 3, 1, 2)`"
        return
    if channels is not None and known.setdefault(channels, shape[1]) != shape[1]:
        yield f"{key} has {shape[1]} channels instead of {known[channels]}"
    if "H" in sizes and (known.setdefault("H", shape[2]), known.setdefault("W", shape[3])) != shape[2:]:
        yield f"{key} is {shape[2]} x {shape[3]} instead of {known['H']} x {known['W']}"
    for letter, size in sizes.items():
        if letter not in "CDHW" and known.setdefault(letter, size) != size:
            yield f"{key} has {size} in {letter}, others have {known[letter]}"
