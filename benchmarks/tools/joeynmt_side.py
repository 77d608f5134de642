"""joeynmt 2.3 (https://github.com/joeynmt/joeynmt) on ids of our vocabulary, where it is installed.

Every id is a word of its own (`"412 7 3051"`), so that both sides see the same tokens. joeynmt has a fixed order of
special tokens; from id 4 on its ids equal ours.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.tools.interleaved import LOG_EVERY, Contestant
from benchmarks.tools.translation_sides import CLIP, DROPOUT, SMOOTHING, SPECIALS, Row, Size
from lhy_lightning.data.tokenizers.special_tokens import BOS, EOS, PAD, UNK
from lhy_lightning.seq2seq.transformer import Transformer

THEIR_ORDER = (UNK, PAD, BOS, EOS)  # the special tokens by joeynmt's ids


def missing() -> str | None:
    """Why joeynmt cannot be run here, or None."""
    try:
        importlib.import_module("joeynmt.training")
        importlib.import_module("joeynmt.prediction")
    except Exception as error:  # its own imports fail in many ways
        return f"{type(error).__name__}: {error}"
    return None


def write_corpus(folder: Path, vocabulary: int, **splits: Sequence[Row]) -> None:
    """Files of ids, one sentence a line, and the vocabulary that says which words are ids."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        for side, language in enumerate(("src", "trg")):
            lines = (" ".join(map(str, row[side])) or str(UNK) for row in rows)
            (folder / f"{name}.{language}").write_text("\n".join(lines) + "\n", "utf8")
    words = [str(token) for token in range(len(SPECIALS), vocabulary)]
    (folder / "vocabulary.txt").write_text("\n".join(words) + "\n", "utf8")


def configuration(
    folder: Path,
    size: Size,
    *,
    max_tokens: int,
    seed: int = 0,
    norm: str = "post",
    dropout: float = DROPOUT,
    **training: Any,
) -> dict[str, Any]:
    """A configuration as its YAML files have it, with our settings in its words.

    joeynmt drops attention weights too, with the same probability: it has no setting for that.
    """
    side = {"level": "word", "voc_file": str(folder / "vocabulary.txt")}
    layers = {
        "type": "transformer", "num_layers": size.layers, "num_heads": size.heads, "hidden_size": size.width,
        "ff_size": size.feedforward, "dropout": dropout, "layer_norm": norm,
        "embeddings": {"embedding_dim": size.width, "scale": True, "dropout": dropout},
    }  # fmt: skip
    return {
        "name": "benchmark",
        "model_dir": str(folder / "model"),
        "use_cuda": False,
        "random_seed": seed,
        "data": {
            "train": str(folder / "train"), "dev": str(folder / "dev"), "test": str(folder / "test"),
            "dataset_type": "plain", "src": {"lang": "src", **side}, "trg": {"lang": "trg", **side},
        },
        "training": {
            "batch_size": max_tokens, "batch_type": "token", "optimizer": "adam", "adam_betas": [0.9, 0.98],
            "scheduling": "warmupinversesquareroot", "learning_rate": 1e-3, "learning_rate_warmup": 1000,
            "learning_rate_min": 1e-12, "label_smoothing": SMOOTHING, "normalization": "tokens",
            "clip_grad_norm": CLIP, "logging_freq": LOG_EVERY, "validation_freq": 10**9, "epochs": 10**6,
            "keep_best_ckpts": 1, "print_valid_sents": [], "early_stopping_metric": "ppl", **training,
        },
        "testing": {"beam_size": 5, "beam_alpha": 1.0, "batch_size": 64, "eval_metrics": []},
        "model": {
            "tied_embeddings": True, "tied_softmax": True, "initializer": "xavier_uniform",
            "embed_initializer": "xavier_uniform", "bias_initializer": "zeros",
            "encoder": dict(layers), "decoder": dict(layers),
        },
    }  # fmt: skip


def prepare(settings: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
    """Its parsed settings, model and three data sets, by its own functions."""
    from joeynmt.config import parse_global_args
    from joeynmt.prediction import prepare as prepared

    for name, logger in logging.root.manager.loggerDict.items():  # it sets them to its own level
        if name.startswith("joeynmt") and isinstance(logger, logging.Logger):
            logger.setLevel(logging.ERROR)
    Path(settings["model_dir"]).mkdir(parents=True, exist_ok=True)
    arguments = parse_global_args(settings, rank=0, mode="train")
    return arguments, *prepared(arguments, rank=0, mode="train")


def training_loop(settings: dict[str, Any]) -> Any:
    """`TrainManager.train_and_validate`, its own loop, as a loop for `Contestant`."""

    def loop(side: Contestant) -> None:
        from joeynmt.training import TrainManager

        class InTurns(TrainManager):
            def _train_step(self, batch: Any) -> tuple[float, int]:
                if waiting:  # the step before this one is over: optimizer, logging and all
                    side.step(*waiting.pop())
                result = super()._train_step(batch)
                waiting.append((batch.ntokens, batch.trg.numel()))
                return result

        waiting: list[tuple[int, int]] = []
        arguments, model, train_data, dev_data, _ = prepare(settings)
        manager = InTurns(
            rank=0, model=model, model_dir=arguments.model_dir, device=arguments.device, autocast=arguments.autocast,
            seed=arguments.seed, train_args=arguments.train, dev_args=arguments.test,
        )  # fmt: skip
        manager.train_and_validate(train_data, dev_data)

    return loop


def train(settings: dict[str, Any]) -> Path:
    """Trains to the end; returns the best checkpoint."""
    from joeynmt.training import TrainManager

    arguments, model, train_data, dev_data, _ = prepare(settings)
    manager = TrainManager(
        rank=0, model=model, model_dir=arguments.model_dir, device=arguments.device, autocast=arguments.autocast,
        seed=arguments.seed, train_args=arguments.train, dev_args=arguments.test,
    )  # fmt: skip
    manager.train_and_validate(train_data, dev_data)
    return arguments.model_dir / "best.ckpt"


class Search:
    """Its beam search over its test set: each call gives the ids of every sentence, in order.

    Args:
        settings: of `configuration`.
        weights: a checkpoint of its own, or a Transformer of ours to take weights from.
        beam, alpha: width, and exponent of its length penalty ((5 + length) / 6)^alpha.
        batch_size: sentences at a time.
    """

    def __init__(
        self, settings: dict[str, Any], weights: Any, *, beam: int = 5, alpha: float = 1.0, batch_size: int = 64
    ) -> None:
        from joeynmt.helpers import load_checkpoint

        self.arguments, self.model, _, _, self.data = prepare(settings)
        if isinstance(weights, Transformer):
            take_weights(self.model, weights)
        else:
            self.model.load_state_dict(load_checkpoint(weights, map_location=self.arguments.device)["model_state"])
        self.chosen = self.arguments.test._replace(beam_size=beam, beam_alpha=alpha, batch_size=batch_size)

    def __call__(self) -> list[list[int]]:
        from joeynmt.prediction import predict

        arguments = self.arguments
        words = predict(
            model=self.model, data=self.data, device=arguments.device, n_gpu=0, args=self.chosen,
            autocast=arguments.autocast,
        )[3]  # fmt: skip
        return [[int(word) for word in row if word.isdigit()] for row in words]


@torch.no_grad()
def take_weights(model: Any, ours: Transformer) -> None:
    """Fills a joeynmt model with the weights of a post-norm Transformer of ours, for equal logits."""
    width = ours.width
    order = [*THEIR_ORDER, *range(len(THEIR_ORDER), ours.vocab_size)]
    model.src_embed.lut.weight.copy_(ours.source_embedding.weight[order])
    model.trg_embed.lut.weight.copy_(ours.target_embedding.weight[order])
    model.decoder.output_layer.weight.copy_(ours.output_weight[order])
    for side, layers in ((model.encoder, ours.encoder), (model.decoder, ours.decoder)):
        positions = ours.source_positions(slice(0, ours.max_positions))  # type: ignore[misc]
        side.pe.pe = positions.reshape(1, -1, width).clone()
        for theirs, layer in zip(side.layers, layers, strict=True):
            is_decoder = hasattr(theirs, "src_trg_att")
            fill_attention(theirs.trg_trg_att if is_decoder else theirs.src_src_att, layer.attention.query_key_value,
                           layer.attention.output)  # fmt: skip
            fill(theirs.x_layer_norm if is_decoder else theirs.layer_norm, layer.attention_residual.norm)
            if is_decoder:
                joined = torch.nn.Linear(width, 3 * width)
                fill(joined, layer.cross.query, layer.cross.key_value)
                fill_attention(theirs.src_trg_att, joined, layer.cross.output)
                fill(theirs.dec_layer_norm, layer.cross_residual.norm)
            fill(theirs.feed_forward.pwff_layer[0], layer.feedforward.inner)
            fill(theirs.feed_forward.pwff_layer[3], layer.feedforward.outer)
            fill(theirs.feed_forward.layer_norm, layer.feedforward_residual.norm)


def fill(module: Any, *parts: Any) -> None:
    module.weight.copy_(torch.cat([part.weight for part in parts]))
    module.bias.copy_(torch.cat([part.bias for part in parts]))
    if hasattr(module, "eps"):
        module.eps = parts[0].eps


def fill_attention(attention: Any, joined: Any, output: Any) -> None:
    """Queries, keys and values from one matrix of ours."""
    for layer, weight, bias in zip(
        (attention.q_layer, attention.k_layer, attention.v_layer), joined.weight.chunk(3), joined.bias.chunk(3),
        strict=True,
    ):  # fmt: skip
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    fill(attention.output_layer, output)
