"""Gradients are those of the mean over all tokens of the accumulated batch of all ranks."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lhy_lightning.training.token_normalization import TokenNormalization

BATCHES = [torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), torch.tensor([10.0]), torch.tensor([7.0, -3.0])]


class Mean(LightningModule):
    """Its loss is w times each token's number: the gradient is the mean of the numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.normalization = TokenNormalization()
        self.gradients: list[float] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.normalization.add((self.weight * batch).sum(), torch.tensor(len(batch)))

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.normalization.divide_gradients(self)
        assert self.weight.grad is not None
        self.gradients.append(float(self.weight.grad))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("accumulated", "expected"), [(1, [3.0, 10.0, 2.0]), (3, [29 / 8]), (2, [25 / 6, 2.0])], ids=["1", "3", "2"]
)
def test_the_gradient_is_the_mean_over_all_tokens_of_an_accumulated_batch(
    accumulated: int, expected: list[float]
) -> None:
    module = Mean()
    trainer = Trainer(
        max_epochs=1, accumulate_grad_batches=accumulated, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    trainer.fit(module, DataLoader(BATCHES, batch_size=None))  # type: ignore[arg-type]
    assert module.gradients == pytest.approx(expected)


def test_ranks_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # DDP leaves the mean of both ranks' gradients: ranks of 5 and 1 tokens here.
    module = Mean()
    module.normalization.add((module.weight * BATCHES[0]).sum(), torch.tensor(5)).backward()
    other = TokenNormalization().add(BATCHES[1].sum(), torch.tensor(1))
    assert module.weight.grad is not None
    module.weight.grad = (module.weight.grad + other) / 2
    monkeypatch.setattr("torch.distributed.all_reduce", lambda tokens: tokens.add_(1))
    module._trainer = SimpleNamespace(world_size=2, accumulate_grad_batches=1)  # type: ignore[assignment]
    module.normalization.divide_gradients(module)
    assert float(module.weight.grad) == pytest.approx(25 / 6)
