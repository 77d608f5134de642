"""A fine-tuned encoder as a folder that plain `transformers` opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch

from lhy_lightning.bert.encoder import HEADS, Head
from lhy_lightning.bert.lora import without_lora
from lhy_lightning.core.arguments.renamed import with_new_names
from lhy_lightning.core.checksums import add_checksums, check_tensors
from lhy_lightning.core.plain_values import plain, tuples
from lhy_lightning.data.tokenizers.encoder_source import loaded
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from lhy_lightning.training.checkpoints import class_path
from lhy_lightning.training.hub import HubModule, saved_file, saved_settings
from lhy_lightning.training.module import CourseModule

OWN_SETTINGS = "lhy_lightning.json"
"""The file beside `transformers`' own that rebuilds the Lightning module."""


class SavedEncoder(CourseModule):
    """Base of modules whose `save_pretrained` writes what `transformers` would, and what rebuilds the module."""

    head: Head
    network: Any
    vocabulary: EncoderTokenizer

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
        without_lora(self.built()).save_pretrained(str(save_directory))
        for file in save_directory.glob("*.safetensors"):
            add_checksums(file)
        self.vocabulary.transformers().save_pretrained(str(save_directory))
        settings = {"class_path": class_path(type(self)), **plain(dict(self.hparams)), "lora_rank": 0}
        (save_directory / OWN_SETTINGS).write_text(json.dumps(settings, ensure_ascii=False, indent=1), "utf8")

    @classmethod
    def _saved(
        cls, model_id: str, place: Mapping[str, Any], config: Mapping[str, Any], arguments: Mapping[str, Any]
    ) -> Self:
        import transformers

        own = saved_file(model_id, OWN_SETTINGS, **place)
        if not own.is_file():
            raise FileNotFoundError(
                f"{own.parent} has no {OWN_SETTINGS}: {cls.__name__}.save_pretrained did not write it. To train an "
                f"encoder further give {cls.__name__}(encoder={model_id!r}) to a Trainer."
            )
        settings, arguments = saved_settings(own, cls), with_new_names(cls, arguments)
        # the mixin hands on what the encoder's own configuration has under a name of ours, such as `dropout`
        given = {
            name: v for name, v in arguments.items() if name in settings and v is not None and config.get(name) != v
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
