"""What the ways of fine-tuning an encoder share: the network, and how it is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lhy_lightning.bert.encoder import (
    Attention,
    EncoderSizes,
    Head,
    build_encoder,
    encoder_settings,
    has_unused_weights,
    longest_sequence,
    small_settings,
)
from lhy_lightning.bert.fine_tuning import FineTuningArguments, FineTuningModule
from lhy_lightning.bert.plots import AttentionPictures
from lhy_lightning.bert.saved_encoder import SavedEncoder
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from lhy_lightning.training.module import EvaluatedSplit

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class BertArguments(FineTuningArguments, total=False):
    """Arguments of `BertModule`, for the `**arguments` of those built on it."""

    encoder: str | None
    layers: int
    width: int
    heads: int
    feedforward: int
    pretrained: bool
    dropout: float | None
    attention: Attention
    gradient_checkpointing: bool
    encoder_config: str | None
    tokenizer: str | None
    max_length: int | None


class BertModule(FineTuningModule, SavedEncoder):
    """Base of the modules that fine-tune an encoder; a subclass names its head, what it learns from the data, its loss.

    Configuration and tokenizer are taken over when training starts and travel in the checkpoint as JSON: loading one
    asks neither the hub nor the folder that the encoder came from. To use a network of your own, override
    `build_network`.

    Args:
        encoder: hub id or local folder of any encoder of `transformers`; None for a BERT of the next four sizes with
            random weights.
        layers: of an encoder from scratch.
        width: features of its layers.
        heads: attention heads of each.
        feedforward: features inside its feed-forward layers.
        pretrained: take the encoder's trained weights; False for its shape alone, the lecture's comparison.
        dropout: share of features set to zero in every place where the encoder does so; None for its own.
        attention: "sdpa", or "eager", which families without SDPA get in any case.
        gradient_checkpointing: compute activations again in the backward pass: less memory, a third more time.
        encoder_config: filled in by the module: JSON of the configuration.
        tokenizer: JSON of the tokenizer; from the data if not given, as the next.
        max_length: the longest sequence, special tokens included.
        arguments: those of `FineTuningModule`.
    """

    head: Head
    regression: bool | None = False
    """Whether the head gives one number instead of classes."""
    learned: tuple[str, ...] = ("max_length",)
    """Arguments that the data module tells; those that are needed to build the network come with it."""
    unscored: str
    """What is said where no row of `{split}` has labels."""
    no_network = "there is no network yet: fit first, or load a checkpoint."

    def __init__(
        self,
        *,
        encoder: str | None = None,
        layers: int = 2,
        width: int = 128,
        heads: int = 2,
        feedforward: int = 512,
        pretrained: bool = True,
        dropout: float | None = None,
        attention: Attention = "sdpa",
        gradient_checkpointing: bool = False,
        encoder_config: str | None = None,
        tokenizer: str | None = None,
        max_length: int | None = None,
        **arguments: Unpack[FineTuningArguments],
    ) -> None:
        super().__init__(**arguments)
        self.encoder, self.pretrained, self.dropout = encoder, pretrained, dropout
        self.sizes = EncoderSizes(layers, width, heads, feedforward)
        self.attention, self.gradient_checkpointing = attention, gradient_checkpointing
        self.encoder_config, self.tokenizer, self.max_length = encoder_config, tokenizer, max_length
        self.network = None

    # --- network ---------------------------------------------------------------------------------------------------

    @property
    def is_known(self) -> bool:
        """Whether all is known that the network is built from; a subclass adds its own."""
        return self.tokenizer is not None

    def check_known(self) -> None:
        if not self.is_known:
            names = f"tokenizer and {', '.join(self.learned)}"
            raise ValueError(f"give {type(self).__name__} {names}, or fit it with a data module.")

    def labels(self) -> tuple[str, ...]:
        """Names of the classes or tags; empty for a head without."""
        return ()

    def build_network(self, weights: str | None) -> nn.Module:
        """Returns the network, which takes what a batch holds of `INPUTS` by name. Override it to train your own.

        `self.vocabulary`, `self.encoder_config` and `self.labels()` are known when it is called.

        Args:
            weights: hub id or folder to take trained weights from; None where a checkpoint brings them.
        """
        assert self.encoder_config is not None
        network = build_encoder(
            self.encoder_config, self.head, labels=self.labels(), regression=bool(self.regression), weights=weights,
            attention=self.attention, gradient_checkpointing=self.gradient_checkpointing,
        )  # fmt: skip
        return self.trained_part(network)

    def build(self) -> None:
        """Builds the network, once tokenizer and labels are known."""
        assert self.tokenizer is not None
        self.vocabulary = EncoderTokenizer.from_json(self.tokenizer)
        weights = None
        if self.encoder_config is None:  # the first time: later the checkpoint has both, and the hub is not asked
            if self.encoder is None:
                positions = max(512, self.max_length or 0)
                sizes = asdict(self.sizes)
                settings = small_settings(self.vocabulary, max_positions=positions, dropout=self.dropout, **sizes)
            else:
                settings = encoder_settings(
                    self.encoder, self.vocabulary, pretrained=self.pretrained, dropout=self.dropout
                )
                weights = self.encoder if self.pretrained else None
            self.set_hparam("encoder_config", settings)
        self.check_length(self.max_length)
        self.network = self.build_network(weights)

    def check_length(self, max_length: int | None) -> None:
        """Raises ValueError where sequences may become longer than the encoder has positions for."""
        assert self.encoder_config is not None
        limit = longest_sequence(self.encoder_config, self.vocabulary)
        if limit is not None and max_length is not None and max_length > limit:
            raise ValueError(
                f"max_length={max_length}, but the encoder takes at most {limit}: lower --data.max_length."
            )

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        there = getattr(data, "tokenizer", None)
        if self.tokenizer is None and there is not None:
            self.set_hparam("tokenizer", there.to_json())
        self.infer_from_datamodule(self.learned, equal=())
        self.build_once()
        self.check_length(getattr(data, "max_length", None))
        strategy = self.trainer.strategy
        if stage == "fit" and isinstance(strategy, DDPStrategy) and self._has_unused_weights():
            strategy._ddp_kwargs.setdefault("find_unused_parameters", True)

    def _has_unused_weights(self) -> bool:
        """Some encoders have weights that a head does not use; DDP waits for their gradients unless it is told."""
        if not hasattr(self.network, "config"):  # one of the user's own
            return True
        ids = torch.tensor([[self.vocabulary.cls_id, self.vocabulary.sep_id]], device=self.device)
        return has_unused_weights(self.network, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})

    def inputs(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """What of a batch the network takes."""
        return {name: batch[name] for name in INPUTS if name in batch}

    def configure_callbacks(self) -> list[Callback]:
        return [*super().configure_callbacks(), AttentionPictures()]

    # --- evaluation ------------------------------------------------------------------------------------------------

    def scores_of(self, split: EvaluatedSplit) -> Any:
        """What adds up the figures of a split: `val_scores` or `test_scores`, which a subclass builds."""
        return self.val_scores if split == "val" else self.test_scores

    def computed_metrics(self, split: EvaluatedSplit) -> dict[str, Tensor]:
        """The figures over all rows and ranks, which are then forgotten; empty where no row had labels."""
        scores = self.scores_of(split)
        found: dict[str, Tensor] = scores.compute()
        scores.reset()
        return found

    def report(self, split: EvaluatedSplit) -> None:
        """Logs the figures, or says why there are none."""
        figures = self.computed_metrics(split)
        if not figures:
            rank_zero_warn(self.unscored.format(split=split))
        named = {f"{split}/{name}": value.float().to(self.device) for name, value in figures.items()}
        self.log_dict(named, prog_bar=True)
