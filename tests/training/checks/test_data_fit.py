"""Modules and data modules that go together, over all public ones."""

from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import LightningDataModule, LightningModule

from lhy_lightning.training.checks.data_fit import check_batch, check_data_module
from tests.public_names import DATA_MODULES, MODULES

NO_LABELS_NEEDED = {
    "AnomalyDetector", "AutoEncoder", "VQVAE", "CycleGAN", "Pix2Pix",  # of pictures alone
    "GAN", "WGAN", "WGANGP", "SNGAN", "CodePrior",  # unless they are conditional
    "BertQuestionAnswering", "BleuTranslator", "ScheduledSamplingTranslator", "Translator",  # answers, other side
}  # fmt: skip


def trained_with(module: type, data: object) -> Any:
    """A module as far as the check looks at it."""
    found = module.__new__(module)
    LightningModule.__init__(found)
    found._trainer = SimpleNamespace(datamodule=data, world_size=1)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_a_module_takes_the_data_modules_that_it_names_and_no_other_of_ours(name: str) -> None:
    wanted = MODULES[name].data_modules
    assert wanted
    assert set(wanted) <= set(DATA_MODULES)
    for other, cls in DATA_MODULES.items():
        module = trained_with(MODULES[name], cls.__new__(cls))
        if any(issubclass(cls, DATA_MODULES[one]) for one in wanted):
            check_data_module(module, "test")
        else:
            with pytest.raises(ValueError, match=f"{name} takes batches of .*, not those of {other}: set --data"):
                check_data_module(module, "test")


@pytest.mark.parametrize("name", MODULES)
def test_no_module_that_needs_labels_is_trained_without(name: str) -> None:
    class Unlabelled(LightningDataModule):
        def missing_labels(self) -> str:
            return "none there"

    module = trained_with(MODULES[name], Unlabelled())
    module.condition = "none"
    if name == "CodePrior":
        module.conditional = False
    if name in NO_LABELS_NEEDED:
        check_data_module(module, "fit")
        return
    with pytest.raises(ValueError, match=f"{name} needs labelled pictures.*none there"):
        check_data_module(module, "fit")
    check_data_module(module, "predict")


@pytest.mark.parametrize("name", MODULES)
def test_the_first_batch_of_any_loader_has_labels_where_they_are_needed(name: str) -> None:
    module = trained_with(MODULES[name], None)
    module.condition = "none"
    if name == "CodePrior":
        module.conditional = False
    check_batch(module, {"image": 0, "source_label": 0})
    if name in NO_LABELS_NEEDED:
        check_batch(module, {"image": 0})
        return
    with pytest.raises(ValueError, match=f"{name} needs labels, but a batch of the data holds image, index alone"):
        check_batch(module, {"image": 0, "index": 0})


def test_data_modules_of_other_packages_are_not_asked() -> None:
    for cls in MODULES.values():
        check_data_module(trained_with(cls, LightningDataModule()), "predict")
