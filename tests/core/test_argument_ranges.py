"""Every number and every name that a public class takes is checked by it, before anything is built or read."""

import inspect
import math
from typing import Any, get_type_hints

import numpy as np
import pytest

import lhy_lightning
from lhy_lightning.core.arguments.ranges import (
    Names,
    Range,
    Taken,
    arguments_of,
    check_arguments,
    check_number,
    taken_by,
)
from lhy_lightning.data.base import CourseDataModule
from lhy_lightning.training.module import CourseModule
from tests import public_names

CLASSES = [pytest.param(cls, id=name) for name, cls in {**public_names.MODULES, **public_names.DATA_MODULES}.items()]
NUMBERS = (-1, 0, 1, 2, 0.5, 2.5, 1000, 1e9)


def refused(cls: type, **arguments: Any) -> str:
    with pytest.raises(ValueError) as raised:
        cls(**arguments)
    return str(raised.value)


def as_given(taken: Taken, number: Any) -> Any:
    """A number as this argument takes it: alone, or in a list."""
    return number if taken.numbers else (number,) * (taken.length or 1)


@pytest.mark.parametrize("cls", CLASSES)
def test_numbers_have_a_range_or_a_reason_and_are_held_to_it(cls: type) -> None:
    for name, (taken, allowed) in arguments_of(cls).items():
        if not (taken.numbers or taken.items):
            continue
        assert isinstance(allowed, Range), f"say what {cls.__name__}.{name} may be in `argument_ranges`"
        assert not allowed.holds(-1) or allowed.note, f"say why {name} may be any number"
        whole = "whole" in (taken.numbers, taken.items)
        for number in (math.nan, math.inf, -math.inf, *NUMBERS):
            if not allowed.holds(number) or (whole and not float(number).is_integer()):
                said = refused(cls, **{name: as_given(taken, number)})
                assert said.startswith(f"{name}="), said
                assert str(number) in said
                assert "\n" not in said
        assert refused(cls, **{name: as_given(taken, "many")}).startswith(f"{name}=")


@pytest.mark.parametrize("cls", CLASSES)
def test_unknown_names_are_refused_and_known_ones_listed(cls: type) -> None:
    for name, (taken, allowed) in arguments_of(cls).items():
        known = allowed.known if isinstance(allowed, Names) else taken.names or taken.of_list
        names = [each for each in known if isinstance(each, str)]
        if names and (isinstance(allowed, Names) or not taken.other):
            wrong = f"{names[-1]}x"
            said = refused(cls, **{name: [wrong] if taken.of_list else wrong})
            assert f"{name} is one of {', '.join(map(str, known))}, not {wrong!r}: did you mean " in said


@pytest.mark.parametrize("cls", CLASSES)
def test_defaults_are_within_their_ranges_and_annotations_can_be_read(cls: type) -> None:
    for base in cls.__mro__:
        if issubclass(base, CourseModule | CourseDataModule) and "__init__" in base.__dict__:
            assert get_type_hints(base.__init__)
            parameters = inspect.signature(base.__init__).parameters.values()
            check_arguments(cls, (), {p.name: p.default for p in parameters if p.default is not p.empty})


@pytest.mark.parametrize("cls", CLASSES)
def test_every_declared_range_is_of_an_argument(cls: type) -> None:
    bases = [base for base in cls.__mro__ if "argument_ranges" in base.__dict__ and "__init__" in base.__dict__]
    declared = {argument for base in bases for argument in base.__dict__["argument_ranges"]}
    assert declared <= set(arguments_of(cls))


def test_positional_arguments_and_numpy_numbers_are_numbers_too() -> None:
    said = refused(lhy_lightning.ImageDataModule, batch_size=np.int64(0))
    assert said == "batch_size=0: must be at least 1."
    check_number("lr", np.float32(0.1), Range(above=0))
    with pytest.raises(ValueError, match=r"lr=True: must be a number"):
        check_number("lr", True, Range(above=0))


def test_a_subclass_of_ones_own_is_held_to_the_ranges_of_its_base_and_to_its_own() -> None:
    class Own(lhy_lightning.ImageClassifier):
        argument_ranges = {"depth_of_mine": Range(at_least=2)}  # noqa: RUF012

        def __init__(self, *, depth_of_mine: int = 2, **arguments: Any) -> None:
            raise AssertionError("nothing is built")

    assert refused(Own, depth_of_mine=1) == "depth_of_mine=1: must be at least 2."
    assert refused(Own, lr=0.0) == "lr=0.0: must be above 0."
    assert refused(Own, image_size=(8, 0)) == "image_size=(8, 0): must be at least 1."
    assert refused(Own, image_size=(8, 8, 8)) == "image_size=(8, 8, 8): must be 2 numbers."


def test_annotations_are_read_as_numbers_lists_and_names() -> None:
    assert taken_by(int | tuple[int, int] | None) == Taken(numbers="whole", items="whole", length=2, none=True)
    assert taken_by(tuple[float, ...]) == Taken(items="any")
    assert taken_by(str | None) == Taken(other=True, none=True)
