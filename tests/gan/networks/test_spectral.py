"""Spectral normalization: the largest singular value of every weight, reshaped to (out, rest), is one."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lhy_lightning.gan.losses import discriminator_loss
from lhy_lightning.gan.networks.by_name import NETWORKS, discriminator_by_name
from lhy_lightning.gan.networks.spectral import add_spectral_norm, largest_singular_values


def normalized(name: str = "dcgan", condition: str = "none") -> nn.Module:
    torch.manual_seed(0)
    network = discriminator_by_name(
        name, width=4, channels=3, image_size=16, norm="none", condition=condition, num_classes=4
    )
    return add_spectral_norm(network)


@pytest.mark.parametrize("name", NETWORKS)
def test_after_training_the_largest_singular_value_of_every_weight_is_one(name: str) -> None:
    network = normalized(name, "projection")
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.0, 0.9))
    for _ in range(40):
        real, fake, labels = torch.rand(4, 3, 16, 16), -torch.rand(4, 3, 16, 16), torch.randint(0, 4, (4,))
        discriminator_loss("hinge", network(real, labels), network(fake, labels)).backward()
        optimizer.step()
        optimizer.zero_grad()
    values = largest_singular_values(network)
    layers = {n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)}
    assert set(values) == layers
    assert "head.projection.embedding" in layers
    for key, value in values.items():
        assert value == pytest.approx(1, abs=1e-2), key


def test_the_reported_value_is_that_of_the_weight_as_out_by_rest() -> None:
    network = normalized()
    for _ in range(50):
        network(torch.rand(2, 3, 16, 16))
    network.eval()
    convolution = network.l1[0]  # type: ignore[index]
    stored = convolution.parametrizations.weight.original
    used = stored / torch.linalg.svdvals(stored.reshape(4, 3 * 16))[0]
    torch.testing.assert_close(convolution.weight, used, rtol=1e-3, atol=1e-6)
    assert largest_singular_values(network)["l1.0"] == pytest.approx(1, abs=1e-3)


def test_the_convolution_itself_may_stretch_by_more_but_within_the_stated_bound() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 1, 4, 2, 1, bias=False)
    nn.init.ones_(convolution.weight)
    add_spectral_norm(convolution)
    for _ in range(10):
        convolution(torch.rand(1, 1, 8, 8))
    matrix = convolution.eval()(torch.eye(64).view(64, 1, 8, 8)).flatten(1)  # (pixels in, pixels out)
    stretch = torch.linalg.matrix_norm(matrix.detach(), 2).item()
    assert 1.5 < stretch <= 2 + 1e-5  # every pixel is in at most 2 x 2 windows


def test_looking_at_singular_values_changes_nothing() -> None:
    network = normalized()
    before = deepcopy(network.state_dict())
    largest_singular_values(network)
    assert network.training
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_a_layer_is_normalized_once_and_transposed_and_linear_ones_too() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.Unflatten(1, (2, 2, 2)), nn.ConvTranspose2d(2, 3, 4, 2, 1))
    add_spectral_norm(network, power_iterations=3)
    keys = set(network.state_dict())
    add_spectral_norm(network)
    assert set(network.state_dict()) == keys
    for _ in range(20):
        network(torch.randn(2, 3))
    assert largest_singular_values(network) == pytest.approx({"0": 1.0, "2": 1.0}, abs=1e-3)
    with pytest.raises(ValueError, match="found no convolution and no linear layer"):
        add_spectral_norm(nn.Sequential(nn.ReLU()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_norm_is_measured_in_float32_inside_autocast(dtype: torch.dtype) -> None:
    network = normalized()
    x = torch.rand(2, 3, 16, 16)
    seen: list[torch.dtype] = []
    for module in network.modules():
        if hasattr(module, "_u"):
            module.register_forward_hook(
                lambda m, i, o: seen.extend([o.dtype, m._u.dtype] + [torch.float64] * torch.is_autocast_enabled("cpu"))
            )
    with torch.autocast("cpu", dtype):
        scores = network(x)
    assert scores.dtype == dtype
    assert set(seen) == {torch.float32}


def test_weights_only_checkpoints_and_copies_bring_the_singular_vectors_back(tmp_path: Path) -> None:
    network = normalized("residual")
    x = torch.rand(2, 3, 16, 16)
    for _ in range(3):
        network(x)
    torch.save(network.state_dict(), tmp_path / "network.pt")
    torch.manual_seed(99)
    other = add_spectral_norm(discriminator_by_name("residual", width=4, channels=3, image_size=16, norm="none"))
    other.load_state_dict(torch.load(tmp_path / "network.pt", weights_only=True))
    copy = deepcopy(network)
    for _ in range(2):  # one more power iteration in training mode, from the same vectors
        scores: Tensor = network(x)
        assert torch.equal(other(x), scores)
        assert torch.equal(copy(x), scores)


def test_two_forward_passes_before_one_backward_give_the_gradient_of_both() -> None:
    network = normalized()
    real, fake = torch.rand(2, 3, 16, 16), -torch.rand(2, 3, 16, 16)
    twin = deepcopy(network)
    discriminator_loss("hinge", network(real), network(fake)).backward()
    (1 - twin(real)).relu().mean().backward()
    (1 + twin(fake)).relu().mean().backward()
    for one, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
