"""Both pairs have the homework's and the papers' shapes, labels enter as the papers say, and bad sizes are named."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from lhy_lightning.gan.networks.by_name import (
    NETWORKS,
    DCGANDiscriminator,
    DCGANGenerator,
    ResidualGenerator,
    discriminator_by_name,
    generator_by_name,
    has_batch_norm,
)
from lhy_lightning.gan.networks.conditioning import CONDITIONS, ConditionalBatchNorm, auxiliary_loss
from lhy_lightning.gan.networks.norms import map_norm
from lhy_lightning.gan.networks.residual import DownBlock, UpBlock
from lhy_lightning.gan.penalties import gradient_penalty

Pair = tuple[nn.Module, nn.Module]


def small_pair(name: str, size: int = 16, condition: str = "none", norm: str = "none") -> Pair:
    torch.manual_seed(0)
    generator = generator_by_name(
        name, latent_dim=5, width=4, channels=3, image_size=size, condition=condition, num_classes=4
    )
    discriminator = discriminator_by_name(
        name, width=4, channels=3, image_size=size, norm=norm, condition=condition, num_classes=4
    )
    return generator, discriminator


def test_the_generator_is_the_notebooks() -> None:
    torch.manual_seed(0)
    ours = DCGANGenerator(width=4).eval()  # 64 pixels, noise of 100 numbers; the notebook has width 64
    plain = nn.Sequential(
        nn.Sequential(nn.Linear(100, 32 * 16, bias=False), nn.BatchNorm1d(32 * 16), nn.ReLU()),
        nn.Sequential(
            *(
                nn.Sequential(
                    nn.ConvTranspose2d(before, after, 5, 2, padding=2, output_padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(),
                )
                for before, after in ((32, 16), (16, 8), (8, 4))
            )
        ),
        nn.Sequential(nn.ConvTranspose2d(4, 3, 5, 2, padding=2, output_padding=1, bias=False), nn.Tanh()),
    ).eval()
    saved = {
        key.replace("l1.", "0.").replace("l2.", "1.").replace("l3.", "2."): v for key, v in ours.state_dict().items()
    }
    plain.load_state_dict(saved)
    noise = torch.randn(2, 100)
    expected = plain[2](plain[1](plain[0](noise).view(2, 32, 4, 4)))
    torch.testing.assert_close(ours(noise), expected)
    assert expected.shape == (2, 3, 64, 64)


def test_the_discriminator_is_the_notebooks_without_its_sigmoid() -> None:
    torch.manual_seed(0)
    ours = DCGANDiscriminator(width=4).eval()
    blocks = [
        nn.Sequential(nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2))
        for before, after in ((4, 8), (8, 16), (16, 32))
    ]
    plain = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2), *blocks, nn.Conv2d(32, 1, 4)).eval()
    plain.load_state_dict({key.removeprefix("l1."): value for key, value in ours.state_dict().items()})
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(ours(x), plain(x).view(-1))


def test_the_notebooks_pair_has_its_number_of_weights_and_its_initial_spread() -> None:
    generator, discriminator = DCGANGenerator(), DCGANDiscriminator()
    assert sum(p.numel() for p in generator.parameters()) == 5_142_080
    assert sum(p.numel() for p in discriminator.parameters()) == 2_766_529
    convolution, norm = generator.l2[0][0], generator.l2[0][1]  # type: ignore[index]
    assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.01)
    assert norm.weight.mean().item() == pytest.approx(1.0, abs=0.01)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [8, 28, 32, 64, 96, 128])
def test_pictures_have_their_size_and_range_and_every_one_a_score(name: str, size: int) -> None:
    torch.manual_seed(0)
    generator = generator_by_name(name, latent_dim=5, width=1, channels=1, image_size=size)
    discriminator = discriminator_by_name(name, width=1, channels=1, image_size=size, norm="none")
    x = generator(torch.randn(3, 5))
    assert x.shape == (3, 1, size, size)
    assert x.abs().max() <= 1
    assert discriminator(x).shape == (3,)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_size_that_is_not_reached_is_an_error_with_the_nearest_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"image_size=30: the network doubles.*nearest are 28 and 32"):
        generator_by_name(name, latent_dim=5, width=4, channels=3, image_size=30)
    with pytest.raises(ValueError, match=r"image_size=4: .*nearest are 8 and 10"):
        discriminator_by_name(name, width=4, channels=3, image_size=4, norm="none")


@pytest.mark.parametrize("name", NETWORKS)
def test_pictures_of_another_shape_than_the_networks_are_an_error(name: str) -> None:
    _, discriminator = small_pair(name, 16)
    for shape, given in (((2, 3, 8, 8), "3x8x8"), ((2, 1, 16, 16), "1x16x16")):
        with pytest.raises(ValueError, match=f"built for pictures of 3x16x16, not {given}"):
            discriminator(torch.zeros(shape))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("condition", CONDITIONS[1:])
def test_the_label_changes_the_picture_and_the_judgement(name: str, condition: str) -> None:
    generator, discriminator = small_pair(name, condition=condition)
    if name == "residual" and condition == "projection":  # conditional batch norm starts alike for all classes
        for module in generator.modules():
            if isinstance(module, ConditionalBatchNorm):
                nn.init.normal_(module.gain.weight)
    noise = torch.randn(1, 5).expand(4, -1)
    x = generator.eval()(noise, torch.tensor([0, 1, 1, 3]))
    torch.testing.assert_close(x[1], x[2])
    assert not torch.allclose(x[0], x[1], atol=1e-7)
    if condition == "auxiliary":
        scores, logits = discriminator(x, None)  # the label is what it predicts, not what it sees
        assert scores.shape == (4,)
        assert logits.shape == (4, 4)
    else:
        scores = discriminator(x[:1].expand(4, -1, -1, -1), torch.tensor([0, 1, 1, 3]))
        assert scores.shape == (4,)
        torch.testing.assert_close(scores[1], scores[2])
        assert scores[0] != scores[1]


@pytest.mark.parametrize("name", NETWORKS)
def test_projection_adds_the_product_of_class_vector_and_summed_features(name: str) -> None:
    _, discriminator = small_pair(name, condition="projection")
    maps: list[Tensor] = []
    discriminator.head.register_forward_pre_hook(lambda _, inputs: maps.extend(inputs[:2]))  # type: ignore[union-attr]
    labels = torch.tensor([2, 0, 2])
    scores = discriminator(torch.rand(3, 3, 16, 16) * 2 - 1, labels)
    unconditional, features = maps
    for row in range(3):
        vector = discriminator.head.projection.embedding.weight[labels[row]]  # type: ignore[index, union-attr]
        expected = unconditional[row] + vector @ features[row].sum((1, 2))
        torch.testing.assert_close(scores[row], expected)


def test_a_concatenated_label_is_one_more_channel_of_the_picture() -> None:
    _, discriminator = small_pair("dcgan", condition="concat")
    x, labels = torch.rand(2, 3, 16, 16), torch.tensor([3, 1])
    maps = discriminator.label_map(x, labels)  # type: ignore[operator]
    assert torch.equal(maps[:, :3], x)
    table = discriminator.label_map.embedding.weight  # type: ignore[union-attr]
    assert torch.equal(maps[:, 3].flatten(1), table[labels])  # type: ignore[index]


def test_conditional_batch_norm_is_batch_norm_with_a_gain_and_bias_a_class() -> None:
    torch.manual_seed(0)
    norm = ConditionalBatchNorm(3, 2)
    x, labels = torch.randn(4, 2, 3, 3), torch.tensor([0, 2, 2, 1])
    plain = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(norm(x, labels), plain)  # gain 1 and bias 0 at the start
    nn.init.normal_(norm.gain.weight)
    nn.init.normal_(norm.bias.weight)
    expected = torch.stack(
        [
            plain[i] * norm.gain.weight[y][:, None, None] + norm.bias.weight[y][:, None, None]
            for i, y in enumerate(labels)
        ]
    )
    torch.testing.assert_close(norm(x, labels), expected)


def test_the_auxiliary_loss_is_the_cross_entropy_in_float32() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0]]).bfloat16()
    loss = auxiliary_loss(logits, torch.tensor([1]))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1.0986123)


def test_labels_and_classes_that_are_missing_are_errors() -> None:
    for name in NETWORKS:
        for condition in ("concat", "projection"):
            generator, discriminator = small_pair(name, condition=condition)
            with pytest.raises(ValueError, match="this generator is conditional on the class: it needs labels"):
                generator(torch.randn(2, 5))
            with pytest.raises(ValueError, match="this discriminator is conditional"):
                discriminator(torch.zeros(2, 3, 16, 16))
    with pytest.raises(ValueError, match="condition='concat' needs at least two classes, not num_classes=0"):
        DCGANGenerator(condition="concat")
    with pytest.raises(ValueError, match="condition is one of none, concat, projection, auxiliary, not 'acgan'"):
        DCGANDiscriminator(condition="acgan", num_classes=3)
    with pytest.raises(ValueError, match="has conditional batch normalization, not norm='none'"):
        ResidualGenerator(condition="projection", num_classes=3, norm="none")


def test_unknown_names_are_errors_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="no pair of networks is called 'dcgann'; did you mean 'dcgan'"):
        generator_by_name("dcgann", latent_dim=5, width=4, channels=3, image_size=16)
    with pytest.raises(ValueError, match="norm is one of batch, instance, layer, none, not 'spectral'"):
        DCGANDiscriminator(norm="spectral")


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("norm", ["batch", "instance", "layer", "none"])
def test_only_batch_norm_lets_samples_see_each_other(name: str, norm: str) -> None:
    _, discriminator = small_pair(name, norm=norm)
    x = torch.rand(4, 3, 16, 16) * 2 - 1
    alone = torch.allclose(discriminator(x)[:2], discriminator(x[:2]), atol=1e-6)
    assert has_batch_norm(discriminator) == (norm == "batch") == (not alone)
    generator = generator_by_name(name, latent_dim=5, width=4, channels=3, image_size=16, norm=norm)
    assert has_batch_norm(generator) == (norm == "batch")
    assert generator(torch.randn(2, 5)).shape == (2, 3, 16, 16)


def test_instance_and_layer_norm_are_means_over_a_channel_and_over_a_sample() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 5, 5)
    for norm, dims in (("instance", (2, 3)), ("layer", (1, 2, 3))):
        plain = (x - x.mean(dims, keepdim=True)) / (x.var(dims, unbiased=False, keepdim=True) + 1e-5).sqrt()
        torch.testing.assert_close(map_norm(norm, 4)(x), plain)


def test_the_residual_pair_begins_as_in_the_code_of_projection() -> None:
    generator, discriminator = small_pair("residual", condition="projection")
    conditional = {name for name, module in generator.named_modules() if isinstance(module, ConditionalBatchNorm)}
    assert conditional == {f"blocks.{block}.norm{place}" for block in (0, 1) for place in (1, 2)}
    assert isinstance(generator.norm, nn.BatchNorm2d)
    for network in (generator, discriminator):
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                size = module.weight[0, 0].numel()
                bound = (6 / (size * sum(module.weight.shape[:2]))) ** 0.5  # of Xavier's uniform distribution
                gain = 2**0.5 if ".conv" in name else 1.0
                assert 0.8 * gain * bound < module.weight.detach().abs().max() <= gain * bound, name


def test_residual_blocks_are_shortcut_plus_branch() -> None:
    torch.manual_seed(0)
    relu, pool = torch.relu, nn.AvgPool2d(2)
    double = nn.Upsample(scale_factor=2)
    x = torch.randn(2, 3, 4, 4)
    up = UpBlock(3, 5, "none")
    torch.testing.assert_close(up(x, None), up.shortcut(double(x)) + up.conv2(relu(up.conv1(double(relu(x))))))
    down = DownBlock(3, 5, "none")
    torch.testing.assert_close(down(x), pool(down.shortcut(x)) + pool(down.conv2(relu(down.conv1(relu(x))))))
    first = DownBlock(3, 5, "layer", first=True)
    torch.testing.assert_close(first(x), first.shortcut(pool(x)) + pool(first.conv2(relu(first.conv1(x)))))
    same = DownBlock(3, 3, "none", halve=False)
    torch.testing.assert_close(same(x), x + same.conv2(relu(same.conv1(relu(x)))))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("norm", ["none", "layer", "instance"])
def test_the_penalty_reaches_every_weight_of_the_critic(name: str, norm: str) -> None:
    generator, critic = small_pair(name, norm=norm)
    fake = generator(torch.randn(3, 5))
    gradient_penalty(critic, torch.rand(3, 3, 16, 16) * 2 - 1, fake).backward()
    for key, weight in critic.named_parameters():
        if weight.dim() > 1:
            assert weight.grad is not None, key
            assert weight.grad.any(), key
    assert all(weight.grad is None for weight in generator.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_second_derivatives_match_finite_differences(name: str) -> None:
    _, critic = small_pair(name, size=8, norm="layer")
    critic.double()
    nn.init.orthogonal_(next(critic.parameters()))
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(critic, x, fast_mode=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_last_and_copies_give_the_same_scores(name: str) -> None:
    generator, discriminator = small_pair(name, norm="layer")
    noise = torch.randn(3, 5)
    x = generator.eval()(noise)
    scores = discriminator(x)
    generator, discriminator = (deepcopy(n).to(memory_format=torch.channels_last) for n in (generator, discriminator))
    torch.testing.assert_close(generator(noise), x, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(discriminator(x.to(memory_format=torch.channels_last)), scores, atol=1e-4, rtol=1e-4)
