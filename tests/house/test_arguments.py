"""No class has more constructor arguments of its own than are good, but those listed with a reason."""

import pytest

from tests.house.arguments import ARGUMENTS, MORE, own_arguments, too_many, with_bases
from tests.public_names import CLASSES


class Base:
    __module__ = "lhy_lightning.somewhere"

    def __init__(self, *, rate: float = 0.5, name: str = "a") -> None: ...


class HandsOn(Base):
    __module__ = "lhy_lightning.somewhere"

    def __init__(self, source: str, *, rate: float = 0.25, **arguments: str) -> None: ...


class TakesAll(Base):
    __module__ = "lhy_lightning.somewhere"

    def __init__(self, source: str, *, rate: float = 0.25) -> None: ...


class Inherits(HandsOn):
    __module__ = "lhy_lightning.somewhere"


def test_arguments_that_a_base_takes_too_are_not_a_classs_own() -> None:
    assert own_arguments(HandsOn) == ["source"]
    assert own_arguments(Base) == ["rate", "name"]
    assert own_arguments(Inherits) == []


def test_arguments_that_are_not_handed_on_are_a_classs_own() -> None:
    assert own_arguments(TakesAll) == ["source", "rate"]


def test_bases_in_the_package_are_counted_by_themselves() -> None:
    assert with_bases([Inherits, Base]) == [Inherits, HandsOn, Base]


def test_too_many_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.house.arguments.ARGUMENTS", 1)
    assert too_many([Inherits]) == {"Base": ["rate", "name"]}


def test_only_listed_classes_have_more_arguments_of_their_own() -> None:
    found = {name: len(own) for name, own in too_many(CLASSES.values()).items()}
    assert found == {name: number for name, (number, _) in MORE.items()}, f"at most {ARGUMENTS}, or a reason in MORE"


@pytest.mark.parametrize("name", MORE)
def test_the_list_says_why(name: str) -> None:
    assert len(MORE[name][1].split()) > 5
