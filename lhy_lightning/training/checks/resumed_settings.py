"""Settings of a run that goes on from a checkpoint: what may not change, and what would not act if it did.

Weights, the state of optimizers and schedules, and that of callbacks come from the checkpoint, over whatever was given
anew; rows stay in the splits that they were in. So each setting that differs from the checkpoint's is one of these:

- it changes which rows there are, or their split (`CourseDataModule.split_settings`): refused;
- it changes the order of rows (`order_settings`): within an epoch, whose batches were counted, it is told of;
- it does not act, as what it made is restored: told of. Of optimizers and callbacks this is found by looking at what
  the checkpoint restores, not at names;
- it acts: taken without a word.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng

from lhy_lightning.core.arguments.renamed import with_new_names
from lhy_lightning.core.plain_values import plain
from lhy_lightning.core.seeding import run_seed

Changes = dict[str, tuple[Any, Any]]
"""The checkpoint's value and the one given now, of each setting that differs."""

INITIAL = ("start_from", "pretrained", "encoder", "codebook_init", "vqvae")
"""Settings of modules that only say what weights training begins with."""


def same_value(one: Any, other: Any) -> bool:
    """Whether two values of a setting mean the same: one place written in two ways, a square size as one number."""
    one, other = plain(one), plain(other)
    if isinstance(one, list) != isinstance(other, list):
        several, single = (one, other) if isinstance(one, list) else (other, one)
        return len(several) == 2 and several == [single, single]
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, str) and isinstance(other, str) and one != other:
        return Path(one).resolve() == Path(other).resolve()
    return bool(one == other)


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> Changes:
    """The settings that both have and that differ."""
    return {
        name: (before[name], value)
        for name, value in now.items()
        if name in before and not same_value(before[name], value)
    }


def settings_that_act(given: Mapping[str, Any], hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they were given, but those that did not act as they were before; what was left out stays so."""
    return {
        name: plain(hparams[name])
        if value is not None and name in hparams and not same_value(value, hparams[name])
        else value
        for name, value in given.items()
    }


def told(changes: Changes, names: Iterable[str] | None = None) -> str:
    """`lr=0.1 (0.01 so far), …`."""
    chosen = changes if names is None else {name: changes[name] for name in names}
    return ", ".join(f"{name}={now!r} ({before!r} so far)" for name, (before, now) in chosen.items())


def check_data(data: Any, checkpoint: Mapping[str, Any]) -> None:
    """Refuses a data module that would divide the rows otherwise, and tells of what changes their order or nothing.

    Raises:
        ValueError: a setting that determines the split is another.
    """
    saved = with_new_names(type(data), checkpoint.get("datamodule_hyper_parameters", {}))
    changes = changed_settings(saved, data.hparams)
    if mixed := [name for name in changes if name in data.split_settings]:
        raise ValueError(
            f"a run that goes on keeps its rows and splits, but {told(changes, mixed)}: leave "
            f"{', '.join(f'--data.{name}' for name in mixed)} as it was, or start a new run under another --name. Data "
            "that only moved can be linked to its old place (ln -s)."
        )
    batches = checkpoint.get(type(data).__qualname__, {}).get("place", {}).get("batches", 0)
    if "seed" in checkpoint and checkpoint["seed"] != run_seed():
        changes["seed_everything"] = (checkpoint["seed"], run_seed())
    reordered = [name for name in changes if name in (*data.order_settings, "seed_everything")]
    if batches and reordered:
        rank_zero_warn(
            f"{told(changes, reordered)}: the checkpoint lies {batches:,} batches into an epoch, whose other batches "
            "are drawn anew by this setting: until its end some rows come twice and some not at all."
        )
    if kept := [name for name in changes if name in data.kept_settings]:
        rank_zero_warn(f"{told(changes, kept)}: {_does_not_act(kept)}: the tokenizer is in the checkpoint.")
        data.hparams.update({name: changes[name][0] for name in kept})


def _does_not_act(names: list[str]) -> str:
    return "this does not act" if len(names) == 1 else "these do not act"


class ResumedSettings(Callback):
    """Looks, before the first batch of a run that goes on, at what of the settings given to it the checkpoint replaces.

    Args:
        module: about to be restored.
        checkpoint: its content.
    """

    def __init__(self, module: LightningModule, checkpoint: Mapping[str, Any]) -> None:
        saved = with_new_names(type(module), checkpoint.get("hyper_parameters", {}))
        self.changes = changed_settings(saved, module.hparams)
        self.optimizers = [state["param_groups"] for state in checkpoint.get("optimizer_states", [])]
        self.given = {
            callback: changed_settings(saved, given)
            for callback in module.trainer.callbacks  # type: ignore[attr-defined]
            if (saved := checkpoint.get("callbacks", {}).get(callback.state_key)) and (given := _arguments(callback))
        }

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if initial := [name for name in self.changes if name in INITIAL]:
            rank_zero_warn(f"{told(self.changes, initial)}: {_does_not_act(initial)}: the checkpoint has the weights.")
            self._keep(pl_module, initial)
        for callback, changes in self.given.items():
            now = _arguments(callback)
            if replaced := [name for name, (before, _) in changes.items() if same_value(now[name], before)]:
                kind = type(callback).__name__
                rank_zero_warn(f"{told(changes, replaced)}: {_does_not_act(replaced)}: {kind} goes on as it was.")
        if self.changes and self.optimizers:
            self._look_at_optimizers(trainer, pl_module)
        self.changes, self.optimizers, self.given = {}, [], {}

    def _look_at_optimizers(self, trainer: Trainer, module: LightningModule) -> None:
        """Tells which settings the optimizers' own state replaces.

        Raises:
            ValueError: it is the state of other optimizers.
        """
        now = [numbers_of(optimizer.param_groups) for optimizer in trainer.optimizers]
        saved = [numbers_of(groups) for groups in self.optimizers]
        if now == saved:
            return
        inert = [name for name, (before, _) in self.changes.items() if optimizers_with(module, name, before) != now]
        if not inert:
            return
        if shape_of(now) != shape_of(saved):
            raise ValueError(
                f"{told(self.changes, inert)}: the optimizer's state in the checkpoint does not fit another optimizer. "
                "Leave it as it was, or start a new run."
            )
        rank_zero_warn(
            f"{told(self.changes, inert)}: {_does_not_act(inert)}: the optimizer goes on with its own numbers, which "
            "are in the checkpoint. Start a new run to change them."
        )
        self._keep(module, inert)

    def _keep(self, module: LightningModule, names: list[str]) -> None:
        """Notes in the module, whose checkpoints and config.yaml say so, the settings that act."""
        for name in names:
            module.hparams[name] = self.changes[name][0]


def _arguments(callback: Callback) -> dict[str, Any]:
    """What of a callback's state is also an argument of its constructor."""
    arguments = inspect.signature(type(callback)).parameters
    return {name: value for name, value in callback.state_dict().items() if name in arguments}


Numbers = list[dict[str, Any]]
"""The numbers of each parameter group, and how many parameters it has."""


def numbers_of(groups: Iterable[Mapping[str, Any]]) -> Numbers:
    """An optimizer's numbers; the rate is the one that a schedule multiplies, where there is one."""
    return [
        {
            **{name: plain(value) for name, value in group.items() if name != "initial_lr"},
            "lr": group.get("initial_lr", group["lr"]),
            "params": len(group["params"]),
        }
        for group in groups
    ]


def shape_of(optimizers: list[Numbers]) -> list[Any]:
    """What must be equal for one optimizer's state to fit another: names of numbers, and parameters of each group."""
    return [[(sorted(group), group["params"]) for group in groups] for groups in optimizers]


def optimizers_with(module: LightningModule, name: str, value: Any) -> list[Numbers] | None:
    """The numbers of the optimizers that a module would have with another value of a setting.

    Returns:
        None where there is no such module.
    """
    as_it_was: Callable[..., LightningModule] = type(module)
    arguments = {**module.hparams, name: tuple(value) if isinstance(value, list) else value}
    with isolate_rng():
        try:
            other = as_it_was(**arguments)
        except (ValueError, TypeError):
            return None
        other.trainer = module.trainer
        configured = other.configure_optimizers()
    several = configured if isinstance(configured, list | tuple) else [configured]
    optimizers: list[Any] = [one["optimizer"] if isinstance(one, dict) else one for one in several]
    return [numbers_of(optimizer.param_groups) for optimizer in optimizers]
