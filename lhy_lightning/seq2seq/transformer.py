"""The Transformer of Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762) with its usual variants. Plain PyTorch."""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lhy_lightning.decoding.interface import Decoded, Memory
from lhy_lightning.layers.dropout import dropout as drop
from lhy_lightning.layers.transformer.attention import CrossAttention, SelfAttention
from lhy_lightning.layers.transformer.layers import ACTIVATIONS, DecoderLayer, EncoderLayer, FeedForward, Settings
from lhy_lightning.layers.transformer.packing import Packing
from lhy_lightning.layers.transformer.positions import LearnedPositions, RotaryPositions, SinusoidalPositions
from lhy_lightning.layers.transformer.state import LayerCache, TransformerState


class Transformer(nn.Module):
    """Encoder-decoder Transformer (`Seq2SeqBody`).

    Weights start as in fairseq (its `multihead_attention` and `transformer_layer`): Xavier-uniform matrices,
    those of queries, keys and values times 1/sqrt(2), embeddings normal with deviation width**-0.5 and multiplied by
    sqrt(width), biases zero.

    Args:
        source_vocab, target_vocab: entries of the vocabularies.
        layers: of encoder and decoder, unless `encoder_layers` or `decoder_layers` says otherwise.
        width: features D of a token.
        heads: attention heads, a divisor of the width.
        feedforward: hidden width of the feed-forward layers.
        dropout: on embeddings and on every sublayer's output; attention_dropout, activation_dropout: on attention
            weights and on the feed-forward layers' hidden values.
        norm: "post" (the paper's) or "pre" (with a last norm in encoder and decoder); see `Residual`.
        activation: "relu", "gelu", "silu" or "swiglu"; see `FeedForward`.
        positions: "sinusoidal", "learned" or "rotary" (in self-attention). Sinusoidal ones are those of the public
            model with the same norm: `sinusoids` from 0 on for post, `tensor2tensor_sinusoids` from pad_id + 1 on for
            pre, so that both can be exported (`lhy_lightning.seq2seq.marian`).
        share_embeddings: one matrix for "all" (source, target and output), for the "decoder" (target and output), or
            "none".
        max_positions: learned positions there are; others grow.
        attention_layer: which cross-attention layer gives the weights that `attention=True` asks for.
        attention_heads: how many of its first heads are averaged; None for all.
        pad_id: padding, in both vocabularies; at the end of a row.

    Raises:
        ValueError: settings that do not exist or do not go together.

    Example:
        >>> import torch
        >>> from lhy_lightning import Transformer
        >>> model = Transformer(20, 20, layers=1, width=8, heads=2, feedforward=16)
        >>> memory = model.encode(torch.tensor([[5, 6, 2]]))
        >>> decoded = model.decode(torch.tensor([[1, 7]]), memory)
        >>> tuple(model.project(decoded.states).shape)  # logits (N, T, V)
        (1, 2, 20)
    """

    def __init__(
        self,
        source_vocab: int,
        target_vocab: int,
        *,
        layers: int = 6,
        encoder_layers: int | None = None,
        decoder_layers: int | None = None,
        width: int = 512,
        heads: int = 8,
        feedforward: int = 2048,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        norm: str = "post",
        activation: str = "relu",
        positions: str = "sinusoidal",
        share_embeddings: str = "all",
        max_positions: int = 1024,
        attention_layer: int = -1,
        attention_heads: int | None = None,
        pad_id: int = 0,
    ) -> None:
        super().__init__()
        for name, value, choices in (
            ("norm", norm, ("post", "pre")),
            ("activation", activation, (*ACTIVATIONS, "swiglu")),
            ("positions", positions, ("sinusoidal", "learned", "rotary")),
            ("share_embeddings", share_embeddings, ("all", "decoder", "none")),
        ):
            if value not in choices:
                raise ValueError(f"{name} is one of {', '.join(choices)}, not {value!r}")
        for name, rate in (
            ("dropout", dropout),
            ("attention_dropout", attention_dropout),
            ("activation_dropout", activation_dropout),
        ):
            if not 0 <= rate < 1:
                raise ValueError(f"{name} is a share in [0, 1), not {rate}")
        if width % heads:
            raise ValueError(f"heads must divide width: {width} / {heads}")
        if share_embeddings == "all" and source_vocab != target_vocab:
            raise ValueError(
                f"one matrix for all embeddings needs a joint vocabulary, not {source_vocab} and {target_vocab} entries"
            )
        encoder_layers = layers if encoder_layers is None else encoder_layers
        decoder_layers = layers if decoder_layers is None else decoder_layers
        if not -decoder_layers <= attention_layer < decoder_layers:
            raise ValueError(f"attention_layer {attention_layer} of {decoder_layers} layers")
        if attention_heads is not None and not 1 <= attention_heads <= heads:
            raise ValueError(f"attention_heads {attention_heads} of {heads} heads")
        self.vocab_size, self.width, self.heads, self.pad_id = target_vocab, width, heads, pad_id
        self.feedforward, self.activation, self.max_positions = feedforward, activation, max_positions
        self.dropout, self.attention_dropout, self.activation_dropout = dropout, attention_dropout, activation_dropout
        self.norm, self.positions, self.share_embeddings = norm, positions, share_embeddings
        self.scale = math.sqrt(width)
        self.attention_layer, self.attention_heads = attention_layer % decoder_layers, attention_heads

        self.source_embedding = nn.Embedding(source_vocab, width)
        self.target_embedding = (
            self.source_embedding if share_embeddings == "all" else nn.Embedding(target_vocab, width)
        )
        self.output_weight = self.target_embedding.weight
        if share_embeddings == "none":
            self.output_weight = nn.Parameter(torch.empty(target_vocab, width))
        rotary = RotaryPositions(width // heads, max_positions) if positions == "rotary" else None
        self.source_positions: nn.Module | None = None
        self.target_positions: nn.Module | None = None
        if positions == "sinusoidal":
            first = pad_id + 1 if norm == "pre" else 0
            self.source_positions = SinusoidalPositions(width, max_positions, first=first, tensor2tensor=norm == "pre")
            self.target_positions = self.source_positions
        elif positions == "learned":
            self.source_positions = LearnedPositions(width, max_positions)
            self.target_positions = LearnedPositions(width, max_positions)
        settings = Settings(
            width, heads, feedforward, dropout, attention_dropout, activation_dropout, norm, activation, rotary
        )
        self.encoder = nn.ModuleList(EncoderLayer(settings) for _ in range(encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(settings) for _ in range(decoder_layers))
        self.encoder_norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws embeddings and matrices anew."""
        for module in self.modules():
            if isinstance(module, SelfAttention | CrossAttention | FeedForward | LearnedPositions):
                module.reset_parameters()
        for table in (self.source_embedding.weight, self.target_embedding.weight, self.output_weight):
            nn.init.normal_(table, std=self.width**-0.5)

    @property
    def decoder_layers(self) -> list[DecoderLayer]:
        """The decoder, as what it holds."""
        return cast(list[DecoderLayer], self.decoder)

    def embed_target(self, ids: Tensor) -> Tensor:
        """Target ids (...) int64 to embeddings (..., D), scaled but without positions."""
        return F.embedding(ids, self.target_embedding.weight) * self.scale

    def embed(
        self, inputs: Tensor, packing: Packing, embedding: nn.Embedding, positions: nn.Module | None, places: slice
    ) -> Tensor:
        """Ids (N, T) or scaled embeddings (N, T, D), at positions `places`, to rows (M, D)."""
        scale = 1.0 if inputs.is_floating_point() else self.scale
        x = inputs if inputs.is_floating_point() else F.embedding(inputs, embedding.weight)
        x = x * scale if positions is None else torch.add(positions(places), x, alpha=scale)
        return drop(packing.pack(x), self.dropout, self.training)

    def encode(self, source_ids: Tensor) -> Memory:
        """Source (N, S) int64, padded, to memory with states (N, S, D)."""
        mask = source_ids != self.pad_id
        packing = Packing.of(mask)
        x = self.embed(source_ids, packing, self.source_embedding, self.source_positions, slice(0, source_ids.shape[1]))
        for layer in self.encoder:
            x = layer(x, packing, mask[:, None, None])
        return Memory(packing.unpack(self.encoder_norm(x)), mask, source_ids)

    def decode(self, inputs: Tensor, memory: Memory, *, attention: bool = False) -> Decoded:
        """All positions at once, each seeing only those before it.

        Padding after a row's last token is never looked at by the tokens before it, so it needs no mask. What comes out
        there means nothing.

        Args:
            inputs: ids (N, T) int64, BOS first, or embeddings (N, T, D) as from `embed_target`.
            memory: of `encode`.
            attention: return weights and context as well.

        Returns:
            States (N, T, D); weights (N, T, S) of `attention_layer`, the mean over heads, and context (N, T, D).
        """
        n, t = inputs.shape[:2]
        packing = Packing(n, t) if inputs.is_floating_point() else Packing.of(before_padding(inputs, self.pad_id))
        source_packing = Packing.of(memory.mask)
        source_rows = source_packing.pack(memory.states)  # (M, D)
        x = self.embed(inputs, packing, self.target_embedding, self.target_positions, slice(0, t))
        mask = memory.mask[:, None, None]  # (N, 1, 1, S)
        weights = None
        for index, layer in enumerate(self.decoder_layers):
            source = layer.cross.remember(source_rows, source_packing)
            x, shown = layer(x, packing, source, mask, weights=attention and index == self.attention_layer)
            weights = weights if shown is None else shown
        return self.decoded(x, packing, weights, memory.states)

    def decoded(self, x: Tensor, packing: Packing, weights: Tensor | None, states: Tensor | None) -> Decoded:
        """Last norm; weights (N, H, T, S) to their mean over heads and the encoder's states so averaged."""
        x = packing.unpack(self.decoder_norm(x))
        if weights is None or states is None:
            return Decoded(x)
        mean = weights[:, : self.attention_heads].mean(1)  # (N, T, S)
        return Decoded(x, mean, mean.to(states.dtype) @ states)

    def project(self, states: Tensor) -> Tensor:
        """States (..., D) to logits (..., V)."""
        return F.linear(states, self.output_weight)

    def output_layer(self) -> tuple[Tensor, Tensor | None]:
        """Weight (V, D) of `project`, which has no bias."""
        return self.output_weight, None

    @torch.no_grad()
    def start(self, memory: Memory, *, beams: int, max_length: int, attention: bool = False) -> TransformerState:
        """State before BOS.

        Args:
            memory: of `encode`, B sentences.
            beams: most hypotheses of a sentence at any time.
            max_length: most tokens that `step` is fed.
            attention: `step` returns weights and context as well.
        """
        packing = Packing.of(memory.mask)
        rows = packing.pack(memory.states)
        sources = [layer.cross.remember(rows, packing) for layer in self.decoder_layers]
        key = sources[0][0]  # (B, H, S, D/H)
        slots = key.new_zeros(len(key), self.heads, beams * min(max_length, 32), key.shape[3])
        return TransformerState(
            sources=sources,
            mask=memory.mask[:, None, None],
            caches=[LayerCache(slots.clone(), slots.clone()) for _ in sources],
            beams=beams,
            max_length=max_length,
            states=memory.states if attention else None,
        )

    @torch.no_grad()
    def step(self, ids: Tensor, state: TransformerState) -> Decoded:
        """Feeds the last ids (B, K) int64; states (B, K, D), and weights (B, K, S) and context (B, K, D) if asked for.

        Raises:
            ValueError: more steps or hypotheses than decoding was started for.
        """
        state.advance(ids.shape[1])
        packing = Packing(*ids.shape)
        place = slice(state.length - 1, state.length)
        x = self.embed(ids, packing, self.target_embedding, self.target_positions, place)
        weights = None
        for index, layer in enumerate(self.decoder_layers):
            wanted = state.states is not None and index == self.attention_layer
            x, shown = layer.step(x, packing, state, index, weights=wanted)
            weights = weights if shown is None else shown
        return self.decoded(x, packing, weights, state.states)


def before_padding(ids: Tensor, pad_id: int) -> Tensor:
    """True up to a row's last token, whatever is before it: ids (N, T) to bool (N, T)."""
    return (ids != pad_id).flip(1).cummax(1).values.flip(1)
