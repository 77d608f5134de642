"""A translation network: an encoder-decoder, with or without copying. Plain PyTorch, no Lightning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from lhy_lightning.decoding.interface import Decoded, DecoderState, Memory, Seq2SeqBody
from lhy_lightning.seq2seq.copying import CopyHead, copy_log_probabilities
from lhy_lightning.seq2seq.rnn.rnn import RecurrentTranslator
from lhy_lightning.seq2seq.transformer import Transformer

PAD, UNK = 0, 3
RECURRENT = ("embedding", "width", "dropout")
TRANSFORMER = (
    "width", "heads", "feedforward", "dropout", "norm", "activation", "positions", "max_positions", "attention_layer",
    "attention_heads",
)  # fmt: skip


class TranslationNetwork(nn.Module):
    """An encoder-decoder and, with `copying`, the pointer-generator's mixture of vocabulary and source words.

    Search sees it as a `StepDecoder`; training calls `encode` and `decode` and never forms logits that no loss needs.

    Args:
        body: a `Transformer` or `RecurrentTranslator`.
        copying: a copy head for the body's widths, or None.

    Example:
        >>> import torch
        >>> from lhy_lightning import Transformer, TranslationNetwork
        >>> network = TranslationNetwork(Transformer(20, 20, layers=1, width=8, heads=2, feedforward=16))
        >>> network.encode(torch.tensor([[5, 6, 2]])) is not None
        True
    """

    def __init__(self, body: nn.Module, copying: CopyHead | None = None) -> None:
        super().__init__()
        if not isinstance(body, Seq2SeqBody):
            raise TypeError(f"{type(body).__name__} is no encoder-decoder: see lhy_lightning/decoding/interface.py.")
        self.body: Seq2SeqBody = cast(Seq2SeqBody, body)
        self.copying = copying

    def encode(self, source_ids: Tensor, copy_ids: Tensor | None = None, unknown_words: int = 0) -> Memory:
        """Source ids (N, S) to memory; with copying also the source in ids of the extended target vocabulary.

        Raises:
            ValueError: copying is on and `copy_ids` are missing.
        """
        memory = self.body.encode(source_ids)
        if self.copying is not None:
            if copy_ids is None:
                raise ValueError("the network copies, but the batch has no copy_ids: set copying of the data as well.")
            memory.copy_ids, memory.unknown_words = copy_ids, unknown_words
        return memory

    def embeddable(self, ids: Tensor) -> Tensor:
        """Ids of the extended vocabulary as ids that have an embedding: copied unknown words are UNK again."""
        return ids if self.copying is None else ids.masked_fill(ids >= self.body.vocab_size, UNK)

    def gate(self, decoded: Decoded, embedded: Tensor) -> Tensor:
        """Logit of the probability of writing from the vocabulary rather than copying, (N, T, 1)."""
        assert self.copying is not None
        assert decoded.context is not None
        logit: Tensor = self.copying(decoded.states, decoded.context, embedded)
        return logit

    def log_probabilities(self, decoded: Decoded, embedded: Tensor, memory: Memory) -> Tensor:
        """Log-probabilities (N, T, V') float32 of every next token; V' is V plus unknown words where copying is on."""
        logits = self.body.project(decoded.states)
        if self.copying is None:
            return logits.float().log_softmax(-1)
        assert decoded.attention is not None
        assert memory.copy_ids is not None
        return copy_log_probabilities(
            logits, decoded.attention, self.gate(decoded, embedded), memory.copy_ids, memory.unknown_words
        )

    def forward(
        self, source_ids: Tensor, inputs: Tensor, copy_ids: Tensor | None = None, unknown_words: int = 0
    ) -> Tensor:
        """Teacher forcing: source (N, S) and target inputs (N, T), BOS first, to log-probabilities (N, T, V')."""
        memory = self.encode(source_ids, copy_ids, unknown_words)
        inputs = self.embeddable(inputs)
        decoded = self.body.decode(inputs, memory, attention=self.copying is not None)
        embedded = self.body.embed_target(inputs) if self.copying is not None else inputs
        return self.log_probabilities(decoded, embedded, memory)

    # --- token by token --------------------------------------------------------------------------------------------

    def start(self, memory: Memory, *, beams: int, max_length: int, attention: bool = False) -> NetworkState:
        """State before BOS for `beams` hypotheses of each sentence."""
        body = self.body.start(
            memory, beams=beams, max_length=max_length, attention=attention or self.copying is not None
        )
        return NetworkState(body, memory.copy_ids, memory.unknown_words)

    def step(self, ids: Tensor, state: DecoderState) -> tuple[Tensor, Tensor | None]:
        """Last ids (B, K) to log-probabilities (B, K, V') float32 and attention (B, K, S) or None."""
        state = cast(NetworkState, state)
        ids = self.embeddable(ids)
        decoded = self.body.step(ids, state.body)
        if self.copying is None:
            return self.body.project(decoded.states).float().log_softmax(-1), decoded.attention
        assert decoded.attention is not None
        assert state.copy_ids is not None
        gate = self.gate(decoded, self.body.embed_target(ids))
        logits = self.body.project(decoded.states)
        mixed = copy_log_probabilities(logits, decoded.attention, gate, state.copy_ids, state.unknown_words)
        return mixed, decoded.attention


@dataclass
class NetworkState:
    """The body's state and what a copying step looks up for each sentence."""

    body: DecoderState
    copy_ids: Tensor | None
    unknown_words: int

    def reorder(self, parents: Tensor) -> None:
        self.body.reorder(parents)

    def keep(self, sentences: Tensor) -> None:
        self.body.keep(sentences)
        if self.copy_ids is not None:
            self.copy_ids = self.copy_ids.index_select(0, sentences)


def build_body(
    source_vocab: int, target_vocab: int, *, network: str, share_embeddings: Any, joint: bool, **numbers: Any
) -> nn.Module:
    """The encoder-decoder that a `Translator`'s arguments describe.

    Args:
        source_vocab, target_vocab: entries of the vocabularies.
        network: "transformer" or "gru".
        share_embeddings: "all", "decoder", "none"; None for the most that `joint` allows.
        joint: both vocabularies are one.
        numbers: the other arguments of `Translator`; those that the network takes are used.

    Raises:
        ValueError: embeddings of two vocabularies shared; see also the networks themselves.
    """
    share = share_embeddings or ("all" if joint else "decoder")
    if share == "all" and not joint:
        raise ValueError("share_embeddings='all' needs one vocabulary: set joint of the data, or 'decoder' here.")
    layers: dict[str, Any] = {"encoder_layers": numbers["layers"], "decoder_layers": numbers["layers"]}
    names = TRANSFORMER if network == "transformer" else RECURRENT
    taken = {name: numbers[name] for name in names} | layers | {"share_embeddings": share}
    if network == "transformer":
        return Transformer(source_vocab, target_vocab, **taken)
    return RecurrentTranslator(source_vocab, target_vocab, **taken, attention=numbers["rnn_attention"])


def length_limits(source_ids: Tensor, factor: float, offset: int, longest: int) -> Tensor:
    """Most tokens, EOS among them, that a translation may have: factor * own source length + offset.

    It depends on the sentence alone, so that batch mates never change an output.

    Args:
        source_ids: (N, S) int64, padded with 0.
        factor, offset: of the source's tokens.
        longest: never more than this.

    Returns:
        (N,) int64.
    """
    lengths = (source_ids != PAD).sum(1)
    return (lengths * factor + offset).long().clamp(min=1, max=longest)
