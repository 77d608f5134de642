"""The networks have the parameters, shapes and limits of their papers."""

import pytest
import torch
from torch import nn

from lhy_lightning.cnn.networks import VGG, HomeworkNet, ResNet, network_by_name
from lhy_lightning.cnn.vgg import convolutions_per_stage, stages_for


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (HomeworkNet(11), 4_634_891),
        (HomeworkNet(10, channels=1, image_size=(28, 28)), 504_714),
        (ResNet(10), 272_474),
        (ResNet(10, depth=56), 855_770),
        (VGG(10, channels=1, image_size=(28, 28), depth=4, width=16), 24_058),
    ],
)
def test_parameter_counts_are_the_literal_ones(network: nn.Module, parameters: int) -> None:
    assert count(network) == parameters


@pytest.mark.parametrize(("depth", "parameters"), [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032)])
def test_large_residual_networks_are_the_published_ones(depth: int, parameters: int) -> None:
    with torch.device("meta"):
        network = ResNet(1000, stem="large", depth=depth, width=64, image_size=(224, 224))
    assert count(network) == parameters


def test_the_homework_network_is_the_sample_codes_layer_by_layer() -> None:
    sample = nn.Sequential(
        nn.Sequential(
            nn.Conv2d(3, 64, 3, 1, 1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2, 2, 0),
            nn.Conv2d(64, 128, 3, 1, 1), nn.BatchNorm2d(128), nn.ReLU(), nn.MaxPool2d(2, 2, 0),
            nn.Conv2d(128, 256, 3, 1, 1), nn.BatchNorm2d(256), nn.ReLU(), nn.MaxPool2d(4, 4, 0),
        ),
        nn.Flatten(),
        nn.Sequential(nn.Linear(256 * 8 * 8, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 11)),
    )  # fmt: skip
    network = HomeworkNet().eval()
    network.cnn_layers.load_state_dict(sample[0].state_dict())
    network.fc_layers.load_state_dict(sample[2].state_dict())
    image = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        torch.testing.assert_close(network(image), sample.eval()(image))


def test_saved_weights_of_the_homework_load_with_dropout_too() -> None:
    network = HomeworkNet(11, image_size=(16, 16))
    HomeworkNet(11, image_size=(16, 16), dropout=0.5).load_state_dict(network.state_dict())


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("name", ["vgg", "resnet", "resnet_large", "homework"])
def test_every_network_gives_logits_and_gradients_with_every_norm(name: str, norm: str) -> None:
    size = (32, 36)
    width = None if name == "homework" else 4
    network = network_by_name(name, 5, channels=1, image_size=size, width=width, norm=norm, dropout=0.1)
    logits = network(torch.randn(2, 1, *size))
    assert logits.shape == (2, 5)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_a_residual_network_learns_with_every_norm(norm: str) -> None:
    torch.manual_seed(0)
    network = ResNet(2, channels=1, image_size=(8, 8), depth=8, width=8, norm=norm)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    images = torch.randn(32, 1, 8, 8)
    labels = (images.mean((1, 2, 3)) > 0).long()
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.35 < 0.5 < losses[0]


def test_without_norm_every_residual_block_starts_as_the_identity() -> None:
    block = ResNet(2, norm="none", width=4).stages[0][0]
    x = torch.randn(2, 4, 5, 5).relu()
    assert torch.equal(block(x), x)


def test_the_shortcut_is_a_strided_1x1_convolution() -> None:
    shortcut = ResNet(2, norm="none", width=4).stages[1][0].shortcut
    x = torch.randn(2, 4, 7, 7)
    pick, convolution, _ = shortcut
    strided = nn.functional.conv2d(x, convolution.weight, convolution.bias, stride=2)
    torch.testing.assert_close(convolution(pick(x)), strided)


def test_vgg_shares_out_convolutions_as_the_paper_does() -> None:
    assert convolutions_per_stage(8, 5) == [1, 1, 2, 2, 2]
    assert convolutions_per_stage(10, 5) == [2, 2, 2, 2, 2]
    assert convolutions_per_stage(13, 5) == [2, 2, 3, 3, 3]
    assert [stages_for((side, side)) for side in (4, 8, 28, 32, 64, 128, 512)] == [1, 2, 3, 4, 5, 5, 5]


@pytest.mark.parametrize(
    ("name", "size", "smallest"), [("homework", 12, 16), ("resnet", 3, 4), ("resnet_large", 28, 32), ("vgg", 3, 4)]
)
def test_pictures_too_small_are_refused_with_both_sizes(name: str, size: int, smallest: int) -> None:
    with pytest.raises(ValueError, match=rf"{size}x64 are too small .* at least {smallest} pixels"):
        network_by_name(name, 10, channels=3, image_size=(size, 64))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnett"}, "did you mean 'resnet'"),
        ({"name": "homework", "depth": 3}, "leave out depth"),
        ({"name": "resnet", "depth": 18}, "6n \\+ 2"),
        ({"name": "resnet_large", "depth": 20}, "18, 34"),
        ({"name": "vgg", "depth": 1}, "depth=1"),
        ({"name": "vgg", "norm": "layer"}, "batch, group, none"),
    ],
)
def test_what_does_not_exist_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network_by_name(num_classes=10, channels=3, image_size=(32, 32), **arguments)  # type: ignore[arg-type]
