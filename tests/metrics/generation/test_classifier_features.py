"""A trained classifier is a feature network: what its last linear layer sees, and its probabilities."""

import pytest
import torch
from torch import Tensor, nn

from lhy_lightning.cnn.classifier import ImageClassifier
from lhy_lightning.metrics.generation.classifier_features import ClassifierFeatures

PICTURES = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def classifier(network: str = "resnet", **options: object) -> ImageClassifier:
    torch.manual_seed(0)
    sizes = {"num_classes": 10, "image_size": (16, 16), "channels": 1}
    return ImageClassifier(network=network, **{**sizes, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("network", "options", "num_features"),
    [
        ("resnet", {"depth": 8, "width": 8}, 32),
        ("vgg", {"depth": 3, "width": 8, "dropout": 0.5}, 16),
        ("homework", {}, 256),
    ],
)
def test_the_last_layer_makes_the_logits_of_the_features(
    network: str, options: dict[str, object], num_features: int
) -> None:
    trained = classifier(network, **options)
    features = ClassifierFeatures(trained)
    found, logits = features.features_and_logits(PICTURES)
    assert found.shape == (3, features.num_features) == (3, num_features)
    head = [module for module in features.network.modules() if isinstance(module, nn.Linear)][-1]
    torch.testing.assert_close(head(found), logits)
    torch.testing.assert_close(trained.eval()(PICTURES), logits)
    torch.testing.assert_close(features.features_and_probabilities(PICTURES)[1], logits.softmax(1))
    assert torch.equal(features(PICTURES), found)
    assert features.num_classes == 10


def test_averaged_weights_are_taken_where_there_are_any() -> None:
    trained = classifier("vgg", depth=2, width=8, ema_decay=0.9)
    assert trained.network is not None
    with torch.no_grad():
        for weight in trained.network.parameters():
            weight.zero_()
    assert ClassifierFeatures(trained)(PICTURES).any()


def test_nothing_that_happens_to_the_classifier_later_changes_it() -> None:
    trained = classifier("vgg", depth=2, width=8).train()
    features = ClassifierFeatures(trained)
    before = features(PICTURES)
    nn.ModuleList([features]).train()
    assert trained.network is not None
    trained.network(PICTURES + 1)  # batch statistics
    with torch.no_grad():
        for weight in trained.parameters():
            weight.zero_()
    assert torch.equal(features(PICTURES), before)
    assert not any(weight.requires_grad for weight in features.parameters())
    assert trained.training


def test_any_module_that_ends_with_a_linear_layer_will_do() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 4), nn.ReLU(), nn.Linear(4, 2))
    features = ClassifierFeatures(network)
    torch.testing.assert_close(features(PICTURES), network[:3](PICTURES))
    with torch.autocast("cpu", torch.bfloat16):
        assert features(PICTURES).dtype == torch.float32


def test_pictures_of_another_size_are_refused() -> None:
    features = ClassifierFeatures(classifier("vgg", depth=2, width=8))
    with pytest.raises(ValueError, match=r"takes pictures \(1, 16, 16\).*not \(3, 16, 16\)"):
        features(PICTURES.expand(-1, 3, -1, -1))


def test_a_network_without_such_a_layer_is_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(256, 256)

        def forward(self, x: Tensor) -> Tensor:
            return torch.as_tensor(self.linear(self.linear(x.flatten(1))))

    with pytest.raises(ValueError, match="no linear layer"):
        ClassifierFeatures(nn.Flatten())
    with pytest.raises(ValueError, match="does not end with its last linear layer"):
        ClassifierFeatures(Twice())(PICTURES)
    with pytest.raises(ValueError, match="does not end with its last linear layer"):
        ClassifierFeatures(nn.Sequential(nn.Flatten(), nn.Linear(256, 4), nn.Unflatten(1, (2, 2))))(PICTURES)
