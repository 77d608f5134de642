"""Any encoder of `transformers` under the head of a task, rebuilt from a JSON string without the hub."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn

from lhy_lightning.core.quiet import quiet
from lhy_lightning.data.tokenizers.encoder_source import loaded, without_code
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer

Head = Literal["classification", "tagging", "question_answering"]
Attention = Literal["sdpa", "eager"]

HEADS: dict[str, str] = {
    "classification": "AutoModelForSequenceClassification",
    "tagging": "AutoModelForTokenClassification",
    "question_answering": "AutoModelForQuestionAnswering",
}
"""The class of `transformers` that puts an encoder under a head; each family has its own idea of a head."""

_said: set[str] = set()


@dataclass(frozen=True)
class EncoderSizes:
    """Sizes of a BERT from scratch, as `small_settings` takes them; BERT-base has 12, 768, 12, 3072."""

    layers: int
    width: int
    heads: int
    feedforward: int


def small_settings(
    tokenizer: EncoderTokenizer,
    *,
    layers: int,
    width: int,
    heads: int,
    feedforward: int,
    max_positions: int,
    dropout: float | None,
) -> str:
    """The configuration of a BERT of any size, from scratch, for a tokenizer.

    Args:
        tokenizer: tells the size of the vocabulary.
        layers, width, heads, feedforward: sizes; BERT-base has 12, 768, 12, 3072.
        max_positions: the longest sequence.
        dropout: everywhere; None for BERT's 0.1.

    Returns:
        JSON, as `encoder_settings`.
    """
    from transformers import BertConfig

    for size, given in (("layers", layers), ("width", width), ("heads", heads), ("feedforward", feedforward)):
        if given < 1:
            raise ValueError(f"{size}={given}: an encoder has at least 1.")
    if width % heads:
        raise ValueError(f"width={width} cannot be divided among heads={heads}.")
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=feedforward, max_position_embeddings=max_positions, pad_token_id=tokenizer.pad_id,
    )  # fmt: skip
    return _written(config, dropout)


def encoder_settings(name: str, tokenizer: EncoderTokenizer, *, pretrained: bool, dropout: float | None = None) -> str:
    """Reads an encoder's configuration and returns all that rebuilds it.

    Args:
        name: hub id or local folder.
        tokenizer: what the texts are tokenised with.
        pretrained: the configuration is to fit its weights; from scratch it is made to fit the tokenizer.
        dropout: in every place the family has one; None for its own.

    Returns:
        JSON of the configuration.

    Raises:
        FileNotFoundError: no such folder and no such encoder on the hub, as far as can be seen.
        ValueError: the tokenizer's ids do not fit the encoder's embeddings.
    """
    from transformers import AutoConfig

    config = loaded(AutoConfig.from_pretrained, name, "configuration")
    if not pretrained:
        config.vocab_size, config.pad_token_id = len(tokenizer), tokenizer.pad_id
    _check_fit(name, config, tokenizer)
    return _written(config, dropout)


_APART = (
    "they do not belong together. Leave --data.tokenizer_file out, and the encoder's own is taken; if it was not "
    "given, the encoder's folder holds the tokenizer of another encoder: fetch tokenizer.json again."
)


def _check_fit(name: str, config: Any, tokenizer: EncoderTokenizer) -> None:
    """A tokenizer of another encoder gives ids that mean something else, or nothing at all."""
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"the tokenizer has {len(tokenizer):,} pieces, encoder {name} has embeddings for {config.vocab_size:,}: "
            f"{_APART}"
        )
    if config.pad_token_id is not None and config.pad_token_id != tokenizer.pad_id:
        raise ValueError(
            f"the tokenizer pads with id {tokenizer.pad_id}, encoder {name} with {config.pad_token_id}: {_APART}"
        )


def _written(config: Any, dropout: float | None) -> str:
    if dropout is not None and not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout}: a share of the features in [0, 1).")
    values = without_code(config.to_dict())
    if dropout is not None:  # each family has its own names for its own places
        values |= {key: dropout for key in values if "drop" in key and not key.startswith("layerdrop")}
    for of_another_head in ("id2label", "label2id", "num_labels", "problem_type", "architectures"):
        values.pop(of_another_head, None)
    return json.dumps(values, default=str, sort_keys=True)


def build_encoder(
    settings: str,
    head: Head,
    *,
    labels: Sequence[str] = (),
    regression: bool = False,
    weights: str | None = None,
    attention: Attention = "sdpa",
    gradient_checkpointing: bool = False,
) -> Any:
    """An encoder under the head of a task, as `transformers` has them.

    Args:
        settings: JSON of `encoder_settings` or `small_settings`.
        head: "classification" of one text or two, "tagging" of tokens, or "question_answering" by spans.
        labels: names of the classes or tags; none for question answering and regression.
        regression: one number instead of classes.
        weights: hub id or folder to take the encoder's trained weights from; None for random ones.
        attention: "sdpa" is fast; families that lack it get "eager", which is logged once. Only "eager" can tell what
            it attends to.
        gradient_checkpointing: compute activations again in the backward pass instead of keeping them.

    Returns:
        The `PreTrainedModel`, in training mode, float32.

    Raises:
        FileNotFoundError: no such weights.
        ValueError: the family has no such head, or weights of layers are missing.
    """
    import transformers

    values = without_code(json.loads(settings))  # they may come out of a checkpoint
    config = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    if regression:
        config.num_labels, config.problem_type = 1, "regression"
    elif labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {name: number for number, name in enumerate(labels)}
    kind = getattr(transformers, HEADS[head])
    if type(config) not in kind._model_mapping:
        raise ValueError(f"transformers has no {head.replace('_', ' ')} head for {config.model_type} encoders.")
    chosen = _attention_of(kind._model_mapping[type(config)], config, attention)
    arguments: dict[str, Any] = {"attn_implementation": chosen, "dtype": torch.float32}
    network = kind.from_config(config, **arguments) if weights is None else _trained(kind, weights, config, arguments)
    if gradient_checkpointing:
        # its name in later and in earlier releases of transformers 5
        names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
        next(getattr(network, name) for name in names if hasattr(network, name))({"use_reentrant": False})
    return network.train()


def _attention_of(model: Any, config: Any, asked: Attention) -> Attention:
    """What was asked for, or "eager" where the family has nothing else."""
    if asked == "sdpa" and not model._supports_sdpa:
        if config.model_type not in _said:
            _said.add(config.model_type)
            rank_zero_info(f"{config.model_type} encoders have no SDPA attention in transformers: eager is used.")
        return "eager"
    return asked


def _trained(kind: Any, weights: str, config: Any, arguments: dict[str, Any]) -> Any:
    from transformers.utils import logging as remarks

    with quiet(remarks, logging.ERROR):  # it reports the head, which is always new, as missing
        network, found = loaded(
            kind.from_pretrained, weights, "weights", config=config, ignore_mismatched_sizes=True,
            output_loading_info=True, **arguments,
        )  # fmt: skip
    wrong = {*found["missing_keys"], *(entry[0] for entry in found["mismatched_keys"])}
    encoder = sorted(name for name in wrong if name.startswith(f"{network.base_model_prefix}."))
    layers = [name for name in encoder if "pooler" not in name]
    if layers:
        raise ValueError(
            f"{weights} has no weights, or weights of another shape, for {len(layers)} tensors of the encoder "
            f"({layers[0]} …): are config.json and model.safetensors of one model?"
        )
    if encoder:
        rank_zero_warn(f"{weights} has no weights for {encoder[0].rpartition('.')[0]}: it starts from random ones.")
    return network


def longest_sequence(settings: str, tokenizer: EncoderTokenizer) -> int | None:
    """The most tokens an encoder takes, special ones included; None where there is no limit.

    RoBERTa's family numbers positions from the padding id on, so that 514 positions hold 512 tokens.
    """
    values = json.loads(settings)
    positions = values.get("max_position_embeddings")
    if values.get("position_biased_input") is False:  # DeBERTa-v2 knows distances only, of any size
        positions = None
    elif positions is not None and values["model_type"] in _POSITIONS_AFTER_PADDING:
        positions -= int(values.get("pad_token_id") or 0) + 1
    limits = [limit for limit in (positions, tokenizer.max_length) if limit is not None]
    return min(limits, default=None)


_POSITIONS_AFTER_PADDING = {
    "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer", "data2vec-text", "ibert", "mra",
    "roberta-prelayernorm", "xmod",
}  # fmt: skip


def parameters_of(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def has_unused_weights(network: Any, inputs: dict[str, Tensor]) -> bool:
    """Whether some trainable weight has no part in what a network says of `inputs`; gradients are gone afterwards."""
    found = network(**inputs)
    logits = [found.logits] if hasattr(found, "logits") else [found.start_logits, found.end_logits]
    with torch.enable_grad():
        torch.stack([value.sum() for value in logits]).sum().backward()
    unused = any(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    network.zero_grad(set_to_none=True)
    return unused
