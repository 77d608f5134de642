"""Arguments that a class hands on to its base: the command line, type checkers and the base say the same of them."""

import inspect
import typing
from typing import TypedDict, is_typeddict

import pytest
from jsonargparse import ArgumentParser

from lhy_lightning.core.arguments.signatures import Unpack, constructor_arguments
from tests.public_names import CLASSES


class BaseArguments(TypedDict, total=False):
    rate: float
    name: str


class Base:
    """A base.

    Args:
        rate: how fast.
        name: what for.
    """

    def __init__(self, *, rate: float = 0.5, name: str = "a") -> None: ...


class HandsOn(Base):
    """A class with another default.

    Args:
        steps: how far.
        arguments: as in `Base`.
    """

    def __init__(  # type: ignore[misc]  # `rate` is restated
        self, *, steps: int = 3, rate: float = 0.25, **arguments: Unpack[BaseArguments]
    ) -> None:
        super().__init__(rate=rate, **arguments)


class Forgets(Base):
    class OldArguments(TypedDict, total=False):
        rate: int
        title: str

    def __init__(self, *, steps: int = 3, **arguments: Unpack[OldArguments]) -> None: ...


def differences(cls: type) -> list[str]:
    """What the TypedDicts of a class and its bases say otherwise than the constructors that take these arguments."""
    found = []
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        unpacked = typing.get_type_hints(init, include_extras=True) if inspect.isfunction(init) else {}
        for hint in unpacked.values():
            if not any(is_typeddict(kind) for kind in getattr(hint, "__metadata__", ())):
                continue
            said = typing.get_type_hints(hint.__metadata__[0])
            taken = constructor_arguments(cls, behind=base)
            found += [f"{base.__name__}: {name}" for name, kind in said.items() if taken.get(name) != kind]
            found += [f"{base.__name__}: {name}" for name in taken if name not in said and name not in unpacked]
    return found


def test_the_command_line_offers_arguments_that_are_handed_on_with_default_and_docstring() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(HandsOn, "it")
    assert parser.get_defaults().as_dict() == {"it": {"steps": 3, "rate": 0.25, "name": "a"}}
    printed = " ".join(parser.format_help().split())
    assert "--it.rate RATE how fast. (type: float, default: 0.25)" in printed
    assert "--it.name NAME what for. (type: str, default: a)" in printed


def test_what_a_typed_dict_says_otherwise_than_the_base_is_found() -> None:
    assert not differences(HandsOn)
    assert differences(Forgets) == ["Forgets: rate", "Forgets: title", "Forgets: name"]


@pytest.mark.parametrize("name", CLASSES)
def test_typed_dicts_name_the_arguments_of_the_base_with_their_types(name: str) -> None:
    assert not differences(CLASSES[name])
