from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from lhy_lightning.adaptation.networks.by_name import (
    GaussianNoise,
    feature_extractor,
    features_of,
    label_predictor,
    perceptron,
)
from lhy_lightning.adaptation.networks.domain_batch_norm import DomainBatchNorm, tell_source_rows, with_domain_norms


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_papers_network_for_mnist_has_its_768_features() -> None:
    """Figure 4a: 28 pixels, 24 after the first convolution, 12, 8, and 4 x 4 x 48."""
    network = feature_extractor("paper", 3, (28, 28))
    assert features_of(network, 3, (28, 28)) == 4 * 4 * 48
    assert parameters(network) == 32 * (3 * 25 + 1) + 48 * (32 * 25 + 1)
    assert features_of(feature_extractor("paper", 1, (8, 8)), 1, (8, 8)) == 2 * 2 * 48  # padded


def test_the_homeworks_networks_have_its_layers() -> None:
    network = feature_extractor("homework", 1, (32, 32))
    assert features_of(network, 1, (32, 32)) == 512
    convolutions = [layer.out_channels for layer in network if isinstance(layer, nn.Conv2d)]
    assert convolutions == [64, 128, 256, 256, 512]
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in network) == 5
    classifier = perceptron(512, (512,) * 4, 1, norm="batch")
    assert [type(layer).__name__ for layer in classifier] == ["Linear", "BatchNorm1d", "ReLU"] * 4 + ["Linear"]
    assert classifier(torch.zeros(2, 512)).shape == (2, 1)


def test_dirt_normalizes_each_picture_and_draws_noise_in_training_alone() -> None:
    network = feature_extractor("dirt", 3, (16, 16), width=4).eval()
    pictures = torch.rand(2, 3, 16, 16)
    assert torch.allclose(network(pictures), network(pictures * 0.5 + 0.2), atol=1e-3)
    noise = GaussianNoise(2.0)
    torch.manual_seed(0)
    assert float(noise(torch.zeros(100_000)).std()) == pytest.approx(2, rel=0.02)
    assert torch.equal(noise.eval()(torch.ones(3)), torch.ones(3))


def test_the_label_predictor_of_dirt_has_three_convolutions_over_the_extractors_picture() -> None:
    """Table 6 of Shu et al. 2018, also for pictures that are not square."""
    extractor = feature_extractor("dirt", 3, (16, 24), width=5)
    predictor = label_predictor("dirt", features_of(extractor, 3, (16, 24)), 7, (16, 24), width=5)
    assert [type(layer).__name__ for layer in predictor] == [
        "Unflatten", *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 3, "AdaptiveAvgPool2d", "Flatten", "Linear",
    ]  # fmt: skip
    pictures = torch.rand(4, 3, 16, 24)
    assert predictor(extractor(pictures)).shape == (4, 7)
    picture = extractor[:-1](pictures)  # before it is made one row
    assert torch.allclose(predictor.eval()[1:](picture), predictor(picture.flatten(1)))
    assert parameters(predictor) == 3 * (5 * (5 * 9 + 1) + 2 * 5) + 7 * (5 + 1)


def test_each_network_has_its_own_label_predictor_and_a_perceptron_where_units_are_given() -> None:
    def units(name: str, hidden: tuple[int, ...] | None) -> list[int]:
        predictor = label_predictor(name, 12, 3, (28, 28), hidden=hidden)
        return [layer.out_features for layer in predictor if isinstance(layer, nn.Linear)]

    assert units("paper", None) == [100, 100, 3]
    assert units("homework", None) == [512, 512, 3]
    assert units("dirt", (8,)) == units("paper", (8,)) == [8, 3]
    assert units("paper", ()) == [3]


def test_looking_for_the_number_of_features_moves_no_statistic() -> None:
    network = feature_extractor("homework", 1, (32, 32), width=2)
    features_of(network, 1, (32, 32))
    assert network.training
    assert float(network[1].num_batches_tracked) == 0


def test_rows_of_each_domain_go_through_norms_of_their_own() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    assert with_domain_norms(network) == 1
    assert with_domain_norms(network) == 0  # they are there
    norm = network[1]
    assert isinstance(norm, DomainBatchNorm)
    rows = torch.cat((torch.zeros(4, 1, 2, 2), torch.ones(6, 1, 2, 2)))
    tell_source_rows(network, 4)
    assert network(rows).abs().max() < 1e-2  # each domain is constant, and has its mean taken away
    assert not torch.equal(norm.source.running_mean, norm.target.running_mean)  # type: ignore[arg-type]
    network.eval()
    for count, side in ((0, norm.target), (10, norm.source)):
        tell_source_rows(network, count)
        assert torch.equal(network(rows), side(network[0](rows)))


def test_norms_of_two_domains_may_share_scale_and_shift() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    numbers = parameters(network)
    with_domain_norms(network, shared=True)
    assert parameters(network) == numbers
    tell_source_rows(network, 3)
    network(torch.randn(8, 1, 2, 2)).square().sum().backward()
    norm = network[1]
    assert norm.source.weight.grad is norm.target.weight.grad is not None  # of the rows of both
    assert not torch.equal(norm.source.running_mean, norm.target.running_mean)
    copy = deepcopy(network)[1]
    assert copy.source.weight is copy.target.weight is not norm.source.weight


def test_noise_is_as_large_in_either_order_of_memory() -> None:
    torch.manual_seed(0)
    for order in (torch.contiguous_format, torch.channels_last):
        noisy = GaussianNoise(2.0)(torch.zeros(50, 8, 10, 10).to(memory_format=order))
        assert noisy.is_contiguous(memory_format=order)
        assert float(noisy.std()) == pytest.approx(2, rel=0.02)


def test_bad_numbers_are_named() -> None:
    with pytest.raises(ValueError, match="width=0"):
        feature_extractor("paper", 1, (28, 28), width=0)
    with pytest.raises(ValueError, match="one of paper, homework, dirt"):
        feature_extractor("resnet", 1, (28, 28))
    with pytest.raises(ValueError, match=r"hidden=\(8, 0\)"):
        perceptron(4, (8, 0), 1)
    with pytest.raises(ValueError, match="'batch' or 'none'"):
        perceptron(4, (8,), 1, norm="group")
    with pytest.raises(ValueError, match="12 features are not the"):
        label_predictor("dirt", 12, 3, (28, 28))
    with pytest.raises(ValueError, match=r"dropout=0\.5: .* give label_hidden"):
        label_predictor("dirt", 64 * 49, 3, (28, 28), dropout=0.5)
