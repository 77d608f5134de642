"""Ranges of constructor arguments: declared beside them, checked by the base classes before anything is built.

A class says in `argument_ranges` what each of its numbers may be, and names out of a set that its annotations do not
list. Names in `Literal` annotations need no entry. What holds of the same argument everywhere stands in `SHARED`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from inspect import Parameter
from math import isfinite
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from lhy_lightning.core.arguments.signatures import constructor_arguments


@dataclass(frozen=True)
class Range:
    """What numbers an argument takes, each number of a list alike.

    Attributes:
        at_least, above, at_most, below: ends of the range.
        empty: whether a list may have no number at all.
        note: ends the message, such as what None stands for, or why any number is meant.
        said: the message's words where those made of the ends would say less.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    empty: bool = True
    note: str = ""
    said: str = ""

    def holds(self, number: float) -> bool:
        """Whether a number is finite and within the ends."""
        return (
            isfinite(number)
            and (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
            and (self.at_most is None or number <= self.at_most)
            and (self.below is None or number < self.below)
        )

    def __str__(self) -> str:
        return self.said or ", ".join(filter(None, (self._ends(), self.note if self._bounded else "")))

    @property
    def _bounded(self) -> bool:
        return any(end is not None for end in (self.at_least, self.above, self.at_most, self.below))

    def _ends(self) -> str:
        if self.at_least is not None and self.at_most is not None:
            return f"must lie between {self.at_least:g} and {self.at_most:g}"
        if self.above is not None and self.below is not None:
            return f"must lie between {self.above:g} and {self.below:g}, both excluded"
        ends = {"at least": self.at_least, "above": self.above, "at most": self.at_most, "below": self.below}
        said = [f"{word} {end:g}" for word, end in ends.items() if end is not None]
        return f"must be {' and '.join(said)}" if said else "must be a finite number"


@dataclass(frozen=True)
class Names:
    """Names out of a set, of an argument whose annotation says `str` only.

    Attributes:
        known: the names.
        any_case: whether capitals are taken too.
    """

    known: tuple[str, ...]
    any_case: bool = False


def any_number(why: str) -> Range:
    """Every finite number means something, for a reason."""
    return Range(note=why)


def ranges(**of: Range | Names) -> Mapping[str, Range | Names]:
    """Ranges by the names of arguments, for `argument_ranges` of a class."""
    return of


COUNT = Range(at_least=1)
NOT_NEGATIVE = Range(at_least=0, said="must not be negative")
POSITIVE = Range(above=0)
SHARE = Range(at_least=0, at_most=1)
BELOW_ONE = Range(at_least=0, below=1)
SHARE_OF_STEPS = Range(at_least=0, below=1, said="a share of the steps in [0, 1)")
GREY_OR_COLOUR = Range(said="pictures are grey (1) or colour (3)")
CLIP = Range(above=0, note="or None for no clipping")
SIZES = Range(at_least=1, empty=False)

MOST_WORKERS = max(64, 8 * (os.cpu_count() or 1))
"""More processes make no batch sooner, and a slip of the keyboard would start them all."""

SHARED: dict[str, Range | Names] = {
    "lr": POSITIVE,
    "weight_decay": NOT_NEGATIVE,
    "momentum": BELOW_ONE,
    "betas": BELOW_ONE,
    "warmup_steps": NOT_NEGATIVE,
    "final_lr_factor": SHARE,
    "dropout": BELOW_ONE,
    "label_smoothing": BELOW_ONE,
    "ema_decay": BELOW_ONE,
    "width": COUNT,
    "layers": COUNT,
    "heads": COUNT,
    "feedforward": COUNT,
    "num_classes": NOT_NEGATIVE,
    "image_size": COUNT,
    "channels": COUNT,
    "input_channels": COUNT,
    "target_channels": COUNT,
    "plot_every_n_steps": NOT_NEGATIVE,
    "plot_every_n_validations": NOT_NEGATIVE,
    "batch_size": COUNT,
    "eval_batch_size": COUNT,
    "max_tokens": COUNT,
    "max_length": COUNT,
    "steps_per_epoch": COUNT,
    "num_workers": Range(
        at_least=0,
        at_most=MOST_WORKERS,
        said=f"must be at least 0 and at most {MOST_WORKERS}, as each is a process of its own",
    ),
    "cache_limit_gb": NOT_NEGATIVE,
    "load_size": COUNT,
    "val_fraction": BELOW_ONE,
    "test_fraction": BELOW_ONE,
    "split_seed": Range(at_least=0, below=2**32),
    "horizontal_flip": SHARE,
    "vertical_flip": SHARE,
    "vocab_size": COUNT,
    "bucket_batches": NOT_NEGATIVE,
    "pad_to_multiple": COUNT,
}


@dataclass(frozen=True)
class Taken:
    """What an annotation takes, as far as it is numbers and names.

    Attributes:
        numbers: "whole", "any" or "" for none.
        items: the same of a list.
        lengths: numbers in that list, if fixed.
        names: of a `Literal`, and of the switches of a bool.
        of_list: names in a list of a `Literal`.
        none: None is taken.
        other: something else is taken too, which is not checked.
    """

    numbers: Literal["whole", "any", ""] = ""
    items: Literal["whole", "any", ""] = ""
    length: int | None = None
    names: tuple[Any, ...] = ()
    of_list: tuple[Any, ...] = ()
    none: bool = False
    other: bool = False


def taken_by(annotation: Any) -> Taken:
    """What an evaluated annotation takes."""
    found: dict[str, Any] = {"names": (), "of_list": ()}
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    for member in members:
        if member is NoneType:
            found["none"] = True
        elif member in (int, float):
            found["numbers"] = "any" if float in (member, *members) else "whole"
        elif member is bool:
            found["names"] += (True, False)
        elif get_origin(member) is Literal:
            found["names"] += get_args(member)
        elif get_origin(member) in (tuple, list):
            items = [item for item in get_args(member) if item is not Ellipsis]
            if items and items[0] in (int, float):
                found["items"] = "whole" if items[0] is int else "any"
                found["length"] = None if Ellipsis in get_args(member) else len(items)
            elif items and get_origin(items[0]) is Literal:
                found["of_list"] += get_args(items[0])
            else:
                found["other"] = True
        else:
            found["other"] = True
    return Taken(**found)


def check_name(argument: str, value: object, known: Iterable[Any], *, any_case: bool = False) -> None:
    """Refuses a name that is none of those known.

    Raises:
        ValueError: names argument and value, what is known and which of it is nearest.
    """
    known = tuple(known)
    plain = value.lower() if any_case and isinstance(value, str) else value
    if any(plain == name and type(plain) is type(name) for name in known):
        return
    near = get_close_matches(str(plain), [name for name in known if isinstance(name, str)], n=1)
    hint = f": did you mean {near[0]!r}?" if near else "."
    raise ValueError(f"{argument} is one of {', '.join(map(str, known))}, not {value!r}{hint}")


def check_number(argument: str, value: object, allowed: Range, *, whole: bool = False, given: object = None) -> None:
    """Refuses what is no number, NaN, infinity, and a number out of its range.

    Args:
        argument: its name.
        value: what was given, or one number of it.
        allowed: its range.
        whole: whether it has to be an integer.
        given: the list that the value is of.

    Raises:
        ValueError: names argument, value and range.
    """
    said = f"{argument}={value if given is None else given}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{argument}={value!r}: must be a number." if given is None else f"{said}: must be numbers.")
    if not allowed.holds(float(value)):
        raise ValueError(f"{said}: {allowed}.")
    if whole and not isinstance(value, Integral):
        raise ValueError(f"{said}: must be a whole number.")


def check_argument(argument: str, value: object, taken: Taken, allowed: Range | Names | None) -> None:
    """Refuses a value that the annotation or the declared range does not take.

    Raises:
        ValueError: see `check_number` and `check_name`.
    """
    if value is None or taken == Taken():
        return
    if isinstance(allowed, Names):
        check_name(argument, value, allowed.known, any_case=allowed.any_case)
    elif isinstance(value, list | tuple):
        if taken.of_list:
            for name in value:
                check_name(argument, name, taken.of_list)
        elif taken.items:
            _check_list(argument, value, taken, allowed or Range())
        elif not taken.other:
            raise ValueError(f"{argument}={value}: must be one value, not a list.")
    elif taken.names and (not taken.numbers or isinstance(value, str | bool)) and not taken.other:
        if isinstance(allowed, Range) and isinstance(taken.names[0], int) and value not in taken.names:
            raise ValueError(f"{argument}={value}: {allowed}.")
        check_name(argument, value, taken.names)
    elif taken.numbers and not taken.other:
        check_number(argument, value, allowed or Range(), whole=taken.numbers == "whole")
    elif taken.items and not taken.numbers and not taken.other:
        raise ValueError(f"{argument}={value!r}: must be a list of numbers.")


def _check_list(argument: str, values: list[Any] | tuple[Any, ...], taken: Taken, allowed: Range) -> None:
    if taken.length is not None and len(values) != taken.length:
        raise ValueError(f"{argument}={tuple(values)}: must be {taken.length} numbers.")
    if not values and not allowed.empty:
        raise ValueError(f"{argument}={tuple(values)}: must be at least one number.")
    for value in values:
        check_number(argument, value, allowed, whole=taken.items == "whole", given=tuple(values))


@cache
def arguments_of(cls: type) -> Mapping[str, tuple[Taken, Range | Names | None]]:
    """Constructor arguments of a class in order, those that it hands on to its bases behind its own.

    An argument that a class declares again has the nearest class's annotation and range.
    """
    ranges: dict[str, Range | Names] = dict(SHARED)
    for base in reversed(cls.__mro__):
        ranges |= base.__dict__.get("argument_ranges", {})
    return {
        name: (
            Taken(other=True) if annotation is Parameter.empty or isinstance(annotation, str) else taken_by(annotation),
            ranges.get(name),
        )
        for name, annotation in constructor_arguments(cls).items()
    }


def check_arguments(cls: type, positional: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Checks what a class is about to be made from; defaults are right, which is tested.

    Raises:
        ValueError: a number is out of range, or a name unknown; see `check_number` and `check_name`.
    """
    declared = arguments_of(cls)
    for name, value in (*zip(declared, positional, strict=False), *named.items()):
        if name in declared:
            check_argument(name, value, *declared[name])
