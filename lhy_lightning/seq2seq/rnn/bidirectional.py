"""A GRU in both directions. Plain PyTorch."""

import torch
from torch import Tensor, nn


class BidirectionalGRU(nn.Module):
    """One layer in both directions over right-padded rows, in which padding changes nothing.

    `pack_padded_sequence` wants lengths on the CPU, which stops a GPU's queue at every batch; here the second GRU reads
    each row turned round within its own length.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.forwards = nn.GRU(inputs, width, batch_first=True)
        self.backwards = nn.GRU(inputs, width, batch_first=True)

    def forward(self, inputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (N, S, I) and mask (N, S) bool to outputs (N, S, 2W) and last states of both directions, (N, 2W)."""
        lengths = mask.sum(1, keepdim=True)
        places = torch.arange(inputs.shape[1], device=inputs.device)
        turned = torch.where(mask, lengths - 1 - places, places)[..., None]  # (N, S, 1)
        ahead, _ = self.forwards(inputs)
        back, _ = self.backwards(inputs.gather(1, turned.expand_as(inputs)))
        end = (lengths - 1).clamp(min=0)[..., None].expand(-1, -1, ahead.shape[2])  # (N, 1, W)
        last = torch.cat((ahead.gather(1, end), back.gather(1, end)), dim=2)[:, 0]
        return torch.cat((ahead, back.gather(1, turned.expand_as(back))), dim=2), last
