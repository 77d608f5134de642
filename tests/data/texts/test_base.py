"""The bases of the data modules of text: what each declares, and what is recorded of what is handed on to them."""

import inspect
from typing import Any

import pytest

from lhy_lightning.core.arguments.signatures import Unpack, constructor_arguments
from lhy_lightning.data.base import CourseDataModule
from lhy_lightning.data.labelled_texts.tagging_data import TaggingDataModule
from lhy_lightning.data.labelled_texts.text_data import TextDataModule
from lhy_lightning.data.questions.question_data import QuestionAnsweringDataModule
from lhy_lightning.data.texts.base import CourseTextDataModule
from lhy_lightning.data.texts.encoder_base import AllEncoderTextArguments, EncoderTextDataModule
from lhy_lightning.data.translation.translation_data import TranslationDataModule

MODULES = (TextDataModule, TaggingDataModule, QuestionAnsweringDataModule, TranslationDataModule)
MOST = 15


def own(cls: type) -> dict[str, inspect.Parameter]:
    """The arguments that the constructor of a class itself names."""
    parameters = inspect.signature(vars(cls)["__init__"]).parameters if "__init__" in vars(cls) else {}
    return {name: found for name, found in parameters.items() if name not in ("self", "arguments")}


def bases(cls: type) -> list[type]:
    """The class and its bases down to the one of all text, the nearest first."""
    return [base for base in cls.__mro__ if issubclass(base, CourseTextDataModule)]


@pytest.mark.parametrize("cls", MODULES)
def test_an_argument_is_restated_only_for_another_default_or_type(cls: type[CourseDataModule]) -> None:
    behind: dict[str, inspect.Parameter] = {}
    for base in reversed(bases(cls)):
        for name, parameter in own(base).items():
            if name in behind and name != "source":  # `source` comes by its place too
                assert (parameter.default, parameter.annotation) != (behind[name].default, behind[name].annotation), (
                    f"{base.__name__} restates {name} as it is"
                )
        behind |= own(base)


@pytest.mark.parametrize("cls", MODULES)
def test_no_class_of_text_data_names_more_arguments_than_can_be_kept_in_mind(cls: type[CourseDataModule]) -> None:
    assert all(len(own(base)) <= MOST for base in bases(cls))


@pytest.mark.parametrize("cls", MODULES)
def test_every_argument_of_text_data_has_a_docstring_in_the_class_that_declares_it(cls: type[CourseDataModule]) -> None:
    declared: set[str] = set()
    for base in reversed(bases(cls)):
        said = inspect.getdoc(base) or ""
        assert not [name for name in own(base) if name not in declared and f"    {name}: " not in said], base.__name__
        declared |= set(own(base))
    assert declared == set(constructor_arguments(cls))


def test_arguments_of_an_own_subclass_are_recorded_with_those_that_it_hands_on() -> None:
    class Own(TextDataModule):
        def __init__(self, source: str = "embedded:reviews", *, more: int = 3, **arguments: Any) -> None:
            super().__init__(source, **arguments)

    data = Own(more=4, batch_size=5, label_column="kind")
    given = {"source": "embedded:reviews", "more": 4, "batch_size": 5, "label_column": "kind", "vocab_size": 8000}
    assert {name: data.hparams[name] for name in given} == given


def test_a_default_that_is_worked_out_is_recorded_as_it_was_given() -> None:
    assert QuestionAnsweringDataModule(batch_size=6).hparams["eval_batch_size"] is None
    assert QuestionAnsweringDataModule(eval_batch_size=2).hparams["eval_batch_size"] == 2


def test_a_base_that_does_not_say_what_a_tokenizer_is_trained_on_names_itself() -> None:
    class Unsaid(EncoderTextDataModule):
        def __init__(self, source: str, **arguments: Unpack[AllEncoderTextArguments]) -> None:
            super().__init__(source, **arguments)

    with pytest.raises(NotImplementedError, match="Unsaid does not say what a tokenizer is trained on"):
        Unsaid("here").training_texts()
