"""`BleuTranslator`: reinforcement learning on BLEU of sampled sentences, after cross entropy."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lhy_lightning.core.arguments.ranges import POSITIVE, SHARE, Range, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import TranslationBatch
from lhy_lightning.data.tokenizers.special_tokens import BOS, EOS, PAD
from lhy_lightning.decoding.sampling import sample
from lhy_lightning.metrics.texts.sentence_bleu import sentence_bleu_ids
from lhy_lightning.seq2seq.losses.risk import (
    distinct_samples,
    minimum_risk_loss,
    self_critical_loss,
    sequence_log_probability,
)
from lhy_lightning.seq2seq.networks import length_limits
from lhy_lightning.seq2seq.translator import Translator, TranslatorArguments


class BleuTranslator(Translator):
    """A `Translator` that is trained on what it is measured by, starting from a checkpoint of cross entropy.

    Every sentence is translated `samples` times by drawing from the model; sentence BLEU of each draw, on token ids,
    is its reward. "minimum_risk" (Shen et al. 2016, https://arxiv.org/abs/1512.02433) takes the expected loss under
    the draws' renormalised probabilities, "self_critical" (Rennie et al. 2017, https://arxiv.org/abs/1612.00563) is
    REINFORCE against the other draws' mean. `train/reward` is the mean reward of the draws.

    Args:
        objective: "minimum_risk" or "self_critical".
        samples: draws a sentence.
        sharpness: of minimum risk: exponent of the probabilities before they are renormalised.
        with_reference: minimum risk counts the reference as one more draw, as the paper found to help.
        cross_entropy_weight: share of the plain loss that is kept.
        temperature: of drawing; self-critical training is unbiased at 1 only.
        arguments: as `Translator`; `start_from` names the checkpoint.

    Raises:
        ValueError: no `start_from`, fewer than two samples, copying.

    Example:
        >>> from lhy_lightning import BleuTranslator, Translator
        >>> issubclass(BleuTranslator, Translator), BleuTranslator.monitor  # it starts from a trained `Translator`
        (True, ('val/bleu', 'max'))
    """

    argument_ranges = ranges(
        samples=Range(at_least=2, note="of which BLEU is compared"), sharpness=POSITIVE, cross_entropy_weight=SHARE,
        temperature=POSITIVE,
    )  # fmt: skip

    def __init__(
        self,
        *,
        objective: Literal["minimum_risk", "self_critical"] = "minimum_risk",
        samples: int = 8,
        sharpness: float = 0.05,
        with_reference: bool = True,
        cross_entropy_weight: float = 0.3,
        temperature: float = 1.0,
        **arguments: Unpack[TranslatorArguments],
    ) -> None:
        super().__init__(**arguments)
        if self.copies:
            raise ValueError("training on BLEU draws from the vocabulary alone: set copying to false.")
        if self.start_from is None and self.network is None:
            raise ValueError(
                "training on BLEU starts from a translator: set start_from to a checkpoint of cross entropy; a model "
                "that starts from nothing draws nothing that BLEU rewards."
            )
        self.objective, self.samples, self.sharpness = objective, samples, sharpness
        self.with_reference, self.cross_entropy_weight = with_reference, cross_entropy_weight
        self.temperature = temperature

    def draw(self, batch: TranslationBatch) -> tuple[Tensor, Tensor]:
        """Draws from the model as it translates, without dropout; their probabilities are taken with it.

        Returns:
            Ids (N, K, T) int64 with EOS, padded; with `with_reference` the reference is the last of K. Rewards (N, K)
            float32 in 0 … 1.
        """
        network = self.translation_network
        network.eval()
        with torch.no_grad():
            memory = network.encode(batch["source_ids"])
            limits = length_limits(batch["source_ids"], *self.length_limit)
            drawn = sample(
                network, memory, samples=self.samples, temperature=self.temperature, max_length=limits,
                suppress=(PAD, BOS), bos_id=BOS, eos_id=EOS,
            ).ids  # fmt: skip
        network.train()
        gold = batch["target_ids"][:, 1:]
        if self.with_reference and self.objective == "minimum_risk":
            width = max(drawn.shape[2], gold.shape[1])
            drawn = F.pad(drawn, (0, width - drawn.shape[2]), value=PAD)
            gold = F.pad(gold, (0, width - gold.shape[1]), value=PAD)
            drawn = torch.cat([drawn, gold[:, None]], dim=1)
        references = [real_tokens(row) for row in gold.tolist()]
        hypotheses = [[real_tokens(row) for row in rows] for rows in drawn.tolist()]
        flat = [hypothesis for rows in hypotheses for hypothesis in rows]
        repeated = [reference for reference in references for _ in range(drawn.shape[1])]
        rewards = sentence_bleu_ids(flat, repeated).view(drawn.shape[:2])
        return drawn, rewards.to(drawn.device)

    def log_probabilities(self, batch: TranslationBatch, drawn: Tensor) -> Tensor:
        """Log-probabilities (N, K) of draws (N, K, T) under the network, with gradient."""
        network = self.translation_network.body
        memory = network.encode(batch["source_ids"])
        rows, samples, width = drawn.shape
        repeated = type(memory)(
            states=memory.states.repeat_interleave(samples, 0), mask=memory.mask.repeat_interleave(samples, 0),
            source_ids=memory.source_ids.repeat_interleave(samples, 0),
            summary=None if memory.summary is None else memory.summary.repeat_interleave(samples, 1),
        )  # fmt: skip
        outputs = drawn.reshape(rows * samples, width)
        inputs = torch.cat([outputs.new_full((len(outputs), 1), BOS), outputs[:, :-1]], dim=1)
        states = network.decode(inputs, repeated).states
        real = outputs != PAD
        each = -F.cross_entropy(network.project(states[real]).float(), outputs[real], reduction="none")
        padded = torch.zeros(outputs.shape, device=each.device).index_put((real,), each)
        return sequence_log_probability(padded, real).view(rows, samples)

    def loss(self, batch: TranslationBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss on BLEU, scaled from sentences to tokens so that both losses are divided by the same number."""
        drawn, rewards = self.draw(batch)
        chances = self.log_probabilities(batch, drawn)
        if self.objective == "minimum_risk":
            objective = minimum_risk_loss(chances, rewards, sharpness=self.sharpness, mask=distinct_samples(drawn))
        else:
            objective = self_critical_loss(chances, rewards)
        plain, figures = super().loss(batch)
        tokens = (batch["target_ids"][:, 1:] != PAD).sum()
        sentences = len(drawn)
        loss = objective * tokens / sentences * (1 - self.cross_entropy_weight) + self.cross_entropy_weight * plain
        own = rewards[:, : self.samples]
        return loss, {**figures, "train/reward": own.mean(), "train/objective": objective.detach() / sentences}


def real_tokens(ids: list[int]) -> list[int]:
    """Ids up to EOS, without it."""
    return ids[: ids.index(EOS)] if EOS in ids else [i for i in ids if i != PAD]
