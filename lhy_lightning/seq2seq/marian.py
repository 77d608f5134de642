"""A trained Transformer as a model of `transformers`: Marian (post-norm) or M2M100 (pre-norm), with equal logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lhy_lightning.layers.transformer.attention import CrossAttention, SelfAttention
from lhy_lightning.layers.transformer.layers import DecoderLayer, EncoderLayer
from lhy_lightning.seq2seq.transformer import Transformer

if TYPE_CHECKING:
    from transformers import M2M100ForConditionalGeneration, MarianMTModel


def to_marian(transformer: Transformer, *, bos_id: int = 1, eos_id: int = 2) -> MarianMTModel:
    """A post-norm Transformer as `MarianMTModel`, in evaluation mode, with copied weights.

    Args:
        transformer: sinusoidal positions, any way of sharing embeddings, no SwiGLU.
        bos_id, eos_id: what a translation starts and ends with.

    Raises:
        ValueError: a setting that Marian does not have.
    """
    from transformers import MarianConfig, MarianMTModel

    check(transformer, "Marian", norm="post")
    config = MarianConfig(
        decoder_vocab_size=transformer.vocab_size,
        share_encoder_decoder_embeddings=transformer.share_embeddings == "all",
        tie_word_embeddings=transformer.share_embeddings != "none",
        forced_eos_token_id=None,
        **shared_settings(transformer, bos_id, eos_id),
    )
    model: MarianMTModel = filled(MarianMTModel(config), transformer)
    return model


def to_m2m100(transformer: Transformer, *, bos_id: int = 1, eos_id: int = 2) -> M2M100ForConditionalGeneration:
    """A pre-norm Transformer as `M2M100ForConditionalGeneration`, in evaluation mode, with copied weights.

    Args:
        transformer: sinusoidal positions, both vocabularies of one size, no SwiGLU.
        bos_id, eos_id: what a translation starts and ends with.

    Raises:
        ValueError: a setting that M2M100 does not have.
    """
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    check(transformer, "M2M100", norm="pre")
    if transformer.source_embedding.num_embeddings != transformer.vocab_size:
        raise ValueError("M2M100 has one vocabulary size for source and target")
    config = M2M100Config(
        encoder_layerdrop=0.0,
        decoder_layerdrop=0.0,
        tie_word_embeddings=transformer.share_embeddings == "all",
        **shared_settings(transformer, bos_id, eos_id),
    )
    model: M2M100ForConditionalGeneration = filled(M2M100ForConditionalGeneration(config), transformer)
    return model


def check(transformer: Transformer, model: str, *, norm: str) -> None:
    """Raises a ValueError for what `model` cannot say."""
    if transformer.norm != norm:
        raise ValueError(f"{model} is {norm}-norm, this Transformer is {transformer.norm}-norm")
    if transformer.positions != "sinusoidal":
        raise ValueError(f"{model} has sinusoidal positions, this Transformer has {transformer.positions} ones")
    if transformer.activation == "swiglu":
        raise ValueError(f"{model} has no swiglu")


def shared_settings(transformer: Transformer, bos_id: int, eos_id: int) -> dict[str, Any]:
    """Arguments of both configurations."""
    feedforward = transformer.feedforward
    return {
        "vocab_size": transformer.source_embedding.num_embeddings,
        "d_model": transformer.width,
        "encoder_layers": len(transformer.encoder),
        "decoder_layers": len(transformer.decoder),
        "encoder_attention_heads": transformer.heads,
        "decoder_attention_heads": transformer.heads,
        "encoder_ffn_dim": feedforward,
        "decoder_ffn_dim": feedforward,
        "activation_function": transformer.activation,
        "dropout": transformer.dropout,
        "attention_dropout": transformer.attention_dropout,
        "activation_dropout": transformer.activation_dropout,
        "max_position_embeddings": transformer.max_positions,
        "scale_embedding": True,
        "pad_token_id": transformer.pad_id,
        "bos_token_id": bos_id,
        "eos_token_id": eos_id,
        "decoder_start_token_id": bos_id,
    }


def filled(model: Any, transformer: Transformer) -> Any:
    """`model` with the weights of `transformer`, in their type."""
    weights = {
        "lm_head.weight": transformer.output_weight,
        "model.encoder.embed_tokens.weight": transformer.source_embedding.weight,
        "model.decoder.embed_tokens.weight": transformer.target_embedding.weight,
        "model.shared.weight": transformer.target_embedding.weight,
    }
    for side, layers in (("encoder", transformer.encoder), ("decoder", transformer.decoder)):
        for index, layer in enumerate(layers):
            assert isinstance(layer, EncoderLayer | DecoderLayer)
            for name, tensor in layer_weights(layer).items():
                weights[f"model.{side}.layers.{index}.{name}"] = tensor
    if transformer.norm == "pre":
        weights |= named("model.encoder.layer_norm", transformer.encoder_norm)
        weights |= named("model.decoder.layer_norm", transformer.decoder_norm)
    model = model.to(transformer.output_weight.dtype)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, parameter in parameters.items():
            if "embed_positions" not in name:
                parameter.copy_(weights[name])
    return model.eval()


def layer_weights(layer: EncoderLayer | DecoderLayer) -> dict[str, Tensor]:
    """A layer's weights by their names in `transformers`."""
    weights = attention_weights("self_attn", layer.attention)
    weights |= named("self_attn_layer_norm", layer.attention_residual.norm)
    if isinstance(layer, DecoderLayer):
        weights |= attention_weights("encoder_attn", layer.cross)
        weights |= named("encoder_attn_layer_norm", layer.cross_residual.norm)
    weights |= named("final_layer_norm", layer.feedforward_residual.norm)
    return weights | named("fc1", layer.feedforward.inner) | named("fc2", layer.feedforward.outer)


def attention_weights(name: str, attention: SelfAttention | CrossAttention) -> dict[str, Tensor]:
    """Queries, keys and values apart."""
    if isinstance(attention, SelfAttention):
        parts = tuple(parameter.chunk(3) for parameter in attention.query_key_value.parameters())
    else:
        parts = tuple(
            (query, *key_value.chunk(2))
            for query, key_value in zip(attention.query.parameters(), attention.key_value.parameters(), strict=True)
        )
    weights = named(f"{name}.out_proj", attention.output)
    for kind, values in zip(("weight", "bias"), parts, strict=True):
        for part, value in zip(("q_proj", "k_proj", "v_proj"), values, strict=True):
            weights[f"{name}.{part}.{kind}"] = value
    return weights


def named(name: str, module: nn.Module) -> dict[str, Tensor]:
    """`module`'s parameters, `name` before theirs."""
    return {f"{name}.{kind}": parameter for kind, parameter in module.named_parameters()}
