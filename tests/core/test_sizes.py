"""One number is taken for a size of square images everywhere, and is recorded as height and width."""

import pytest
import torch

import lhy_lightning
from lhy_lightning import VGG, PrincipalComponents, ResNet
from lhy_lightning.core.arguments.signatures import constructor_arguments
from lhy_lightning.core.sizes import height_and_width
from tests.public_names import DATA_MODULES, MODULES
from tests.smallest_data import DATA
from tests.smallest_modules import SETTINGS

IMAGE_MODULES = [name for name, cls in MODULES.items() if "image_size" in constructor_arguments(cls)]
IMAGE_DATA = [name for name, cls in DATA_MODULES.items() if "image_size" in constructor_arguments(cls)]
BY_DATA = {type(make()).__name__: make for make in DATA.values()}


def test_a_number_is_a_square() -> None:
    assert height_and_width(32) == (32, 32)
    assert height_and_width([28, 40]) == (28, 40)
    assert height_and_width(None) is None


def test_sizes_of_three_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="too many values"):
        height_and_width([1, 28, 28])


@pytest.mark.parametrize("name", IMAGE_MODULES)
def test_a_module_takes_one_number_and_records_height_and_width(name: str) -> None:
    settings = SETTINGS[name]()
    side = settings["image_size"][0]
    module = getattr(lhy_lightning, name)(**{**settings, "image_size": side})
    assert module.image_size == module.hparams["image_size"] == (side, side)
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    pair = getattr(lhy_lightning, name)(**settings)
    assert shapes == {key: value.shape for key, value in pair.state_dict().items()}


@pytest.mark.parametrize("name", IMAGE_MODULES)
def test_the_size_of_a_module_may_be_left_out(name: str) -> None:
    settings = {key: value for key, value in SETTINGS[name]().items() if key != "image_size"}
    module = getattr(lhy_lightning, name)(**settings)
    assert module.image_size is module.hparams["image_size"] is None


@pytest.mark.parametrize("name", IMAGE_DATA)
def test_a_data_module_takes_one_number_and_records_height_and_width(name: str) -> None:
    given = {**BY_DATA[name]().hparams, "image_size": 12}
    data = DATA_MODULES[name](**given)
    assert data.hparams["image_size"] == (12, 12)
    data.setup("fit")  # type: ignore[attr-defined]
    assert data.image_size == data.hparams["image_size"] == (12, 12)  # type: ignore[attr-defined]


def test_networks_take_one_number() -> None:
    images = torch.zeros(2, 1, 32, 32)
    for network in (VGG(3, channels=1, image_size=32, width=2), ResNet(3, channels=1, image_size=32, width=2)):
        assert network(images).shape == (2, 3)
    assert PrincipalComponents(2, image_size=32, channels=1).shape == (1, 32, 32)
