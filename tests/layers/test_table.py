"""The table of layers tells the truth: shapes, parameters, multiply-adds, receptive fields."""

import io

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from lhy_lightning.cnn.networks import VGG, HomeworkNet, ResNet
from lhy_lightning.layers.memory_format import to_channels_last
from lhy_lightning.layers.model_summary import layer_rows, layer_table
from lhy_lightning.layers.norms import norm_layer


class Dilated(nn.Module):
    """Branches of different reach, dilation, a stride, an average pooling and kernels that are not square."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, (3, 5), padding=(1, 2))
        self.wide = nn.Conv2d(2, 2, 3, padding=3, dilation=3)
        self.narrow = nn.Conv2d(2, 2, 1)
        self.pool = nn.AvgPool2d(2)
        self.last = nn.Conv2d(2, 2, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(self.pool(self.wide(x) + self.narrow(x)))


def probe(network: nn.Module, name: str, shape: tuple[int, int, int]) -> tuple[int, int]:
    """Extent of the pixels with a gradient from the central place of the layer called `name`."""
    found = {}
    network = network.eval()
    for module in network.modules():  # positive weights and no cuts: no gradient cancels or is lost
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 0.1)
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, nn.MaxPool2d):
            module.forward = lambda x, m=module: nn.functional.avg_pool2d(x, m.kernel_size, m.stride, m.padding)
    handle = network.get_submodule(name).register_forward_hook(lambda m, i, o: found.update(output=o))
    image = torch.rand(1, *shape, requires_grad=True)
    network(image)
    handle.remove()
    output = found["output"]
    (gradient,) = torch.autograd.grad(output[0, :, output.shape[2] // 2, output.shape[3] // 2].sum(), image)
    touched = gradient[0].abs().sum(0) > 0
    rows, columns = touched.any(1).nonzero(), touched.any(0).nonzero()
    return int(rows.max() - rows.min() + 1), int(columns.max() - columns.min() + 1)


@pytest.mark.parametrize(
    ("network", "names", "shape"),
    [
        (Dilated(), ["first", "wide", "pool", "last"], (1, 64, 64)),
        (ResNet(3, depth=8, width=4), ["stem.0", "stages.1.0.branch.3", "stages.2.0.branch.3"], (3, 64, 64)),
        (ResNet(3, depth=18, width=2, stem="large"), ["stem.3", "stages.1.0.branch.3"], (3, 160, 160)),
        (VGG(3, depth=6, width=4, image_size=(96, 96)), ["features.0", "features.7", "features.15"], (3, 96, 96)),
    ],
    ids=["dilated", "resnet", "resnet_large", "vgg"],
)  # fmt: skip
def test_receptive_fields_are_what_gradients_reach(
    network: nn.Module, names: list[str], shape: tuple[int, int, int]
) -> None:
    fields = {row.name: row.receptive_field for row in layer_rows(network, shape, most_rows=99)}
    for name in names:
        assert fields[name] == probe(network, name, shape), name


def test_the_homework_networks_rows() -> None:
    rows = layer_rows(HomeworkNet(), (3, 128, 128))
    assert [(row.kind, row.output, row.parameters, row.receptive_field) for row in rows] == [
        ("Conv 3x3 + BN", (64, 128, 128), 1_920, (3, 3)),
        ("MaxPool 2x2 /2", (64, 64, 64), 0, (4, 4)),
        ("Conv 3x3 + BN", (128, 64, 64), 74_112, (8, 8)),
        ("MaxPool 2x2 /2", (128, 32, 32), 0, (10, 10)),
        ("Conv 3x3 + BN", (256, 32, 32), 295_680, (18, 18)),
        ("MaxPool 4x4 /4", (256, 8, 8), 0, (30, 30)),
        ("Linear", (256,), 4_194_560, (128, 128)),
        ("Linear", (256,), 65_792, (128, 128)),
        ("Linear", (11,), 2_827, (128, 128)),
    ]
    assert rows[0].multiply_adds == 128 * 128 * 64 * 27
    assert sum(row.parameters for row in rows) == 4_634_891


def test_looking_changes_nothing_and_long_networks_are_shown_by_block() -> None:
    network = ResNet(10, depth=56, width=4)
    network.stem.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rows = layer_rows(network, (3, 32, 32))
    assert len(rows) <= 30
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    assert not network.stem.training
    assert network.stages.training


def test_the_printed_table_fits_80_columns_and_holds_the_sums() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(layer_table(ResNet(10), (3, 32, 32), title="ResNet"))
    text = console.export_text()
    assert "272,474" in text
    assert "40.8 M" in text
    assert "…" not in text
    assert len(text.splitlines()) == 31


def test_channels_last_is_refused_where_torch_would_overwrite_memory() -> None:
    assert to_channels_last(ResNet(10, width=4))
    assert not to_channels_last(nn.Sequential(nn.Conv2d(8, 16, 1, stride=2)))
    assert to_channels_last(nn.Sequential(nn.Conv2d(16, 16, 1, stride=2)))


def test_norms_by_name() -> None:
    assert isinstance(norm_layer("batch", 8), nn.BatchNorm2d)
    group = norm_layer("group", 12)
    assert isinstance(group, nn.GroupNorm)
    assert group.num_groups == 4  # the largest divisor of 12 and 8
    assert isinstance(norm_layer("none", 8), nn.Identity)
