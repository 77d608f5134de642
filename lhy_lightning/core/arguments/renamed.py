"""Constructor arguments that have a new name: the old one is taken for one release, with a warning that names the new.

One table for all ways in: Python, flags, YAML files, checkpoints and folders of `save_pretrained`.
"""

import warnings
from abc import ABCMeta
from collections.abc import Mapping
from functools import cache
from inspect import Signature, signature
from typing import Any

from lhy_lightning.core.arguments.signatures import constructor_arguments

RENAMED: Mapping[str, Mapping[str, str]] = {
    "AdversarialModule": {"picture_every": "plot_every_n_steps"},
    "AnomalyDetector": {"latent": "latent_dim", "made_anomalies": "synthetic_anomalies"},
    "AutoEncoder": {"latent": "latent_dim"},
    "BertQuestionAnswering": {"max_answer": "max_answer_length", "max_question": "max_question_length"},
    "ClusterAssumption": {"target_cluster": "target_cluster_weight"},
    "CycleGAN": {"halvings": "downsamplings"},
    "GAN": {"penalty_every": "penalty_every_n_steps"},
    "NoiseModule": {"latent": "latent_dim"},
    "PrincipalComponents": {"latent": "latent_dim"},
    "PseudoLabelClassifier": {"pseudo_weight": "pseudo_label_weight", "relabel_every": "relabel_every_n_epochs"},
    "QuestionAnsweringDataModule": {"max_question": "max_question_length"},
    "ReconstructionModule": {"picture_every": "plot_every_n_validations"},
    "TextTranslator": {"val_beam": "val_beam_size"},
    "VADA": {"source_smoothness": "source_smoothness_weight"},
    "VQVAE": {"start": "codebook_init"},
    "VectorQuantizer": {"start": "codebook_init"},
}
"""By the class that declares the argument, and so for all that are built on it: old name, new name."""

OLD_NAMES = frozenset(old for names in RENAMED.values() for old in names)
REMOVED_IN = "0.2"


def new_names(cls: type) -> dict[str, str]:
    """Returns the new names of a class's arguments by the old ones, without those that it takes itself."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("lhy_lightning."):
            found |= RENAMED.get(base.__name__, {})
    known = constructor_arguments(cls) if found else {}
    return {old: new for old, new in found.items() if old not in known}


def with_new_names(cls: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns arguments of a class by their names of today, in their order.

    What was renamed is told by one warning in a process.

    Raises:
        TypeError: an argument is given by both names.
    """
    if OLD_NAMES.isdisjoint(arguments):
        return dict(arguments)
    names = {old: new for old, new in new_names(cls).items() if old in arguments}
    for old, new in names.items():
        if new in arguments:
            raise TypeError(f"{cls.__name__} is given {old} and {new}, which is its new name: leave {old} out.")
        warn_of_old_name(cls.__name__, old, new)
    return {names.get(name, name): value for name, value in arguments.items()}


@cache
def warn_of_old_name(owner: str, old: str, new: str) -> None:
    """Warns that an argument is called otherwise now."""
    warnings.warn(
        f"{owner}: the argument {old} is called {new} now; the old name is gone in version {REMOVED_IN}.",
        FutureWarning,
        stacklevel=2,
    )


class RenamedArguments(ABCMeta):
    """Metaclass of classes that take their arguments by old names too.

    `__init__` itself cannot be wrapped for it: Lightning's `save_hyperparameters` reads the frames of constructors.
    """

    def __call__(cls, *positional: Any, **arguments: Any) -> Any:
        return super().__call__(*positional, **with_new_names(cls, arguments))

    @property
    def __signature__(cls) -> Signature:
        """That of `__init__`, which `inspect.signature` would not find behind `__call__` above."""
        own = signature(cls.__init__)  # type: ignore[misc]
        return own.replace(parameters=list(own.parameters.values())[1:])
