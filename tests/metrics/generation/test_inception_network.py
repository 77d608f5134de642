"""Inception has the published layers, names, resizing and pooling, and takes no weights but the right ones."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lhy_lightning.metrics.generation.inception_features import InceptionFeatures
from lhy_lightning.metrics.generation.inception_network import (
    InceptionE,
    InceptionV3,
    average_pool,
    tensorflow_input,
    tensorflow_resize,
)


@pytest.fixture(scope="module")
def network() -> InceptionV3:
    torch.manual_seed(0)
    return InceptionV3().eval()


def test_layers_have_the_published_names_and_sizes(network: InceptionV3) -> None:
    weights = {k: tuple(v.shape) for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert len(weights) == 94 * 5 + 2  # 94 convolutions: weight, and scale, shift, mean and variance of the norm
    assert sum(p.numel() for p in network.parameters()) == 23_850_960
    spots = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_1a_3x3.bn.running_var": (32,),
        "Conv2d_3b_1x1.conv.weight": (80, 64, 1, 1),
        "Conv2d_4a_3x3.conv.weight": (192, 80, 3, 3),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        "Mixed_5c.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_5d.branch3x3dbl_3.bn.weight": (96,),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
        "Mixed_6c.branch7x7dbl_4.conv.weight": (160, 160, 7, 1),
        "Mixed_6e.branch7x7dbl_5.conv.weight": (192, 192, 1, 7),
        "Mixed_7a.branch7x7x3_3.conv.weight": (192, 192, 7, 1),
        "Mixed_7b.branch1x1.conv.weight": (320, 1280, 1, 1),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch_pool.bn.bias": (192,),
        "fc.weight": (1008, 2048),
        "fc.bias": (1008,),
    }
    assert {name: weights[name] for name in spots} == spots
    assert network.Conv2d_1a_3x3.bn.eps == 1e-3


def test_pictures_of_any_size_give_2048_features_and_1008_classes(network: InceptionV3) -> None:
    features = InceptionFeatures(network)
    grey = torch.rand(1, 1, 8, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found, probabilities = features.train().features_and_probabilities(grey)
    assert (found.shape, probabilities.shape) == ((1, 2048), (1, 1008))
    assert probabilities.sum().item() == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(features(grey.expand(-1, 3, -1, -1)), found)
    logits = features.logits(grey)
    torch.testing.assert_close(logits, found @ network.fc.weight.T + network.fc.bias)
    torch.testing.assert_close((logits - network.fc.bias).softmax(1), probabilities)
    assert not features.training
    assert not found.requires_grad


def test_resizing_starts_at_the_corner_as_tensorflow_did() -> None:
    row = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    assert tensorflow_resize(row, (1, 4)).flatten().tolist() == [0.0, 0.5, 1.0, 1.0]
    assert tensorflow_resize(row.mT, (4, 1)).flatten().tolist() == [0.0, 0.5, 1.0, 1.0]
    wide = torch.arange(8.0).view(1, 1, 1, 8)
    assert tensorflow_resize(wide, (1, 3)).flatten().tolist() == pytest.approx([0.0, 8 / 3, 16 / 3])
    same = torch.rand(2, 3, 5, 7)
    assert torch.equal(tensorflow_resize(same, (5, 7)), same)


def test_pictures_go_in_as_the_256_steps_of_a_file() -> None:
    values = torch.tensor([-1.0, -0.5, 0.001, 1.0, 1.5])
    found = tensorflow_input(values.view(5, 1, 1, 1))
    assert found.shape == (5, 3, 299, 299)
    steps = torch.tensor([0.0, 64, 128, 255, 255])  # -.5 is 63.75
    assert torch.equal(found[:, 0, 0, 0], (steps - 128) / 128)
    with pytest.raises(ValueError, match=r"\(N, 1 or 3, H, W\), not \(5, 2, 4, 4\)"):
        tensorflow_input(torch.zeros(5, 2, 4, 4))


def test_averages_leave_padding_out_and_the_last_block_pools_by_maximum(network: InceptionV3) -> None:
    assert torch.equal(average_pool(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))
    assert (network.Mixed_7b.pool, network.Mixed_7c.pool) == ("average", "maximum")
    block, x = InceptionE(4, "maximum").eval(), torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block(x)[:, -192:], block.branch_pool(F.max_pool2d(x, 3, 1, 1)))


def test_without_weights_the_error_says_where_they_come_from(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none come with the package.*mseitzer/pytorch-fid"):
        InceptionFeatures.from_file(None)
    with pytest.raises(FileNotFoundError, match=r"pt_inception-2015-12-05-6726825d\.pth"):
        InceptionFeatures.from_file(tmp_path / "none.pth")
    with pytest.raises(OSError, match=r"could not be fetched.*mseitzer/pytorch-fid"):
        InceptionFeatures.from_file((tmp_path / "none.pth").as_uri(), cache_dir=tmp_path / "cache")


def test_a_file_with_another_checksum_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    file.write_bytes(b"not Inception")
    with pytest.raises(ValueError, match=r"SHA-256 [0-9a-f]{8}…, expected 6726825d…"):
        InceptionFeatures.from_file(file)
    with pytest.raises(ValueError, match="not the expected file"):
        InceptionFeatures.from_file(file.as_uri(), cache_dir=tmp_path / "cache")
    assert not any((tmp_path / "cache").iterdir())
    with pytest.raises(ValueError, match="8 digits"):
        InceptionFeatures.from_file(file, sha256="67")


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    for number, content in enumerate(({"fc.weight": torch.zeros(2)}, [1])):
        file = tmp_path / f"{number}.pth"
        torch.save(content, file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        with pytest.raises(ValueError, match="does not hold the weights of this Inception"):
            InceptionFeatures.from_file(file, sha256=digest)


def test_weights_come_from_a_file_or_a_url_once(network: InceptionV3, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    found = InceptionFeatures.from_file(file, sha256=digest)
    assert not found.published  # they are not the published ones
    assert torch.equal(found.network.fc.weight, network.fc.weight)
    url, cache = file.as_uri(), tmp_path / "cache"
    InceptionFeatures.from_file(url, sha256=digest[:8], cache_dir=cache)
    file.unlink()
    again = InceptionFeatures.from_file(url, sha256=digest[:8], cache_dir=cache)
    assert torch.equal(again.network.fc.weight, network.fc.weight)
