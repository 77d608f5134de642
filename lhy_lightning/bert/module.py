"""What the ways of fine-tuning an encoder share: the network, its optimizer, checkpoints, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Self

import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

from lhy_lightning.bert.depth import freeze
from lhy_lightning.bert.encoder import (
    HEADS,
    Attention,
    Head,
    build_encoder,
    encoder_settings,
    has_unused_weights,
    longest_sequence,
    small_settings,
)
from lhy_lightning.bert.lora import add_lora, without_lora
from lhy_lightning.bert.optimization import layer_groups
from lhy_lightning.bert.pictures import AttentionPictures
from lhy_lightning.core.argument_ranges import BELOW_ONE, NOT_NEGATIVE, POSITIVE, SHARE_OF_STEPS, Range, ranges
from lhy_lightning.core.checksums import add_checksums, check_tensors
from lhy_lightning.data.tokenizers.encoder_source import loaded
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from lhy_lightning.optim import build_optimizer, build_schedule
from lhy_lightning.training.checkpoints import class_path
from lhy_lightning.training.hub import HubModule, plain, saved_file, saved_settings, tuples
from lhy_lightning.training.module import CourseModule
from lhy_lightning.training.token_normalization import TokenNormalization

Batch = dict[str, Any]
EvaluatedSplit = Literal["val", "test"]

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OWN_SETTINGS = "lhy_lightning.json"
"""The file beside `transformers`' own that rebuilds the Lightning module."""


class BertModule(CourseModule):
    """Base of the modules that fine-tune an encoder; a subclass names its head, what it learns from the data, its loss.

    Configuration and tokenizer are taken over when training starts and travel in the checkpoint as JSON: loading one
    asks neither the hub nor the folder that the encoder came from. A network of one's own is one method: override
    `build_network`.

    Gradients are sums over labels divided by the labels of the whole accumulated batch of all ranks.

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
        freeze_layers: leave the embeddings and the first so many layers as they are; None to train everything.
        lora_rank: train low-rank updates of this rank and the head only (needs `peft`); 0 for everything.
        lora_alpha: LoRA's updates are scaled by alpha / rank; None for 2 · rank.
        lora_dropout: dropout of their input.
        optimizer: any of `torch.optim` by its name in small letters.
        lr: peak of the learning rate.
        betas: of Adam and its kin.
        weight_decay: of weights with two or more axes.
        layer_decay: each layer learns at this times the rate of the layer above it; 1 for the same rate.
        schedule: "linear", "cosine" or "constant", after the warm-up.
        warmup_fraction: share of all steps in which the rate rises.
        encoder_config: filled in by the module: JSON of the configuration.
        tokenizer: JSON of the tokenizer; from the data if not given, as the next.
        max_length: the longest sequence, special tokens included.
    """

    argument_ranges = ranges(
        freeze_layers=NOT_NEGATIVE, lora_rank=NOT_NEGATIVE, lora_alpha=POSITIVE, lora_dropout=BELOW_ONE,
        layer_decay=Range(above=0, at_most=1), warmup_fraction=SHARE_OF_STEPS,
    )  # fmt: skip

    head: Head
    regression: bool | None = False
    """Whether the head gives one number instead of classes."""
    learned: tuple[str, ...] = ("max_length",)
    """Arguments that the data module tells; those that are needed to build the network come with it."""
    unscored: str
    """What is said where no row of `{split}` has labels."""

    network: Any

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
        freeze_layers: int | None = None,
        lora_rank: int = 0,
        lora_alpha: float | None = None,
        lora_dropout: float = 0.0,
        optimizer: str = "adamw",
        lr: float = 5e-5,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.01,
        layer_decay: float = 1.0,
        schedule: Literal["linear", "cosine", "constant"] = "linear",
        warmup_fraction: float = 0.1,
        encoder_config: str | None = None,
        tokenizer: str | None = None,
        max_length: int | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if lora_rank and freeze_layers is not None:
            raise ValueError(f"lora_rank={lora_rank} freezes the whole encoder: leave freeze_layers out.")
        self.encoder, self.pretrained, self.dropout = encoder, pretrained, dropout
        self.sizes = {"layers": layers, "width": width, "heads": heads, "feedforward": feedforward}
        self.attention, self.gradient_checkpointing = attention, gradient_checkpointing
        self.freeze_layers = freeze_layers
        self.lora = {
            "rank": lora_rank, "alpha": 2 * lora_rank if lora_alpha is None else lora_alpha, "dropout": lora_dropout,
        }  # fmt: skip
        self.optimizer_numbers = {"name": optimizer, "lr": lr, "betas": betas, "weight_decay": weight_decay}
        self.layer_decay, self.schedule, self.warmup_fraction = layer_decay, schedule, warmup_fraction
        self.encoder_config, self.tokenizer, self.max_length = encoder_config, tokenizer, max_length
        self.network = None
        self.normalization = TokenNormalization()

    # --- network ---------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether all is known that the network is built from; a subclass adds its own."""
        return self.tokenizer is not None

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
        if self.freeze_layers is not None:
            freeze(network, self.freeze_layers)
        if self.lora["rank"]:
            network = add_lora(network, **self.lora)  # type: ignore[arg-type]
        return network

    def build(self) -> None:
        """Builds the network, once tokenizer and labels are known."""
        assert self.tokenizer is not None
        self.vocabulary = EncoderTokenizer.from_json(self.tokenizer)
        weights = None
        if self.encoder_config is None:  # the first time: later the checkpoint has both, and the hub is not asked
            if self.encoder is None:
                positions = max(512, self.max_length or 0)
                settings = small_settings(self.vocabulary, max_positions=positions, dropout=self.dropout, **self.sizes)
            else:
                settings = encoder_settings(
                    self.encoder, self.vocabulary, pretrained=self.pretrained, dropout=self.dropout
                )
                weights = self.encoder if self.pretrained else None
            self.note("encoder_config", settings)
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
            self.note("tokenizer", there.to_json())
        self.learn_from_data(self.learned, equal=())
        if self.network is None:
            if not self.ready:
                raise ValueError(
                    f"give {type(self).__name__} tokenizer and {', '.join(self.learned)}, or fit it with a data module."
                )
            self.build()
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

    def inputs(self, batch: Batch) -> dict[str, Tensor]:
        """What of a batch the network takes."""
        return {name: batch[name] for name in INPUTS if name in batch}

    # --- training --------------------------------------------------------------------------------------------------

    def log_training(self, batch_idx: int, figures: dict[str, Tensor]) -> None:
        """Logs on the steps that the loggers take."""
        if self.logs_now(batch_idx):
            self.log_dict(figures, prog_bar=True)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.normalization.divide_gradients(self)

    def configure_optimizers(self) -> Any:
        numbers: dict[str, Any] = dict(self.optimizer_numbers)
        groups = layer_groups(self.network, numbers["lr"], numbers["weight_decay"], self.layer_decay)
        optimizer = build_optimizer(groups, **numbers)
        steps = self.trainer.estimated_stepping_batches
        if self.warmup_fraction and steps == float("inf"):
            raise ValueError("warmup_fraction needs an end: give the trainer max_epochs or max_steps.")
        warmup = int(self.warmup_fraction * steps) if self.warmup_fraction else 0
        scheduler = build_schedule(optimizer, self.schedule, total_steps=steps, warmup_steps=warmup)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_callbacks(self) -> list[Callback]:
        return [*super().configure_callbacks(), AttentionPictures()]

    # --- evaluation ------------------------------------------------------------------------------------------------

    def evaluate(self, batch: Batch, split: EvaluatedSplit) -> None:
        """Adds a batch to the figures, where it has labels."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is scored")

    def scores_of(self, split: EvaluatedSplit) -> Any:
        """What adds up the figures of a split: `val_scores` or `test_scores`, which a subclass builds."""
        return self.val_scores if split == "val" else self.test_scores

    def figures(self, split: EvaluatedSplit) -> dict[str, Tensor]:
        """The figures over all rows and ranks, which are then forgotten; empty where no row had labels."""
        scores = self.scores_of(split)
        found: dict[str, Tensor] = scores.compute()
        scores.reset()
        return found

    def report(self, split: EvaluatedSplit) -> None:
        """Logs the figures, or says why there are none."""
        figures = self.figures(split)
        if not figures:
            rank_zero_warn(self.unscored.format(split=split))
        named = {f"{split}/{name}": value.float().to(self.device) for name, value in figures.items()}
        self.log_dict(named, prog_bar=True)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate(batch, "test")

    def on_validation_epoch_end(self) -> None:
        self.report("val")

    def on_test_epoch_end(self) -> None:
        self.report("test")

    # --- export ----------------------------------------------------------------------------------------------------

    def save_pretrained(
        self, save_directory: str | Path, *, merge_lora: bool = True, config: Any = None, **arguments: Any
    ) -> str | None:
        """Writes a folder that plain `transformers` opens, tokenizer included; `push_to_hub=True` uploads it.

        Args:
            save_directory: the folder.
            merge_lora: add LoRA's updates into the weights; False writes the updates and the head alone, for
                `peft.PeftModel.from_pretrained(encoder, folder)`.
            config: what the hub's mixin would write instead of the encoder's configuration; not used.
            arguments: `repo_id`, `push_to_hub`, `private` …
        """
        if not merge_lora and self.network is not None and hasattr(self.network, "merge_and_unload"):
            self.network.save_pretrained(str(save_directory))
            self.vocabulary.transformers().save_pretrained(str(save_directory))
            return None
        return super(HubModule, self).save_pretrained(save_directory, **arguments)

    def _save_pretrained(self, save_directory: Path) -> None:
        if self.network is None:
            raise RuntimeError("there is no network yet: fit first, or load a checkpoint.")
        without_lora(self.network).save_pretrained(str(save_directory))
        for file in save_directory.glob("*.safetensors"):
            add_checksums(file)
        self.vocabulary.transformers().save_pretrained(str(save_directory))
        settings = {"class_path": class_path(type(self)), **plain(dict(self.hparams)), "lora_rank": 0}
        (save_directory / OWN_SETTINGS).write_text(json.dumps(settings, ensure_ascii=False, indent=1), "utf8")

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        config: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> Self:
        import transformers

        place: dict[str, Any] = {
            "revision": revision, "cache_dir": cache_dir, "token": token, "force_download": force_download,
            "local_files_only": local_files_only,
        }  # fmt: skip
        own = saved_file(model_id, OWN_SETTINGS, **place)
        if not own.is_file():
            raise FileNotFoundError(
                f"{own.parent} has no {OWN_SETTINGS}: {cls.__name__}.save_pretrained did not write it. To train an "
                f"encoder further give {cls.__name__}(encoder={model_id!r}) to a Trainer."
            )
        settings = saved_settings(own, cls)
        # the mixin hands on what the encoder's own configuration has under a name of ours, such as `dropout`
        theirs = config or {}
        given = {
            name: v for name, v in arguments.items() if name in settings and v is not None and theirs.get(name) != v
        }
        module = cls(**{name: tuples(value) for name, value in {**settings, **given}.items()})
        for file in own.parent.glob("*.safetensors"):
            check_tensors(file)
        kind = getattr(transformers, HEADS[cls.head])
        saved = loaded(
            kind.from_pretrained,
            model_id,
            "weights",
            config=module.network.config,
            dtype=torch.float32,
            **({} if Path(model_id).is_dir() else place),
        )
        module.find_open_buffers()
        module.network.load_state_dict(saved.state_dict())
        module.check_loaded(module.state_dict(), model_id)
        return module.eval()
