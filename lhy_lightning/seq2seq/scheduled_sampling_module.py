"""`ScheduledSamplingTranslator`: training that is fed some of the model's own tokens."""

from dataclasses import asdict, dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from lhy_lightning.core.arguments.ranges import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import TranslationBatch
from lhy_lightning.data.tokenizers.special_tokens import PAD
from lhy_lightning.decoding.interface import Decoded, Memory
from lhy_lightning.seq2seq.scheduled_sampling.decoding import free_running_states, scheduled_sampling_states
from lhy_lightning.seq2seq.scheduled_sampling.mixing import Mix, Schedule, sampling_probability
from lhy_lightning.seq2seq.translator import Translator, TranslatorArguments, gold_inputs


@dataclass(frozen=True)
class SamplingSettings:
    """Arguments of `sampling_probability`, but for the step."""

    schedule: Schedule
    start: float
    end: float
    steps: int | None
    k: float | None


@dataclass(frozen=True)
class MixSettings:
    """What replaces a token, as both ways of decoding take it."""

    mix: Mix
    temperature: float


@dataclass(frozen=True)
class PassSettings:
    """What only a decoder takes that decodes all positions at once."""

    passes: int
    k: int
    gradient_through_first_pass: bool


class ScheduledSamplingTranslator(Translator):
    """A `Translator` whose decoder is fed, with growing probability, what it would have said itself.

    The lecture's answer to exposure bias (Bengio et al. 2015, https://arxiv.org/abs/1506.03099): a Transformer in two
    parallel passes (Mihaylova and Martins 2019, https://arxiv.org/abs/1906.07651), a recurrent network step by step.
    `train/replaced` is the share of inputs that were replaced. The equations are in `scheduled_sampling/`.

    Args:
        sampling: how the probability of a replacement grows: "linear", "exponential", "inverse_sigmoid", "constant".
        sampling_start: its value at first.
        sampling_end: its value at last.
        sampling_after: updates of plain teacher forcing before it starts to grow.
        sampling_steps: updates in which "linear" grows.
        sampling_k: speed of "exponential" (below 1) and "inverse_sigmoid" (above 1).
        mix: what replaces a token: "argmax", "sample", or the mean embedding of the "top_k" or of all ("softmax").
        mix_k: how many embeddings "top_k" mixes.
        mix_temperature: divides the logits that are sampled from or weigh the embeddings.
        gradient_through_first_pass: of the two embedding mixes.
        passes: of a Transformer's decoder; 2 is the papers' form.
        arguments: as `Translator`.

    Raises:
        ValueError: a schedule without its number, a mix that does not exist; see also `Translator`.

    Example:
        >>> from lhy_lightning import ScheduledSamplingTranslator
        >>> model = ScheduledSamplingTranslator(sampling="linear", sampling_end=0.5, sampling_steps=4000)
        >>> model.hparams["sampling_end"]
        0.5
    """

    argument_ranges = ranges(
        sampling_start=SHARE, sampling_end=SHARE, sampling_after=NOT_NEGATIVE, sampling_steps=COUNT,
        sampling_k=POSITIVE, mix_k=COUNT, mix_temperature=POSITIVE, passes=COUNT,
    )  # fmt: skip

    def __init__(
        self,
        *,
        sampling: Schedule = "linear",
        sampling_start: float = 0.0,
        sampling_end: float = 0.5,
        sampling_after: int = 0,
        sampling_steps: int | None = None,
        sampling_k: float | None = None,
        mix: Mix = "argmax",
        mix_k: int = 5,
        mix_temperature: float = 1.0,
        gradient_through_first_pass: bool = False,
        passes: int = 2,
        **arguments: Unpack[TranslatorArguments],
    ) -> None:
        super().__init__(**arguments)
        self.sampling_settings = SamplingSettings(sampling, sampling_start, sampling_end, sampling_steps, sampling_k)
        self.sampling_after = sampling_after
        self.mix_settings = MixSettings(mix, mix_temperature)
        self.pass_settings = PassSettings(passes, mix_k, gradient_through_first_pass)
        self.probability(0)  # a schedule that misses a number is told now
        self.replaced: Tensor | None = None

    def probability(self, step: int) -> float:
        """Probability of a replacement after `step` updates."""
        return sampling_probability(step - self.sampling_after, **asdict(self.sampling_settings))

    def decode_target(self, memory: Memory, batch: TranslationBatch) -> tuple[Decoded, Tensor]:
        """Decoder states of a mixture of gold and own inputs; at probability 0 teacher forcing to the bit."""
        body = self.translation_network.body
        gold = F.pad(gold_inputs(batch), (0, 1), value=PAD)  # the functions leave the last column out
        probability = self.probability(self.trainer.global_step)
        settings: dict[str, Any] = {"attention": self.looks_at_attention, **asdict(self.mix_settings)}
        if self.network_name == "gru":
            decoded, self.replaced = free_running_states(body, memory, gold, probability, **settings)
        else:
            settings |= asdict(self.pass_settings)
            decoded, self.replaced = scheduled_sampling_states(body, memory, gold, probability, **settings)
        return decoded, gold[:, :-1] if decoded.inputs is None else decoded.inputs

    def loss(self, batch: TranslationBatch) -> tuple[Tensor, dict[str, Tensor]]:
        loss, figures = super().loss(batch)
        assert self.replaced is not None
        return loss, {**figures, "train/replaced": self.replaced}
