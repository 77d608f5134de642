"""The benchmark of the training step still runs."""

from importlib import import_module
from pathlib import Path

import pytest


def test_the_benchmark_prints_its_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    # first, as other distributions install a package of that name
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    import_module("benchmarks.cnn.train_step").main(quick=True)
    printed = capsys.readouterr().out
    assert "| ResNet-20, width 16, 8 x 3 x 32 x 32, median of 2 |" in printed
    assert "| one linear layer" in printed
