"""When a module's networks are built: with it, or once the data has told what the arguments left out."""

from collections.abc import Sequence
from typing import Any

from lhy_lightning.core.messages import listed
from lhy_lightning.core.plain_values import as_tuple
from lhy_lightning.training.hub import HubModule


class BuiltModule(HubModule):
    """A module whose networks are built in its constructor or, where sizes were left out, in `setup`."""

    built_from: tuple[str, ...] = ("image_size", "channels")
    """Arguments that the networks are built from; those that are left out are learned from the data module."""

    def build(self) -> None:
        """Builds the networks, once all of `built_from` is known."""
        raise NotImplementedError(f"{type(self).__name__} does not say what network it has")

    @property
    def is_built(self) -> bool:
        """Whether the networks are there."""
        return getattr(self, "network", None) is not None

    @property
    def is_known(self) -> bool:
        """Whether all is known that the networks are built from."""
        return all(getattr(self, name) is not None for name in self.built_from)

    def build_if_known(self) -> None:
        """At the end of a constructor: builds the networks where the arguments tell all that they are built from."""
        if self.is_known:
            self.build()

    def build_once(self) -> None:
        """In `setup`, when the data has told what it can: builds the networks where they are not there yet.

        Raises:
            ValueError: names what is still not known.
        """
        if self.is_built:
            return
        self.check_known()
        self.build()

    def check_known(self) -> None:
        """Raises ValueError where something is not known that the networks are built from."""
        if not self.is_known:
            names = listed(self.built_from)
            raise ValueError(f"give {type(self).__name__} {names}, or fit it with a data module that tells them")

    def known_sizes(self) -> tuple[Any, ...]:
        """The values of `built_from` in their order, once they are known.

        Raises:
            ValueError: names what is not.
        """
        self.check_known()
        return tuple(getattr(self, name) for name in self.built_from)

    def built(self) -> Any:
        """The network.

        Raises:
            RuntimeError: there is none yet.
        """
        if not self.is_built:
            raise RuntimeError(self.no_network)
        return getattr(self, "network", None)

    @property
    def no_network(self) -> str:
        """What is said where a network is asked for that is not there yet."""
        return f"there is no network yet: give {listed(self.built_from)}, or fit first"

    def set_hparam(self, name: str, value: Any) -> None:
        """Sets an argument that was left out, in the module and in what its checkpoints rebuild it from."""
        setattr(self, name, value)
        self.hparams[name] = value

    def infer_from_datamodule(self, names: Sequence[str], *, equal: Sequence[str]) -> None:
        """Notes what the data module tells of the arguments `names` that were left out, lists as tuples.

        Raises:
            ValueError: one of `equal` was given, and the data module tells another value.
        """
        data = getattr(self.trainer, "datamodule", None)
        for name in names:
            here, there = as_tuple(getattr(self, name)), as_tuple(getattr(data, name, None))
            if here is None and there is not None:
                self.set_hparam(name, there)
            elif there is not None and name in equal and here != there:
                raise ValueError(f"the network was built for {name} {here}, the data has {there}: give both the same")
