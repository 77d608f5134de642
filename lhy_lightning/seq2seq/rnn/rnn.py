"""Homework 5's recurrent network: a bidirectional GRU reads, a GRU with attention writes. Plain PyTorch.

Where attention does not depend on the decoder's own state ("homework") or comes after it ("general"), the whole target
runs through the GRU in one call; the other kinds go token by token, as their papers define them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from lhy_lightning.decoding.interface import Decoded, DecoderState, Memory
from lhy_lightning.seq2seq.rnn.attention import (
    AdditiveAttention,
    GeneralAttention,
    LocationAttention,
    MonotonicAttention,
)
from lhy_lightning.seq2seq.rnn.bidirectional import BidirectionalGRU
from lhy_lightning.seq2seq.rnn.state import RecurrentState

AttentionName = Literal["homework", "general", "additive", "location", "monotonic"]
STEPWISE = {"additive": AdditiveAttention, "location": LocationAttention, "monotonic": MonotonicAttention}


class RecurrentTranslator(nn.Module):
    """GRU encoder-decoder with attention, a `Seq2SeqBody`.

    The defaults are homework 5's (ML2021 and ML2022): its layers in its order, its sizes, and the decoder's embedding
    shared with its output layer. The homework attends *before* the GRU, with the embedded previous token as query; the
    attended vector and the embedding, through tanh, are the GRU's input. Weights start as Glorot's and embeddings with
    a deviation of E^-.5, where the homework takes .02 for all: with that, a copying task of 20 words was still at the
    words' frequencies (a loss of 2.6) after 100 updates, at its sizes, that bring this one to .3. The other kinds:

    - "general" (Luong et al. 2015): the GRU's output is the query; no input feeding, which would end the parallelism.
    - "additive" (Bahdanau et al. 2015), "location" (Chorowski et al. 2015), "monotonic" (Raffel et al. 2017): the
      state of the step before is the query, the attended vector is part of the GRU's input, step by step.

    All of these end in tanh(W [context; output]) of `embedding` features (Luong's attentional vector), the homework in
    W output + b.

    Args:
        source_vocab, target_vocab: sizes of the vocabularies.
        embedding: E, features of a token.
        width: features of each direction of the encoder; the decoder has twice as many, 2W.
        encoder_layers, decoder_layers: the same number, as decoder layer l starts from encoder layer l's last state.
        dropout: of embeddings, encoder outputs, between layers, and before the output layer.
        attention: see above.
        share_embeddings: "none", "decoder" (input and output of the decoder) or "all" (the encoder's too).
        pad_id: padding; must stand behind the tokens, never among them.
        hard_attention: with "monotonic", whether it stops for certain outside of training.

    Attributes:
        context_width: features of `Decoded.context`, 2W; its states have E.

    Raises:
        ValueError: different numbers of layers; an unknown name; shared embeddings of different vocabularies.
    """

    def __init__(
        self,
        source_vocab: int,
        target_vocab: int,
        *,
        embedding: int = 256,
        width: int = 512,
        encoder_layers: int = 1,
        decoder_layers: int = 1,
        dropout: float = 0.3,
        attention: AttentionName = "homework",
        share_embeddings: Literal["none", "decoder", "all"] = "decoder",
        pad_id: int = 0,
        hard_attention: bool = True,
    ) -> None:
        super().__init__()
        if encoder_layers != decoder_layers:
            raise ValueError(
                f"the decoder's layers start from the encoder's, one from one: {encoder_layers} encoder_layers and "
                f"{decoder_layers} decoder_layers do not match."
            )
        if attention not in ("homework", "general", *STEPWISE):
            raise ValueError(f"attention is homework, general, {', '.join(STEPWISE)}, not {attention!r}.")
        if share_embeddings not in ("none", "decoder", "all"):
            raise ValueError(f"share_embeddings is none, decoder or all, not {share_embeddings!r}.")
        if share_embeddings == "all" and source_vocab != target_vocab:
            raise ValueError(f"one embedding for vocabularies of {source_vocab} and {target_vocab} tokens: share none.")
        hidden = self.context_width = 2 * width
        self.vocab_size, self.pad_id, self.attention_name = target_vocab, pad_id, attention
        self.dropout = nn.Dropout(dropout)

        self.target_embedding = nn.Embedding(target_vocab, embedding, pad_id)
        self.source_embedding = (
            self.target_embedding if share_embeddings == "all" else nn.Embedding(source_vocab, embedding, pad_id)
        )
        self.output = nn.Linear(embedding, target_vocab, bias=False)
        if share_embeddings != "none":
            self.output.weight = self.target_embedding.weight

        sizes = [embedding] + [hidden] * (encoder_layers - 1)
        self.encoder = nn.ModuleList(BidirectionalGRU(size, width) for size in sizes)
        self.attention: GeneralAttention
        if attention == "homework":
            self.attention = GeneralAttention(embedding, hidden)
        elif attention == "general":
            self.attention = GeneralAttention(hidden, hidden)
        else:
            self.attention = STEPWISE[attention](hidden, hidden, width)
        if isinstance(self.attention, MonotonicAttention):
            self.attention.hard = hard_attention
        query = embedding if attention == "homework" else hidden
        self.combine = nn.Linear(hidden + query, embedding, bias=False)
        self.gru = nn.GRU(
            embedding + hidden if attention in STEPWISE else embedding,
            hidden,
            decoder_layers,
            dropout=dropout if decoder_layers > 1 else 0.0,
            batch_first=True,
        )
        self.reduce = nn.Linear(hidden, embedding) if attention == "homework" and hidden != embedding else nn.Identity()
        self.apply(_initialise)
        for table in (self.output, self.target_embedding, self.source_embedding):
            nn.init.normal_(table.weight, std=embedding**-0.5)
        for table in (self.target_embedding, self.source_embedding):
            nn.init.zeros_(table.weight[pad_id])

    # --- encoder ---------------------------------------------------------------------------------------------------

    def encode(self, source_ids: Tensor) -> Memory:
        """Source (N, S) int64 to states (N, S, 2W) and the last states of every layer, (L, N, 2W)."""
        mask = source_ids != self.pad_id
        states = self.dropout(self.source_embedding(source_ids))
        last: list[Tensor] = []
        for layer in self.encoder:
            if last:
                states = self.dropout(states)
            states, ends = layer(states, mask)
            last.append(ends)
        return Memory(self.dropout(states), mask, source_ids, summary=torch.stack(last))

    # --- decoder ---------------------------------------------------------------------------------------------------

    def embed_target(self, ids: Tensor) -> Tensor:
        """Target ids (...) to embeddings (..., E), before dropout."""
        embedded: Tensor = self.target_embedding(ids)
        return embedded

    def decode(self, inputs: Tensor, memory: Memory, *, attention: bool = False) -> Decoded:
        """All positions: ids (N, T) int64 or embeddings (N, T, E) to states (N, T, E).

        Asked for, `attention` (N, T, S) sums to one over the source's tokens ("monotonic": to at most one) and
        `context` (N, T, 2W) is what it attended to.
        """
        assert memory.summary is not None
        embedded = self.dropout(inputs if inputs.is_floating_point() else self.embed_target(inputs))
        keys = self.attention.keys(memory.states)
        if self.attention_name not in STEPWISE:
            outputs, context, weights, _ = self._advance(embedded, memory.summary, None, memory, keys, self.gru)
        else:
            hidden = memory.summary[:, :, None]  # one hypothesis of each sentence
            last = self.attention.first_weights(memory.mask, 1)
            steps: list[tuple[Tensor, Tensor, Tensor]] = []
            for token in embedded.split(1, dim=1):
                output, attended, last, hidden = self._advance(token, hidden, last, memory, keys, self._hypotheses)
                steps.append((output, attended, last))
            outputs, context, weights = (torch.cat(each, dim=1) for each in zip(*steps, strict=True))
        states = self._read_out(outputs, context)
        return Decoded(states, weights, context) if attention else Decoded(states)

    def project(self, states: Tensor) -> Tensor:
        """States (..., E) to logits (..., V)."""
        logits: Tensor = self.output(states)
        return logits

    def output_layer(self) -> tuple[Tensor, Tensor | None]:
        """Weight (V, E) of `project`, which has no bias."""
        return self.output.weight, None

    def start(self, memory: Memory, *, beams: int, max_length: int, attention: bool = False) -> RecurrentState:
        """State before BOS; `max_length` is of no use to a recurrent network."""
        assert memory.summary is not None
        return RecurrentState(
            memory=memory,
            keys=self.attention.keys(memory.states),
            hidden=memory.summary[:, :, None].expand(-1, -1, beams, -1),
            weights=self.attention.first_weights(memory.mask, beams),
            attention=attention,
        )

    def step(self, ids: Tensor, state: DecoderState) -> Decoded:
        """Last ids (B, K) int64 (or embeddings (B, K, E)) to states (B, K, E), attention (B, K, S), context (B, K, 2W).

        The state goes on to the next token. Gradients flow through it, so that free running can be trained.
        """
        assert isinstance(state, RecurrentState)
        embedded = self.dropout(ids if ids.is_floating_point() else self.embed_target(ids))
        outputs, context, state.weights, state.hidden = self._advance(
            embedded, state.hidden, state.weights, state.memory, state.keys, self._hypotheses
        )
        states = self._read_out(outputs, context)
        return Decoded(states, state.weights, context) if state.attention else Decoded(states)

    def _advance(
        self,
        embedded: Tensor,
        hidden: Tensor,
        last: Tensor | None,
        memory: Memory,
        keys: Tensor,
        recur: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Attention and GRU, in the order of `attention_name`, for Q queries a sentence.

        The queries are positions of the target (`recur` is then the GRU over time) or hypotheses (each one step).

        Returns:
            GRU outputs (N, Q, 2W), context (N, Q, 2W), weights (N, Q, S), and the next hidden state.
        """
        if self.attention_name == "general":
            outputs, hidden = recur(embedded, hidden)
            weights = self.attention(outputs, keys, memory.mask)
            return outputs, _attended(weights, memory.states), weights, hidden
        query = embedded if self.attention_name == "homework" else hidden[-1]
        weights = self.attention(query, keys, memory.mask, last)
        context = _attended(weights, memory.states)
        joined = torch.cat((context, embedded), dim=-1)
        outputs, hidden = recur(self.combine(joined).tanh() if self.attention_name == "homework" else joined, hidden)
        return outputs, context, weights, hidden

    def _hypotheses(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the GRU for each hypothesis: (B, K, I) and (L, B, K, 2W) to (B, K, 2W) and (L, B, K, 2W)."""
        outputs, after = self.gru(inputs.flatten(0, 1)[:, None], hidden.flatten(1, 2).contiguous())
        return outputs.view(*inputs.shape[:2], -1), after.view(hidden.shape)

    def _read_out(self, outputs: Tensor, context: Tensor) -> Tensor:
        """GRU outputs (N, Q, 2W) to what the output layer takes, (N, Q, E)."""
        if self.attention_name == "homework":
            states: Tensor = self.reduce(self.dropout(outputs))
        else:
            states = self.dropout(self.combine(torch.cat((context, outputs), dim=-1)).tanh())
        return states


def _attended(weights: Tensor, states: Tensor) -> Tensor:
    """Weights (N, Q, S) float32 and states (N, S, C) to (N, Q, C)."""
    return torch.bmm(weights.to(states.dtype), states)


def _initialise(module: nn.Module) -> None:
    """Glorot's uniform, for each gate of a GRU apart; biases zero."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, nn.GRU):
        for name, parameter in module.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
            else:
                for gate in parameter.chunk(3):
                    nn.init.xavier_uniform_(gate)
