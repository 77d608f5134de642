"""The pointer-generator, a copy mechanism: the next word comes from the vocabulary or from the source.

    P(w) = g P_vocabulary(w) + (1 - g) sum_{s: x_s = w} a_s          (See et al. 2017, https://arxiv.org/abs/1704.04368)

with attention a over the source x and a gate g in [0, 1] learned at every step. Words that only the source has get
ids V, V + 1, ... of their own in each row: the extended vocabulary. CopyNet (Gu et al. 2016,
https://arxiv.org/abs/1603.06393) has no gate: one softmax runs over vocabulary scores and separate copy scores.

Conventions, all for the sum of the distribution to be exactly one:
- EOS of the source is a word like others: attending to it adds to the probability of EOS.
- Padding is not copied, as attention is zero there (its `copy_ids` of 0 add nothing to the padding id).
- Where attention sums to less than one (monotonic attention that ran off the end), the vocabulary gets what is left.

The gate is handed round before its sigmoid, for log g and log (1 - g) to be exact at both ends.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lhy_lightning.decoding.interface import Seq2SeqBody
from lhy_lightning.seq2seq.rnn.attention import full_precision

# A softmax's float32 sum is off one by less than this, and must not be taken for attention that ran off the end.
ROUNDING = 1e-5


class CopyHead(nn.Module):
    """The gate: g = sigmoid(w . [state; context; embedding of the input] + b), equation 8 of See et al. 2017.

    Args:
        width: D, features of the decoder's states.
        embedding: E, features of the embedded input token.
        context: C, features of the attended memory; `width` where None.
    """

    def __init__(self, width: int, embedding: int, context: int | None = None) -> None:
        super().__init__()
        self.gate = nn.Linear(width + (context or width) + embedding, 1)

    @classmethod
    def for_body(cls, body: nn.Module) -> CopyHead:
        """A head of the sizes of `body`, a `Seq2SeqBody`: its output layer's, and `context_width` where it has one."""
        network = cast(Seq2SeqBody, body)
        weight, _ = network.output_layer()
        embedded = network.embed_target(torch.zeros(1, dtype=torch.long, device=weight.device))
        return cls(weight.shape[1], embedded.shape[-1], getattr(body, "context_width", None))

    def forward(self, states: Tensor, context: Tensor, embedded: Tensor) -> Tensor:
        """States (N, T, D), context (N, T, C) and embedded input (N, T, E) to the gate's logit (N, T, 1).

        Its sigmoid is the probability of the vocabulary.
        """
        logit: Tensor = self.gate(torch.cat((states, context, embedded), dim=-1))
        return logit


def copy_log_probabilities(
    logits: Tensor, attention: Tensor, gate: Tensor, copy_ids: Tensor, unknown_words: int
) -> Tensor:
    """Log-probabilities over the extended vocabulary, for search; training has `copy_negative_log_likelihood`.

    Args:
        logits: (N, T, V) of the vocabulary; T are positions or hypotheses.
        attention: (N, T, S), zero at padding, with a sum of one (or less).
        gate: (N, T, 1), logit of the probability of the vocabulary: `CopyHead`'s output.
        copy_ids: (N, S) int64, the source in ids of the extended vocabulary.
        unknown_words: U, most unknown words of a row.

    Returns:
        (N, T, V + U) float32 (float64 for float64), -inf for unknown words that a row has not got. Gradients are
        finite.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits, attention = full_precision(logits), full_precision(attention)
        log_generate, log_copy = _log_shares(full_precision(gate), attention)
        generated = F.pad(logits.log_softmax(-1) + log_generate, (0, unknown_words), value=-math.inf)
        places = copy_ids[:, None].expand_as(attention)
        mass = torch.zeros_like(generated).scatter_add(2, places, attention.to(generated.dtype))
        copied = mass > 0
        # log of 1 where nothing is copied: log 0 has no finite gradient, even behind a `where`
        log_mass = mass.masked_fill(~copied, 1.0).log() + log_copy
        return torch.where(copied, torch.logaddexp(generated, log_mass), generated)


def copy_negative_log_likelihood(
    logits: Tensor, attention: Tensor, gate: Tensor, copy_ids: Tensor, targets: Tensor
) -> Tensor:
    """-log P(target) alone: `copy_log_probabilities` at the targets, without V + U numbers for every position.

    Args:
        logits: (N, T, V) of the vocabulary.
        attention: (N, T, S), zero at padding, with a sum of one (or less).
        gate: (N, T, 1), logit of the probability of the vocabulary.
        copy_ids: (N, S) int64, the source in ids of the extended vocabulary.
        targets: (N, T) int64, ids of the extended vocabulary. Ids of V and above must be among the row's `copy_ids`.

    Returns:
        (N, T) float32 (float64 for float64), padding not masked. An unknown word without any attention costs log of
        the smallest normal number (87) rather than infinity.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits, attention = full_precision(logits), full_precision(attention)
        log_generate, log_copy = _log_shares(full_precision(gate), attention)
        known = targets < logits.shape[2]
        chosen = logits.gather(2, targets.masked_fill(~known, 0)[..., None])[..., 0]
        generated = chosen - logits.logsumexp(-1) + log_generate[..., 0]
        same = copy_ids[:, None, :] == targets[:, :, None]  # (N, T, S)
        mass = attention.masked_fill(~same, 0.0).sum(-1)
        tiny = torch.finfo(mass.dtype).tiny
        copied = mass.clamp(min=tiny).log() + log_copy[..., 0]
        both = torch.logaddexp(generated, copied)
        likelihood = torch.where(known, torch.where(mass > 0, both, generated), copied)
        return -likelihood


def _log_shares(gate: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
    """Log of the vocabulary's share g + (1 - g) (1 - sum a), and of the share 1 - g of copying: (N, T, 1) each."""
    left = (1 - attention.sum(-1, keepdim=True) - ROUNDING).clamp(min=0)
    # log(g + (1 - g) l) = log g + log(1 + l exp(-gate)); the clamp keeps exp finite, and 0 times it 0
    return F.logsigmoid(gate) + torch.log1p(left * torch.exp(-gate.clamp(min=-60))), F.logsigmoid(-gate)
