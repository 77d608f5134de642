"""The benchmarks run: the other package's side is stood in for by ours, behind its own interface."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lhy_lightning.autoencoders.quantizers.vector_quantizer import VectorQuantizer

ROOT = Path(__file__).parents[2]


class StandIn(nn.Module):
    """Takes the other package's arguments and shapes, and quantizes with ours."""

    def __init__(
        self, dim: int, codebook_size: int, decay: float, commitment_weight: float, rotation_trick: bool,
        threshold_ema_dead_code: float, kmeans_init: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        assert not rotation_trick
        self.quantizer = VectorQuantizer(
            codebook_size, dim, beta=commitment_weight, decay=decay, restart_below=threshold_ema_dead_code,
            codebook_init="kmeans" if kmeans_init else "random",
        )  # fmt: skip
        self._codebook = SimpleNamespace(embed=self.quantizer.codebook[None], embed_avg=self.quantizer.sums[None])

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        assert vectors.ndim == 3
        found = self.quantizer(vectors)
        return found.vectors, found.codes, found.loss[None]


@pytest.fixture
def other_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    package: Any = ModuleType("vector_quantize_pytorch")
    package.VectorQuantize = StandIn
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", package)


def test_time_and_memory_of_a_quantizers_step(
    other_package: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.autoencoders import vector_quantizer as benchmark

    monkeypatch.setattr(benchmark, "memory", lambda name, size: 1.0)  # a process of its own takes long to start
    (figure,) = benchmark.main(["--quick"])
    assert figure.codes_differ == 0
    assert figure.ours_ms > 0
    assert figure.theirs_ms > 0
    assert "| 256, 16, 8 |" in capsys.readouterr().out


def test_reconstructions_around_two_quantizers(
    other_package: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.autoencoders import vqvae_quality as benchmark

    arguments = ["embedded:digits", "--image_size", "8", "--downsamplings", "1", "--folder", str(tmp_path)]
    arguments += ["--steps", "3", "--seeds", "0", "--width", "8", "--dim", "4", "--codes", "16"]
    first = benchmark.main(arguments)
    runs = [first[side][0] for side in benchmark.SIDES]
    # one quantizer on both sides: equal first weights and batches give equal figures
    assert runs[0]["mse"] == pytest.approx(runs[1]["mse"], rel=1e-3)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(benchmark, "train", lambda *arguments: pytest.fail("what is there is not computed again"))
    assert benchmark.main(arguments) == first
    assert "| ours |" in capsys.readouterr().out
    assert torch.is_grad_enabled()
