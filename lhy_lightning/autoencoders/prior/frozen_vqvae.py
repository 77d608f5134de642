"""The VQ-VAE whose codes a prior learns: from its checkpoint the first time, later from what the prior's own holds."""

from __future__ import annotations

import json
from pathlib import Path

from lhy_lightning.autoencoders.vqvae import VQVAE
from lhy_lightning.core.arguments.renamed import with_new_names
from lhy_lightning.core.plain_values import plain
from lhy_lightning.core.trusted_classes import check_settings, class_from_file
from lhy_lightning.training.checkpoints import class_path, load_modules


def require_checkpoint(name: str, file: str | None) -> None:
    """Says which argument names a file that is not there."""
    if file is not None and not Path(file).is_file():
        raise FileNotFoundError(f"{name}={file!r}: there is no such checkpoint; train one first")


def open_vqvae(checkpoint: str | None, config: str | None) -> tuple[VQVAE, str]:
    """The VQ-VAE, which learns no more, and its class and settings as JSON.

    Args:
        checkpoint: of a `VQVAE`; asked only where there is no `config`.
        config: what this function has returned before.

    Raises:
        TypeError: `config` is no such JSON, or of another class.
    """
    if config is None:
        assert checkpoint is not None
        module: VQVAE = load_modules([Path(checkpoint)], VQVAE)[0]
        config = json.dumps({"class_path": class_path(type(module)), **plain(dict(module.hparams))})
    else:
        settings = json.loads(config)
        if not isinstance(settings, dict):
            raise TypeError("vqvae_config is no JSON of a VQVAE's settings")
        kind = class_from_file(settings.pop("class_path", None), VQVAE, "vqvae_config")
        settings = with_new_names(kind, settings)
        check_settings(settings, kind, "vqvae_config")
        module = kind(**settings)
    return module.requires_grad_(False).eval(), config
