"""The constructor arguments of a class, with those that `**arguments` hands on to its bases, and settings of them."""

import inspect
import typing
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

Settings = TypeVar("Settings")

if TYPE_CHECKING:
    from typing import Unpack as Unpack
else:

    class Unpack:
        """`typing.Unpack` to type checkers and editors, for `**arguments: Unpack[GANArguments]`.

        jsonargparse reads of `typing`'s own the names in the TypedDict alone: `--help` would say neither default nor
        docstring, and a default that is restated would be an option twice. Of any other annotation it finds the
        arguments where they are handed on to.
        """

        def __class_getitem__(cls, arguments: Any) -> Any:
            return Annotated[Any, arguments]


def constructor_arguments(cls: type, *, behind: type | None = None) -> dict[str, Any]:
    """Returns the annotations of the constructor's arguments by name, its own first.

    An argument that a class declares again has the nearest class's annotation. Where only a type checker can resolve
    the annotations, they are as they are written.

    Args:
        cls: the class.
        behind: only what its bases behind this one take, which is what that one's `super().__init__` is handed.
    """
    found: dict[str, Any] = {}
    bases = cls.__mro__ if behind is None else cls.__mro__[cls.__mro__.index(behind) + 1 :]
    for base in bases:
        if "__init__" not in vars(base) or base is object:
            continue
        init = vars(base)["__init__"]
        try:
            hints = typing.get_type_hints(init)
        except (NameError, TypeError, AttributeError):
            hints = getattr(init, "__annotations__", {})
        own = list(inspect.signature(init).parameters.values())[1:]
        for parameter in own:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found.setdefault(parameter.name, hints.get(parameter.name, parameter.annotation))
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in own):
            break
    return found


def takes_named_arguments_alone(cls: type) -> bool:
    """Whether each argument of the constructor has a name, as what it hands on is `Unpack` of a TypedDict."""
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        if init is None or base is object:
            continue
        rest = [p.name for p in inspect.signature(init).parameters.values() if p.kind == p.VAR_KEYWORD]
        if not rest:
            return True
        try:
            handed_on = typing.get_type_hints(init, include_extras=True).get(rest[0])
        except (NameError, TypeError, AttributeError):
            return False
        if not any(map(typing.is_typeddict, getattr(handed_on, "__metadata__", ()))):
            return False
    return True


def settings_of(kind: type[Settings], given: Mapping[str, Any]) -> Settings:
    """A frozen dataclass of the arguments that are called as its fields are; fields without one keep their default."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: given[name] for name in names if name in given})
