"""The benchmark of the training step still runs."""

import pytest

from benchmarks import train_step


def test_the_benchmark_prints_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    train_step.main(quick=True)
    printed = capsys.readouterr().out
    assert "| ResNet-20, width 16, 8 x 3 x 32 x 32, median of 2 |" in printed
    assert "| one linear layer" in printed
