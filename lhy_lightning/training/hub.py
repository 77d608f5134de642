"""Settings and files of `save_pretrained`, of a folder or of the Hugging Face Hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from huggingface_hub import ModelHubMixin, hf_hub_download
from safetensors.torch import save_model

from lhy_lightning.core.arguments.renamed import with_new_names
from lhy_lightning.core.checksums import check_tensors, tensor_checksums
from lhy_lightning.core.plain_values import plain, tuples
from lhy_lightning.core.trusted_classes import check_settings
from lhy_lightning.training.checkpoints import class_path, is_path_of
from lhy_lightning.training.checks.checkpoint_fit import json_settings, load_safetensors
from lhy_lightning.training.finite_losses import FiniteModule


def saved_file(model_id: str, name: str, **place: Any) -> Path:
    """A file of a saved module: of a local folder, whether it is there or not, else downloaded from the hub.

    Args:
        model_id: folder or hub id.
        name: of the file.
        place: which revision, and where and how it is kept, as `hf_hub_download` takes them.
    """
    folder = Path(model_id)
    return folder / name if folder.is_dir() else Path(hf_hub_download(model_id, name, **place))


def saved_settings(file: Path, cls: type) -> dict[str, Any]:
    """The constructor arguments in a file that `save_pretrained` wrote.

    Raises:
        TypeError: another class wrote it, or it has settings that the class does not have.
    """
    settings = json_settings(file)
    if not is_path_of(made_by := settings.pop("class_path", class_path(cls)), cls):
        raise TypeError(f"{file.parent} was saved by {made_by}, not by {class_path(cls)}: load it with its own class.")
    settings = with_new_names(cls, settings)
    check_settings(settings, cls, file)
    return settings


class HubModule(FiniteModule, ModelHubMixin):
    """A module that `save_pretrained` writes, with all that rebuilds it, and `from_pretrained` opens."""

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> str | None:
        """Writes `config.json` (class and arguments) and `model.safetensors`; `push_to_hub=True` uploads them."""
        config = {"class_path": class_path(type(self)), **plain(dict(self.hparams))}
        return super().save_pretrained(save_directory, config=config, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **arguments: Any) -> Self:
        """As the hub's mixin has it, which reads the settings of a folder before `_from_pretrained` does.

        Raises:
            ValueError: they are no JSON, or no settings.
        """
        config = Path(pretrained_model_name_or_path) / "config.json"
        if config.is_file():
            json_settings(config)
        return super().from_pretrained(pretrained_model_name_or_path, **arguments)

    def _save_pretrained(self, save_directory: Path) -> None:
        save_model(self, str(save_directory / "model.safetensors"), tensor_checksums(self.state_dict()))

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
        place: dict[str, Any] = {
            "revision": revision, "cache_dir": cache_dir, "token": token, "force_download": force_download,
            "local_files_only": local_files_only,
        }  # fmt: skip
        return cls._saved(model_id, place, config or {}, arguments)

    @classmethod
    def _saved(
        cls, model_id: str, place: Mapping[str, Any], config: Mapping[str, Any], arguments: Mapping[str, Any]
    ) -> Self:
        """The module that was saved.

        Args:
            model_id: folder or hub id.
            place: as `saved_file` takes it.
            config: the content of `config.json`, which the mixin has read.
            arguments: of the constructor, in place of those that were saved.
        """
        files = [saved_file(model_id, name, **place) for name in ("config.json", "model.safetensors")]
        settings = saved_settings(files[0], cls)
        arguments = with_new_names(cls, arguments)
        given = {name: value for name, value in arguments.items() if name in settings and value is not None}
        module = cls(**{name: tuples(value) for name, value in {**settings, **given}.items()})
        check_tensors(files[1])
        module.find_open_buffers()
        load_safetensors(module, files[1])
        module.check_loaded(module.state_dict(), str(files[1]))
        return module.eval()
