"""Gradients divided by the tokens of the whole batch: all accumulated parts, all ranks."""

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule
from torch import Tensor

REFERENCE = 4096.0
"""Losses go backward divided by this many tokens, near a mean, so that float16 gradients stay in range."""


class TokenNormalization:
    """Turns sums over tokens into the gradient of the mean over all tokens of an optimizer step.

    Lightning divides a loss by the number of accumulated batches, DDP divides gradients by the number of ranks: both
    average averages, which is wrong where batches hold different numbers of tokens. Here every part contributes its
    sum, and the gradient is divided once by all tokens, before clipping:

        def training_step(self, batch, batch_idx):
            return self.normalization.add(loss_sum, tokens)

        def on_before_optimizer_step(self, optimizer):
            self.normalization.divide_gradients(self)
    """

    def __init__(self) -> None:
        self.tokens: Tensor | None = None

    def add(self, loss_sum: Tensor, tokens: Tensor) -> Tensor:
        """Counts a batch's tokens and returns the loss to go backward.

        Args:
            loss_sum: scalar, the loss summed over the batch's tokens.
            tokens: scalar int64, how many there are.

        Returns:
            Scalar, the sum over `REFERENCE`.
        """
        counted = tokens.detach().double() if tokens.device.type != "mps" else tokens.detach().float()
        self.tokens = counted if self.tokens is None else self.tokens + counted
        return loss_sum / REFERENCE

    def divide_gradients(self, module: LightningModule) -> None:
        """Divides the module's gradients by the tokens counted since the last call, over all ranks.

        Call it in `on_before_optimizer_step`: gradients are unscaled there and not clipped yet.
        """
        assert self.tokens is not None, "`add` comes before `divide_gradients`"
        trainer, tokens = module.trainer, self.tokens
        self.tokens = None
        if trainer.world_size > 1:
            dist.all_reduce(tokens)
        parts = trainer.accumulate_grad_batches * trainer.world_size
        factor = (REFERENCE * parts / tokens).float()
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        torch._foreach_mul_(gradients, factor)
