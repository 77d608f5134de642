"""Statistics of real features are computed once, and never taken for those of other data or weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lhy_lightning.metrics.generation.feature_statistics import (
    FeatureStatistics,
    content_hash,
    features_folder,
    network_hash,
    pixels_hash,
    real_statistics,
    statistics_of,
)

PICTURES = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


class Counting(nn.Module):
    """A feature network that counts its pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 3)
        nn.init.orthogonal_(self.linear.weight, generator=torch.Generator().manual_seed(0))
        nn.init.zeros_(self.linear.bias)
        self.seen = 0

    def forward(self, pictures: Tensor) -> Tensor:
        self.seen += len(pictures)
        return torch.as_tensor(self.linear(pictures.flatten(1)))


def test_they_are_mean_and_covariance_of_all_pictures() -> None:
    network = Counting()
    features = network(PICTURES).detach().double()
    for found in (statistics_of(PICTURES.split(7), network), FeatureStatistics.of(features)):
        torch.testing.assert_close(found.mean, features.mean(0))
        torch.testing.assert_close(found.covariance, features.T.cov())
        assert found.count == 40


def test_a_second_time_they_come_from_the_disk(tmp_path: Path) -> None:
    network = Counting()
    first = real_statistics(PICTURES.split(7), network, cache_dir=tmp_path)
    again = real_statistics(PICTURES.split(9), network, cache_dir=tmp_path)
    assert network.seen == 40
    assert torch.equal(first.mean, again.mean)
    assert torch.equal(first.covariance, again.covariance)
    assert again.count == 40
    assert len(list(tmp_path.iterdir())) == 1


def test_other_pixels_weights_or_sizes_have_files_of_their_own(tmp_path: Path) -> None:
    network = Counting()
    real_statistics([PICTURES], network, cache_dir=tmp_path)
    real_statistics([PICTURES[:-1]], network, cache_dir=tmp_path)
    with torch.no_grad():
        network.linear.bias[0] += 1
    real_statistics([PICTURES], network, cache_dir=tmp_path)
    real_statistics([PICTURES.reshape(40, 1, 2, 8)], network, cache_dir=tmp_path)
    assert network.seen == 40 + 39 + 40 + 40
    assert len(list(tmp_path.iterdir())) == 4


def test_a_damaged_file_is_written_anew(tmp_path: Path) -> None:
    network = Counting()
    real_statistics([PICTURES], network, cache_dir=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[:100], whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="delete it"):
            FeatureStatistics.load(file)
        network.seen = 0
        real_statistics([PICTURES], network, cache_dir=tmp_path)
        assert network.seen == 40
        assert file.read_bytes() == whole


def test_a_key_of_pixels_depends_neither_on_order_nor_on_batches() -> None:
    key = pixels_hash([PICTURES])
    assert pixels_hash(PICTURES.flip(0).split(11)) == key
    assert pixels_hash([PICTURES + 1e-6]) == key  # 256 steps, as in files
    assert pixels_hash([PICTURES[:-1]]) != key
    assert pixels_hash([PICTURES.reshape(40, 1, 2, 8)]) != key


def test_a_key_from_stored_hashes_depends_on_content_size_and_channels() -> None:
    content = np.array([3, -1, 2])
    key = content_hash(content, (8, 8), 1)
    assert content_hash(content[::-1], (8, 8), 1) == key
    assert len({key, content_hash(content[:2], (8, 8), 1), content_hash(content, (8, 8), 3)}) == 3


def test_a_key_of_a_network_depends_on_weights_buffers_and_layers() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU())
    keys = [network_hash(network), network_hash(network)]
    assert keys[0] == keys[1]
    torch.as_tensor(network[1].running_mean).add_(1)
    keys.append(network_hash(network))
    network[2] = nn.Tanh()
    keys.append(network_hash(network))
    keys.append(network_hash(network.to(torch.bfloat16)))
    assert len(set(keys)) == 4


def test_a_function_needs_a_key_of_its_own(tmp_path: Path) -> None:
    def features(pictures: Tensor) -> Tensor:
        return pictures.flatten(1)[:, :3]

    with pytest.raises(ValueError, match="network_key"):
        real_statistics([PICTURES], features, cache_dir=tmp_path)
    assert real_statistics([PICTURES], features, network_key="three pixels", cache_dir=tmp_path).count == 40


def test_pictures_that_come_once_need_a_key(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data_key"):
        real_statistics(iter([PICTURES]), Counting(), cache_dir=tmp_path)
    assert real_statistics(iter([PICTURES]), Counting(), data_key="mine", cache_dir=tmp_path).count == 40


def test_fewer_pictures_than_features_are_refused_unless_allowed(tmp_path: Path) -> None:
    for _ in range(2):  # computed, and read
        with pytest.raises(ValueError, match="2 real samples are fewer than the 3 features"):
            real_statistics([PICTURES[:2]], Counting(), cache_dir=tmp_path)
    assert real_statistics([PICTURES[:2]], Counting(), cache_dir=tmp_path, allow_few=True).count == 2


def test_features_that_cannot_be_are_an_error() -> None:
    with pytest.raises(ValueError, match="no picture"):
        statistics_of([], Counting())
    with pytest.raises(ValueError, match=r"expected \(40, D\)"):
        statistics_of([PICTURES], lambda pictures: pictures)
    with pytest.raises(ValueError, match="not finite"):
        statistics_of([PICTURES], lambda pictures: pictures.flatten(1) / 0)


def test_they_are_kept_in_the_cache_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert features_folder() == tmp_path / "lhy_lightning" / "features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert features_folder() == Path.home() / ".cache" / "lhy_lightning" / "features"
    assert features_folder("here") == Path("here")
