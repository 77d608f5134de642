"""Any `transformers` image backbone: pre-trained or not, frozen or not, rebuilt without the Hub."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, ConvNextConfig, ResNetConfig, ViTConfig

from lhy_lightning import ImageClassifier
from lhy_lightning.cnn.backbone import TransformersClassifier, backbone_settings
from tests.cnn.pictures_to_fit import fit

CONFIGS = {
    "resnet": ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
    "convnext": ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, patch_size=2),
    "vit": ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=8, patch_size=4
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(CONFIGS["resnet"], tmp_path / "backbone")


def save(config: Any, folder: Path) -> Path:
    torch.manual_seed(1)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", CONFIGS)
def test_every_kind_gives_logits_from_grey_and_colour(name: str, tmp_path: Path) -> None:
    folder = str(save(CONFIGS[name], tmp_path))
    for channels in (1, 3):
        shape: dict[str, Any] = {"channels": channels, "image_size": (8, 8)}
        settings = backbone_settings(folder, pretrained=True, **shape)
        network = TransformersClassifier(settings, 5, weights=folder, **shape)
        assert network(torch.randn(2, channels, 8, 8)).shape == (2, 5)


def test_pictures_come_to_the_backbones_mean_and_deviation(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(
        '{"image_processor_type": "ViTImageProcessor", "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}'
    )
    shape: dict[str, Any] = {"channels": 3, "image_size": (8, 8)}
    network = TransformersClassifier(backbone_settings(str(folder), pretrained=True, **shape), 2, **shape)
    seen = []
    network.backbone.register_forward_pre_hook(lambda m, a, k: seen.append(k["pixel_values"]), with_kwargs=True)
    network.eval()(torch.ones(1, 3, 8, 8))
    assert torch.equal(seen[0], torch.full((1, 3, 8, 8), 2.0))  # (1 - 0.5) / 0.25


def test_pretrained_weights_are_taken_and_the_checkpoint_needs_neither_folder_nor_hub(
    folder: Path, tmp_path: Path
) -> None:
    module = ImageClassifier(backbone=str(folder), lr=0.01, backbone_lr=0.001)
    trainer = fit(module, tmp_path, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    shutil.rmtree(folder)
    again = ImageClassifier.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).eval()
    image = torch.rand(2, 1, 8, 8)
    assert torch.equal(again(image), module.eval()(image))
    assert isinstance(again.hparams["backbone_config"], str)


def test_weights_start_from_the_folder_or_from_chance(folder: Path) -> None:
    sizes: dict[str, Any] = {"num_classes": 2, "image_size": (8, 8), "channels": 3}
    published = AutoModel.from_pretrained(folder).state_dict()

    def same(**arguments: Any) -> bool:
        network: Any = ImageClassifier(backbone=str(folder), **sizes, **arguments).network
        weights = network.backbone.state_dict()
        return all(torch.equal(weights[name], value) for name, value in published.items())

    assert same()
    assert not same(pretrained=False)


def test_from_scratch_the_backbone_takes_the_pictures_channels(folder: Path) -> None:
    module = ImageClassifier(backbone=str(folder), pretrained=False, num_classes=2, image_size=(8, 8), channels=1)
    network: Any = module.network
    assert network.takes == 1


def test_head_and_backbone_have_their_own_rates(folder: Path, tmp_path: Path) -> None:
    module = ImageClassifier(backbone=str(folder), lr=0.5, backbone_lr=0.01, schedule="constant")
    trainer = fit(module, tmp_path, max_epochs=1)
    rates: dict[float, int] = {}
    for group in trainer.optimizers[0].param_groups:
        rates[group["lr"]] = rates.get(group["lr"], 0) + sum(p.numel() for p in group["params"])
    network: Any = module.network
    head = sum(p.numel() for p in network.head.parameters())
    assert rates == {0.5: head, 0.01: sum(p.numel() for p in network.parameters()) - head}


def test_a_frozen_backbone_does_not_move_nor_do_its_statistics(folder: Path, tmp_path: Path) -> None:
    before = AutoModel.from_pretrained(folder).state_dict()
    module = ImageClassifier(backbone=str(folder), freeze_backbone=True, lr=0.1)
    fit(module, tmp_path, max_epochs=1)
    network: Any = module.network
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_pictures_that_a_backbone_does_not_take_are_refused_with_their_size(tmp_path: Path) -> None:
    folder = str(save(CONFIGS["vit"], tmp_path))
    with pytest.raises(ValueError, match="does not take pictures of 3x12x12"):
        ImageClassifier(backbone=folder, num_classes=2, image_size=(12, 12), channels=3)
    with pytest.raises(ValueError, match="takes pictures of 3 channels, the data has 4"):
        ImageClassifier(backbone=folder, num_classes=2, image_size=(8, 8), channels=4)
