"""Saved hyperparameters are the constructor's arguments, of every public module and data module."""

import inspect
from collections.abc import Mapping
from typing import Any

import pytest
from lightning.pytorch import LightningDataModule, LightningModule

import lhy_lightning
from lhy_lightning.core.arguments.signatures import constructor_arguments
from lhy_lightning.core.plain_values import plain
from tests.public_names import DATA_MODULES, MODULES
from tests.smallest_modules import SETTINGS

PLAIN = (str, int, float, bool, type(None))
SOURCES: dict[str, dict[str, Any]] = {
    "DomainDataModule": {"source": "embedded:plain_digits", "target": "embedded:photo_digits"},
}
LEARNED = {"encoder_config"}
"""Arguments that a constructor adds where they are left out, as it builds the network at once."""


def given(name: str) -> dict[str, Any]:
    """Arguments by which a public class can be made."""
    if name in MODULES:
        return SETTINGS[name]()
    required = [key for key, value in defaults(DATA_MODULES[name]).items() if value is inspect.Parameter.empty]
    return SOURCES.get(name, dict.fromkeys(required, "somewhere/"))


def made(name: str, arguments: Mapping[str, Any]) -> LightningModule | LightningDataModule:
    one: LightningModule | LightningDataModule = getattr(lhy_lightning, name)(**arguments)
    return one


def defaults(cls: type) -> dict[str, Any]:
    """The constructor's arguments at the default of the nearest class that has them."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            for parameter in inspect.signature(vars(base)["__init__"]).parameters.values():
                found.setdefault(parameter.name, parameter.default)
    return {name: found[name] for name in constructor_arguments(cls)}


def leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in leaves(item)]
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", [*MODULES, *DATA_MODULES])
def test_hyperparameters_are_the_arguments_of_the_constructor_and_nothing_else(name: str) -> None:
    one = made(name, given(name))
    assert set(one.hparams) == set(constructor_arguments(type(one)))


@pytest.mark.parametrize("name", [*MODULES, *DATA_MODULES])
def test_arguments_are_recorded_as_given_or_at_their_defaults(name: str) -> None:
    arguments = given(name)
    expected = defaults(getattr(lhy_lightning, name)) | arguments
    saved = dict(made(name, arguments).hparams)
    known = {key for key, value in expected.items() if value is None} & LEARNED
    assert plain({**saved, **dict.fromkeys(known)}) == plain(expected)


@pytest.mark.parametrize("name", [*MODULES, *DATA_MODULES])
def test_hyperparameters_are_plain_data_and_make_the_same_again(name: str) -> None:
    saved = dict(made(name, given(name)).hparams)
    assert {type(leaf) for leaf in leaves(plain(saved))} <= set(PLAIN)
    assert dict(made(name, saved).hparams) == saved
