"""What an encoder attends to, and how one word's vector changes with its sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lhy_lightning.data.labelled_texts.text_batches import TextBatches
from lhy_lightning.data.sequences.ragged import ragged
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from lhy_lightning.layers.evaluation_mode import evaluation_mode


class TextEncoder(Protocol):
    """A module with an encoder of `transformers` and its tokenizer, as every `BertModule` is."""

    network: Any
    vocabulary: EncoderTokenizer
    max_length: int | None

    @property
    def device(self) -> torch.device: ...


@contextmanager
def eager_attention(network: Any) -> Iterator[None]:
    """The network in evaluation mode with attention that is written out, for the passes in here.

    Under SDPA attention weights are never formed: `transformers` then returns an empty list and no more than a warning.
    """
    plain = network.get_base_model() if hasattr(network, "get_base_model") else network
    before = plain.config._attn_implementation
    if before != "eager":
        plain.set_attn_implementation("eager")
    try:
        with evaluation_mode(network):
            yield
    finally:
        if before != "eager":
            plain.set_attn_implementation(before)


@torch.no_grad()
def attention_maps(network: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Attention weights of every layer and head.

    Args:
        network: an encoder of `transformers`, under a head or not.
        inputs: what it takes, each (N, T).

    Returns:
        (layers, N, heads, T, T) float32; row i is what token i attends to and adds up to 1.

    Raises:
        RuntimeError: the encoder does not tell.
    """
    with eager_attention(network):
        found = network(**inputs, output_attentions=True).attentions
    if not found or any(layer is None for layer in found):
        raise RuntimeError(f"{type(network).__name__} returns no attention weights, not even with eager attention.")
    return torch.stack([layer.float() for layer in found])


def encoded(module: TextEncoder, text: str, pair: str | None = None) -> tuple[dict[str, Tensor], list[str]]:
    """A text, or two, as a batch of one row without padding, and its tokens."""
    texts = [text] if pair is None else [text, pair]
    pieces = ragged(module.vocabulary.encode(texts))
    second = None if pair is None else np.array([1])
    rows = TextBatches(
        pieces, np.array([0]), second, None, module.vocabulary, max_length=module.max_length or 512, pad_to_multiple=1
    )
    batch = {name: value.to(module.device) for name, value in rows[[0]].items()}
    return batch, module.vocabulary.pieces(batch["input_ids"][0].tolist())


def attention_of(module: TextEncoder, text: str, pair: str | None = None) -> tuple[Tensor, list[str]]:
    """What each token of a text, or of a pair, attends to.

    Returns:
        (layers, heads, T, T) float32 on the CPU, and the T tokens.

    Example:
        >>> from lhy_lightning import BertClassifier, EncoderTokenizer, attention_of
        >>> tokenizer = EncoderTokenizer.train(["good film", "bad film"], vocabulary_size=40)
        >>> small = {"layers": 1, "width": 8, "heads": 2, "feedforward": 8, "max_length": 16}
        >>> model = BertClassifier(**small, tokenizer=tokenizer.to_json(), class_names=("bad", "good"), pairs=False)
        >>> maps, pieces = attention_of(model, "good film")
        >>> maps.shape[-1] == len(pieces)
        True
    """
    batch, tokens = encoded(module, text, pair)
    return attention_maps(module.network, batch)[:, 0].cpu(), tokens


# --- vectors of words -------------------------------------------------------------------------------------------------


@torch.no_grad()
def word_vectors(module: TextEncoder, word: str, texts: Sequence[str], *, layer: int = -1) -> Tensor:
    """The vector of one word in each of several texts: the mean over its pieces.

    Args:
        module: a trained or untrained module.
        word: stands in every text; its first occurrence counts.
        texts: N texts.
        layer: whose output; -1 is the last, 0 the embeddings, which do not look at the sentence.

    Returns:
        (N, features) float32 on the CPU.

    Raises:
        ValueError: a text without the word, or in which the word lies behind `max_length`.
    """
    vectors, before = [], len(module.vocabulary.single_template.ids[0])
    for text in texts:
        start = text.find(word) if word else -1
        if start < 0:
            raise ValueError(f"the word {word!r} is not in {text!r}.")
        _, (starts,), (ends,) = module.vocabulary.encode_with_offsets([text])
        places = np.flatnonzero((starts < start + len(word)) & (ends > start)) + before
        batch, tokens = encoded(module, text)
        places = places[places < len(tokens) - len(module.vocabulary.single_template.ids[-1])]
        if not len(places):
            raise ValueError(f"the word {word!r} lies behind the {len(tokens)} tokens that are read of {text[:40]!r} …")
        with eager_attention(module.network):
            states = module.network(**batch, output_hidden_states=True).hidden_states[layer]
        vectors.append(states[0, torch.from_numpy(places).to(states.device)].float().mean(0).cpu())
    return torch.stack(vectors)


def word_similarity(module: TextEncoder, word: str, texts: Sequence[str], *, layer: int = -1) -> Tensor:
    """Cosine of one word's vectors in different texts; arguments as `word_vectors`.

    The lecture's picture: the vectors of 苹 in 吃苹果 and in 苹果电脑 are alike within a sense and not between senses.

    Returns:
        (N, N) float32, ones on the diagonal.

    Example:
        >>> from lhy_lightning import BertClassifier, EncoderTokenizer, word_similarity
        >>> tokenizer = EncoderTokenizer.train(["good film", "bad film"], vocabulary_size=40)
        >>> small = {"layers": 1, "width": 8, "heads": 2, "feedforward": 8, "max_length": 16}
        >>> model = BertClassifier(**small, tokenizer=tokenizer.to_json(), class_names=("bad", "good"), pairs=False)
        >>> tuple(word_similarity(model, "film", ["good film", "bad film"]).shape)
        (2, 2)
    """
    vectors = functional.normalize(word_vectors(module, word, texts, layer=layer), dim=1)
    return vectors @ vectors.T
