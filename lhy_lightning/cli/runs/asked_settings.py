"""Whether a run that is there is the one that a command line asks for, by its config.yaml."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lhy_lightning.cli.settings_file import read_settings
from lhy_lightning.training.checks.resumed_settings import same_value

Resolve = Callable[[list[str]], dict[str, Any]]
"""All settings of a `fit` command line, defaults included, as the config.yaml of its run has them."""

OF_THE_MACHINE = (
    "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.logger",
    "trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.log_every_n_steps",
    "trainer.default_root_dir", "trainer.profiler", "trainer.num_sanity_val_steps", "trainer.benchmark",
    "data.num_workers", "data.cache_dir", "data.cache_limit_gb", "data.eval_batch_size", "data.eval_max_tokens",
    "last", "wandb", "name", "evaluate",
)  # fmt: skip
"""Settings that say where and how a run is watched, not what it learns."""


LEARNT = ("image_size", "channels", "input_channels", "target_channels", "value_range", "class_names", "num_classes",
          "classes")  # fmt: skip
"""Arguments of data modules that the data tell where they are left out."""


def flat(settings: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their flags' names, `model.lr`; a class is compared by its name, as it may have moved."""
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            if name == "class_path":
                yield place or name, str(value).rpartition(".")[2]
            elif name == "init_args":
                yield from flat(value, place)
            else:
                yield from flat(value, f"{place}.{name}" if place else str(name))
    elif isinstance(settings, list) and any(isinstance(item, Mapping) for item in settings):
        yield f"{place} (how many)", len(settings)
        for number, item in enumerate(settings):
            yield from flat(item, f"{place}.{number}")
    else:
        yield place, settings


def differences(run: Path, asked: Mapping[str, Any]) -> list[str]:
    """The settings in which a run is not the one asked for, `model.lr is 0.1, not 0.01`.

    What config.yaml does not have, as its version of the package did not, is no difference; nor is what a run that
    went on has learnt from its data where nothing is asked for.

    Args:
        run: the folder.
        asked: all settings asked for, defaults included.
    """
    file = run / "config.yaml"
    if not file.is_file():
        return [f"{file} is missing, so its settings are not known"]
    there = dict(flat(read_settings(file)))
    found = []
    for name, value in flat(asked):
        if name not in there or any(name == of or name.startswith(f"{of}.") for of in OF_THE_MACHINE):
            continue
        learnt = value is None and (name.startswith("model.") or name.removeprefix("data.") in LEARNT)
        if not learnt and not same_value(there[name], value):
            found.append(f"{name} is {there[name]!r}, not {value!r}")
    return found


def check_same(run: Path, asked: Mapping[str, Any], what: str) -> None:
    """Refuses to take a run for one with other settings.

    Raises:
        ValueError: it has others.
    """
    if other := differences(run, asked):
        raise ValueError(
            f"{what} {run} was made with other settings: {'; '.join(other)}. Give the settings that it has, choose "
            "another --name, or replace it with --overwrite true."
        )
