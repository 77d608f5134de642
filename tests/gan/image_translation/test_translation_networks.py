"""U-Net, patch discriminator and CycleGAN's generator are the papers', and say which pictures they take."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lhy_lightning.gan.image_translation.patch_discriminator import PatchDiscriminator
from lhy_lightning.gan.image_translation.translation_networks import (
    CycleGANGenerator,
    ResidualBlock,
    reflected_by_slices,
)
from lhy_lightning.gan.image_translation.unet import UNet
from lhy_lightning.gan.networks.norms import has_batch_norm


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def convolutions(network: nn.Module) -> list[tuple[int, int, int, int]]:
    """(in, out, kernel, stride) of each, in order."""
    found = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    return [(m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0]) for m in found]


@pytest.fixture
def pictures() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(2, 3, 32, 32) * 2 - 1


# --- U-Net ------------------------------------------------------------------------------------------------------------


def test_the_unet_of_256_pixels_has_the_papers_layers() -> None:
    with torch.device("meta"):
        network = UNet()
    encoder = (3, 64, 128, 256, 512, 512, 512, 512, 512)
    down = [(before, after, 4, 2) for before, after in pairwise(encoder)]
    decoder = (512, 512, 512, 512, 256, 128, 64)  # CD512-CD512-CD512-C512-C256-C128-C64
    up = [(before, after, 4, 2) for before, after in zip((512, 1024, 1024, 1024, 1024, 512, 256), decoder, strict=True)]
    assert convolutions(network) == [*down, *up, (128, 3, 4, 2)]
    assert [block.dropout for block in network.up] == [0.5] * 3 + [0.0] * 4
    norms = [m for m in network.down.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [norm.num_features for norm in norms] == [128, 256, 512, 512, 512, 512]  # not the first, not the bottleneck


@pytest.mark.parametrize("size", [16, 32, 64])
def test_the_unet_halves_down_to_one_pixel_whatever_the_size(size: int) -> None:
    network = UNet(input_channels=1, output_channels=3, image_size=size, width=2, norm="instance")
    bottleneck = []
    network.down[-1].register_forward_hook(lambda _module, _inputs, output: bottleneck.append(output))
    out = network(torch.zeros(2, 1, size, size))
    assert out.shape == (2, 3, size, size)
    assert bottleneck[0].shape == (2, 16, 1, 1)
    assert out.abs().max() <= 1


def test_the_decoder_sees_the_encoders_map_of_its_size(pictures: Tensor) -> None:
    network = UNet(image_size=32, width=4).eval()
    whole = network(pictures)
    for parameter in network.up.parameters():  # cut the way through the bottleneck: the outermost map still gets there
        parameter.data.zero_()
    assert network(pictures).std() > 0
    assert not torch.equal(network(pictures), whole)
    assert not torch.equal(network(pictures)[0], network(pictures)[1])


def test_dropout_at_test_draws_one_result_of_many(pictures: Tensor) -> None:
    network = UNet(image_size=32, width=4).eval()
    assert torch.equal(network(pictures), network(pictures))
    network.dropout_at_test = True
    assert not torch.equal(network(pictures), network(pictures))
    torch.manual_seed(1)
    first = network(pictures)
    torch.manual_seed(1)
    assert torch.equal(network(pictures), first)


def test_the_unets_norm_is_the_one_asked_for() -> None:
    assert has_batch_norm(UNet(image_size=16, width=2))
    assert not has_batch_norm(UNet(image_size=16, width=2, norm="instance"))


def test_the_unet_says_which_sizes_it_takes(pictures: Tensor) -> None:
    with pytest.raises(ValueError, match=r"image_size=28.*Ask the data for image_size 32"):
        UNet(image_size=28)
    with pytest.raises(ValueError, match="built for pictures of 3x64x64, not 3x32x32"):
        UNet(image_size=64, width=2)(pictures)
    with pytest.raises(ValueError, match="dropout=1"):
        UNet(image_size=16, dropout=1.0)


# --- patch discriminator ----------------------------------------------------------------------------------------------


def test_three_layers_are_the_papers_70_pixels() -> None:
    network = PatchDiscriminator(channels=3, condition_channels=3, norm="batch")
    assert convolutions(network) == [
        (6, 64, 4, 2), (64, 128, 4, 2), (128, 256, 4, 2), (256, 512, 4, 1), (512, 1, 4, 1)
    ]  # fmt: skip
    assert network.receptive_field == 70


@pytest.mark.parametrize(("layers", "field"), [(0, 1), (1, 16), (2, 34), (3, 70), (5, 286)])
def test_a_score_sees_the_patch_of_the_papers_table(layers: int, field: int) -> None:
    with torch.device("meta"):
        assert PatchDiscriminator(layers=layers).receptive_field == field


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_score_depends_on_its_patch_alone(layers: int) -> None:
    network = PatchDiscriminator(width=2, layers=layers, norm="none")
    picture = torch.randn(1, 3, 64, 64, requires_grad=True)
    scores = network(picture)
    row = scores.shape[2] // 2
    (gradient,) = torch.autograd.grad(scores[0, 0, row, row], picture)
    seen = gradient.abs().sum((0, 1)).nonzero()
    sides = seen.max(0).values - seen.min(0).values + 1
    assert sides.tolist() == [network.receptive_field] * 2


def test_scores_are_a_map_of_the_size_told() -> None:
    assert PatchDiscriminator(width=2)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    assert PatchDiscriminator(width=2, layers=1)(torch.zeros(2, 3, 8, 10)).shape == (2, 1, 2, 3)
    assert PatchDiscriminator(width=2, layers=0)(torch.zeros(2, 3, 8, 8)).shape == (2, 1, 8, 8)


def test_the_condition_is_judged_along(pictures: Tensor) -> None:
    network = PatchDiscriminator(channels=3, condition_channels=1, width=4, layers=2)
    first, second = network(pictures, torch.zeros(2, 1, 32, 32)), network(pictures, torch.ones(2, 1, 32, 32))
    assert first.shape == (2, 1, 6, 6)
    assert not torch.allclose(first, second)
    with pytest.raises(ValueError, match="built for 3 channels and 1 of a condition, not 3 and 0"):
        network(pictures)


def test_pictures_too_small_for_the_patches_name_the_layers_that_fit() -> None:
    with pytest.raises(ValueError, match=r"8x8 are too small .* 3 layers, which wants 24 pixels: take layers=1"):
        PatchDiscriminator(width=2)(torch.zeros(1, 3, 8, 8))
    PatchDiscriminator(width=2, layers=1)(torch.zeros(1, 3, 6, 6))
    with pytest.raises(ValueError, match="layers=-1"):
        PatchDiscriminator(layers=-1)


# --- CycleGAN's generator ---------------------------------------------------------------------------------------------


def test_nine_blocks_are_the_papers_network_for_256_pixels() -> None:
    with torch.device("meta"):
        network = CycleGANGenerator()
    blocks = [(256, 256, 3, 1)] * 18
    assert convolutions(network) == [
        (3, 64, 7, 1), (64, 128, 3, 2), (128, 256, 3, 2), *blocks, (256, 128, 3, 2), (128, 64, 3, 2), (64, 3, 7, 1)
    ]  # fmt: skip
    weights = sum(before * after * kernel**2 for before, after, kernel, _ in convolutions(network))
    assert parameters(network) == weights + 3  # instance norm makes every bias but the last useless


@pytest.mark.parametrize(("size", "halvings"), [((8, 8), 1), ((8, 8), 2), ((16, 24), 2), ((5, 7), 0)])
def test_a_picture_comes_out_in_the_size_it_went_in(size: tuple[int, int], halvings: int) -> None:
    network = CycleGANGenerator(input_channels=1, width=2, blocks=1, downsamplings=halvings)
    out = network(torch.randn(2, 1, *size))
    assert out.shape == (2, 3, *size)
    assert out.abs().max() <= 1


def test_a_block_without_its_branch_is_the_identity() -> None:
    block = ResidualBlock(4, "none")
    for parameter in block.parameters():
        parameter.data.zero_()
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(block(x), x)  # no ReLU behind the sum


def test_samples_of_a_batch_do_not_see_each_other_and_instance_norm_is_the_default(pictures: Tensor) -> None:
    torch.manual_seed(0)
    network = CycleGANGenerator(width=4, blocks=2)
    torch.testing.assert_close(network(pictures)[:1], network(pictures[:1]), rtol=1e-4, atol=1e-5)
    assert not has_batch_norm(network)


def test_reflection_by_slices_is_torchs_with_its_gradient() -> None:
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    ours, theirs = reflected_by_slices(x, 3), functional.pad(x, (3,) * 4, mode="reflect")
    assert torch.equal(ours, theirs)
    back = torch.randn_like(ours)
    torch.testing.assert_close(torch.autograd.grad(ours, x, back)[0], torch.autograd.grad(theirs, x, back)[0])


def test_the_generator_says_which_sizes_it_takes() -> None:
    network = CycleGANGenerator(width=2, blocks=1)
    with pytest.raises(ValueError, match=r"227x227 do not fit .* multiples of 4 and at least 8"):
        network(torch.zeros(1, 3, 227, 227))
    with pytest.raises(ValueError, match="4x4 do not fit"):
        network(torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match="built for 3 channels, the pictures have 1"):
        network(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="downsamplings=-1"):
        CycleGANGenerator(downsamplings=-1)


def test_weights_begin_as_the_papers_say() -> None:
    torch.manual_seed(0)
    for network in (UNet(image_size=32), PatchDiscriminator(layers=2), CycleGANGenerator(width=32, blocks=1)):
        weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        every = torch.cat([weight.detach().flatten() for weight in weights])
        assert every.mean().abs() < 1e-3
        assert every.std() == pytest.approx(0.02, rel=0.01)
