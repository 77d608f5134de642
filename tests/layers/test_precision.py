"""Half precision becomes float32, and nothing becomes narrower."""

import pytest
import torch

from lhy_lightning.layers.precision import widened


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)  # fmt: skip
def test_half_precision_becomes_float32_and_doubles_stay(given: torch.dtype, expected: torch.dtype) -> None:
    assert widened(torch.ones(2, dtype=given)).dtype == expected
