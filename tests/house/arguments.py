"""How many constructor arguments a class has of its own, and why some have more than are good."""

import inspect
from collections.abc import Iterable, Mapping

from lhy_lightning.core.arguments.signatures import constructor_arguments

PACKAGE = "lhy_lightning."

ARGUMENTS = 15
"""Arguments of its own a class has at most: those that it declares and hands on to no base."""

MORE: Mapping[str, tuple[int, str]] = {
    "DomainDataModule": (
        23,
        "what is read of either side, how the target is divided and how each side is changed, for this class alone",
    ),
    "ImageDataModule": (
        24,
        "how pictures are read, divided, changed at random and taken unlabelled is a choice each, for this class alone",
    ),
    "Transformer": (
        19,
        "a network of plain torch, built on no other, whose sizes, norms, positions and dropouts are a choice each",
    ),
}
"""Classes with more: how many, and why."""


def own_arguments(cls: type) -> list[str]:
    """Returns the names of the arguments that a class declares, without those that it restates for its bases."""
    init = vars(cls).get("__init__")
    if not inspect.isfunction(init):
        return []
    parameters = list(inspect.signature(init).parameters.values())[1:]
    handed_on = any(one.kind == one.VAR_KEYWORD for one in parameters)
    behind = constructor_arguments(cls, behind=cls) if handed_on else {}
    named = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    return [name for name in named if name not in behind]


def with_bases(classes: Iterable[type]) -> list[type]:
    """Returns classes and those of the package that they are built on, each once."""
    return list(dict.fromkeys(base for cls in classes for base in cls.__mro__ if base.__module__.startswith(PACKAGE)))


def too_many(classes: Iterable[type]) -> dict[str, list[str]]:
    """Returns the arguments of each class that has more than `ARGUMENTS` of its own."""
    found = {cls.__name__: own_arguments(cls) for cls in with_bases(classes)}
    return {name: own for name, own in found.items() if len(own) > ARGUMENTS}
