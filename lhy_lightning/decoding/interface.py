"""What every encoder-decoder of this topic offers, so that losses, sampling and search know none of them by name."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


@dataclass
class Memory:
    """An encoded batch.

    Attributes:
        states: (N, S, D) outputs of the encoder.
        mask: (N, S) bool, True at tokens and False at padding.
        source_ids: (N, S) int64, as given to `encode`.
        summary: (L, N, D) what a recurrent decoder starts from; None for a Transformer.
        copy_ids: (N, S) int64, the source in ids of the extended target vocabulary, where copying is on.
        unknown_words: how many words beyond the vocabulary the batch's largest row has.
    """

    states: Tensor
    mask: Tensor
    source_ids: Tensor
    summary: Tensor | None = None
    copy_ids: Tensor | None = None
    unknown_words: int = 0


@dataclass
class Decoded:
    """Outputs of a decoder.

    Attributes:
        states: (N, T, D) what `project` turns into logits.
        attention: (N, T, S) float32, weights over the source that sum to one; None unless asked for.
        context: (N, T, D) the attended memory, for a copy gate; None unless attention was asked for.
    """

    states: Tensor
    attention: Tensor | None = None
    context: Tensor | None = None


class DecoderState(Protocol):
    """What decoding token by token keeps: B sentences, K hypotheses of each.

    What belongs to a sentence (encoded memory, its keys and values) is kept once, not K times, and never reordered.
    """

    def reorder(self, parents: Tensor) -> None:
        """Hypothesis k of sentence b goes on from its hypothesis `parents[b, k]`: (B, K') int64; K' may differ."""

    def keep(self, sentences: Tensor) -> None:
        """Drops finished sentences: `sentences` (B',) int64 are the rows to keep, in their order."""


@runtime_checkable
class Seq2SeqBody(Protocol):
    """An encoder-decoder without copying: `Transformer` and `RecurrentTranslator`.

    `decode` takes ids (N, T) int64 or target embeddings (N, T, E) float (see `embed_target`), so that scheduled
    sampling can mix them. `step` equals the last position of `decode` on the whole prefix.
    """

    vocab_size: int

    def encode(self, source_ids: Tensor) -> Memory:
        """Source (N, S) int64, padded, to memory."""

    def embed_target(self, ids: Tensor) -> Tensor:
        """Target ids (...,) int64 to embeddings (..., E), scaled but without positions."""

    def decode(self, inputs: Tensor, memory: Memory, *, attention: bool = False) -> Decoded:
        """All positions at once, each seeing only those before it: ids (N, T) or embeddings (N, T, E)."""

    def project(self, states: Tensor) -> Tensor:
        """States (..., D) to logits (..., V)."""

    def output_layer(self) -> tuple[Tensor, Tensor | None]:
        """Weight (V, D) and bias (V,) or None of `project`, for losses that never form all logits at once."""

    def start(self, memory: Memory, *, beams: int, max_length: int, attention: bool = False) -> DecoderState:
        """State before BOS, for `beams` hypotheses of each sentence and at most `max_length` steps."""

    def step(self, ids: Tensor, state: DecoderState) -> Decoded:
        """Feeds the last ids (B, K) int64 and returns Decoded with T replaced by K: states (B, K, D),
        attention (B, K, S) and context (B, K, D) if `start` was asked for them.
        """


class StepDecoder(Protocol):
    """What search needs, whatever is behind it: a body with or without copying, an ensemble."""

    def start(self, memory: Memory, *, beams: int, max_length: int, attention: bool = False) -> DecoderState:
        """As `Seq2SeqBody.start`."""

    def step(self, ids: Tensor, state: DecoderState) -> tuple[Tensor, Tensor | None]:
        """Last ids (B, K), extended ids allowed where copying is on, to log-probabilities (B, K, V') float32 and
        attention (B, K, S) or None.
        """
