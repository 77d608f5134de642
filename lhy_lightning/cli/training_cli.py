"""LightningCLI on the course's modules: what a command trains with, what it writes and what it evaluates at its end."""

import math
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.cli import LightningCLI, SaveConfigCallback

from lhy_lightning.callbacks.best_checkpoint import BestCheckpoint
from lhy_lightning.callbacks.clean_start import CleanStart
from lhy_lightning.callbacks.curves import Curves
from lhy_lightning.callbacks.last_checkpoint import LastCheckpoint
from lhy_lightning.callbacks.progress_bar import RunProgressBar
from lhy_lightning.callbacks.results import print_results, write_results
from lhy_lightning.callbacks.wandb_record import WandbRecord, record_id
from lhy_lightning.cli.command_line import NOT_IN_RECIPES, Command, remove_temporary_files
from lhy_lightning.cli.errors import CommandParser
from lhy_lightning.cli.library_errors import Phase
from lhy_lightning.core.atomic_files import atomic_write
from lhy_lightning.core.extras import need
from lhy_lightning.core.writable import make_folder
from lhy_lightning.data.controls import beside
from lhy_lightning.training.checks.resumed_settings import settings_that_act
from lhy_lightning.training.checks.trainer_numbers import (
    check_trainer_numbers,
    check_trainer_settings,
    refuse_no_steps,
)
from lhy_lightning.training.csv_logger import RunLogger
from lhy_lightning.training.module import CourseModule
from lhy_lightning.training.run_directory import run_directory


class RunConfig(SaveConfigCallback):
    """Writes `config.yaml` without what belongs to one call only, so that it is a recipe itself.

    It is written when training starts: a run that never got so far leaves no folder.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Left out: see `on_train_start`."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        folder, step = run_directory(trainer), trainer.global_step
        print(f"run folder {folder}" + (f", resumed at step {step}" if step else ""))
        settings = recipe_of(self.parser, self.config)
        for of, module in (("model", pl_module), ("data", trainer.datamodule)):  # type: ignore[attr-defined]
            if module is not None:
                settings[of]["init_args"] = settings_that_act(settings[of].get("init_args", {}), module.hparams)
        atomic_write(folder / "config.yaml", yaml.safe_dump(settings, sort_keys=False))


def recipe_of(parser: Any, config: Any) -> dict[str, Any]:
    """Parsed settings as config.yaml has them: all that are there, without those of one call only."""
    settings = yaml.safe_load(parser.dump(config, skip_none=False))
    return {name: value for name, value in settings.items() if name not in NOT_IN_RECIPES}


class TrainingCLI(LightningCLI):
    """LightningCLI on the course's modules; `command` holds the prepared command line."""

    def __init__(self, command: Command, phase: Phase) -> None:
        self.command, self.phase = command, phase
        super().__init__(
            subclass_mode_model=True,
            subclass_mode_data=True,
            parser_class=CommandParser,
            save_config_callback=RunConfig,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            trainer_defaults={
                "default_root_dir": "runs",
                "log_every_n_steps": 10,
                "enable_model_summary": False,
            },
            args=command.arguments,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Only the one that is asked for: making the parser of each takes as long as all the rest."""
        asked = self.command.subcommand
        return {asked: LightningCLI.subcommands()[asked]}

    def parse_arguments(self, parser: Any, args: Any) -> None:
        self.config = parser.parse_args(args)
        remove_temporary_files()

    def _parse_ckpt_path(self) -> None:
        """Done in `prepare`."""

    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.add_argument(
            "--wandb", type=str | None, default=None, help="Weights & Biases project to log to as well."
        )
        parser.add_argument("--name", type=str | None, default=None, help="Run name: the folder is runs/<name>.")
        parser.add_argument("--overwrite", type=bool, default=False, help="Replace a run of the same name.")
        parser.add_argument(
            "--evaluate",
            type=bool,
            default=True,
            help="After fit: validate the best checkpoint, then test it, or predict an unlabelled test split.",
        )
        parser.add_argument("--traceback", action="store_true", help="Show where an error was raised.")
        # In this order: at the end of an epoch `last.ckpt` is to know whether that epoch is the best.
        parser.add_lightning_class_args(BestCheckpoint, "best")
        parser.add_lightning_class_args(LastCheckpoint, "last")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        folder, subcommand = self.command.folder, str(self.subcommand)
        self.at_start: list[Callback] = [CleanStart(folder)] if self.command.clears else []
        trainer_settings = self._get(self.config_init, "trainer")
        check_trainer_numbers(trainer_settings.as_dict())
        check_trainer_settings(trainer_settings)
        if trainer_settings.get("logger") in (None, True):
            kwargs["logger"] = self._loggers(folder, subcommand)
        if trainer_settings.get("enable_progress_bar") is not False:
            self.trainer_defaults["callbacks"] = [RunProgressBar()]
        kwargs["default_root_dir"] = str(folder)  # where pictures and checkpoints go without a logger
        trainer = super().instantiate_trainer(**kwargs)
        trainer.callbacks.insert(0, self.phase)  # type: ignore[attr-defined]
        if subcommand == "fit":
            trainer.callbacks = [*self.at_start, *trainer.callbacks, Curves()]  # type: ignore[attr-defined]
        else:
            trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, Checkpoint)]  # type: ignore[attr-defined]
        if isinstance(self.model, CourseModule):
            trainer.callbacks += self.model.prediction_writers()  # type: ignore[attr-defined]
        return trainer

    def _loggers(self, folder: Path, subcommand: str) -> list[Any]:
        filename = "metrics.csv" if subcommand == "fit" else f"{subcommand}_metrics.csv"
        loggers: list[Any] = [RunLogger(folder, filename=filename, before_step=self.command.resumed_step)]
        if project := self._get(self.config, "wandb"):
            need("wandb", f"--wandb {project}")
            from lightning.pytorch.loggers import WandbLogger

            make_folder(folder)
            record: dict[str, Any] = {}
            if subcommand == "fit":
                goes_on = bool(self.command.checkpoints) and not self.command.clears
                record = {"id": record_id(folder, goes_on=goes_on), "resume": "allow"}
                self.at_start.append(WandbRecord(folder, record["id"]))
            loggers.append(WandbLogger(project=project, name=folder.name, save_dir=str(folder), **record))
        return loggers

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        arguments = super()._prepare_subcommand_kwargs(subcommand)
        checkpoints = self.command.checkpoints
        if len(checkpoints) > 1:
            arguments["model"] = self.model.ensemble(checkpoints)
        elif checkpoints:
            arguments |= {"ckpt_path": str(checkpoints[0]), "weights_only": True}
        if subcommand == "predict":
            arguments["return_predictions"] = False
        return arguments

    def before_fit(self) -> None:
        refuse_no_steps(self.trainer)

    def after_fit(self) -> None:
        trainer, folder = self.trainer, self.command.folder
        if trainer.fast_dev_run or trainer.interrupted:  # type: ignore[attr-defined]
            return
        if not trainer.global_step:
            raise ValueError("no training step was made, so there is no run: raise the limits of steps or time.")
        results: dict[str, float] = {}
        keeper = next(c for c in trainer.checkpoint_callbacks if isinstance(c, BestCheckpoint))
        best = Path(keeper.best_model_path)
        of = "last epoch"
        if bool(self._get(self.config, "evaluate")) and best.is_file():
            for logger in trainer.loggers:  # figures of the best epoch go to results.json, not into the curves
                if isinstance(logger, RunLogger):
                    logger.pause()
            of, best, results = self._validate_candidates(best, str(keeper.monitor), keeper.mode)
            again = {"datamodule": self.datamodule, "ckpt_path": str(best), "weights_only": True}
            if getattr(self.datamodule, "has_test", False) and trainer.limit_test_batches:
                without = getattr(self.model, "tests_without_labels", False)
                if without or getattr(self.datamodule, "test_labelled", True):
                    results |= {k: float(v) for k, v in trainer.test(self.model, verbose=False, **again)[0].items()}
                else:
                    trainer.predict(self.model, return_predictions=False, **again)
        else:
            results = {k: float(v) for k, v in trainer.callback_metrics.items()}
            last = folder / "checkpoints" / "last.ckpt"
            if trainer.is_global_zero and not best.is_file() and trainer.num_val_batches and last.is_file():
                figure = trainer.callback_metrics.get(str(keeper.monitor))
                why = "training ended before the first validation" if figure is None else f"{keeper.monitor} was NaN"
                print(
                    f"{why}, so there is no best epoch to evaluate or to predict "
                    f"with: `lhy predict --ckpt_path {last}` takes the last step."
                )
        if trainer.is_global_zero:
            controls, lines = beside(results, self.datamodule)
            write_results(
                folder / "results.json", results, step=trainer.global_step, checkpoint=best, controls=controls
            )
            drawn = getattr(self.model, "drawn_figures", None)
            print_results(folder, results, of=of, remarks=lines, drawn=drawn)

    def _validate_candidates(self, best: Path, monitor: str, mode: str) -> tuple[str, Path, dict[str, float]]:
        """Validates the best epoch and, where there is one, the average of the last: the better one is evaluated."""
        candidates = {"best epoch": best}
        if (average := best.parent / "average.ckpt").is_file():
            candidates["average of the last epochs"] = average
        found = []
        for name, path in candidates.items():
            again = {"datamodule": self.datamodule, "ckpt_path": str(path), "weights_only": True}
            figures = self.trainer.validate(self.model, verbose=False, **again)[0]
            found.append((name, path, {k: float(v) for k, v in figures.items()}))
        if len(found) > 1:
            print(" · ".join(f"{name}: {monitor} {figures[monitor]:.4f}" for name, _, figures in found))

        def goodness(candidate: tuple[str, Path, dict[str, float]]) -> float:
            value = candidate[2].get(monitor, 0.0)
            return (value if mode == "max" else -value) if math.isfinite(value) else -math.inf

        return max(found, key=goodness)

    def after_test(self) -> None:
        self._print_evaluation()

    def after_validate(self) -> None:
        self._print_evaluation()

    def _print_evaluation(self) -> None:
        if self.trainer.is_global_zero:
            print_results(
                self.command.folder,
                {k: float(v) for k, v in self.trainer.callback_metrics.items()},
                of=" + ".join(path.name for path in self.command.checkpoints) + f" of {self.command.folder.name}",
                drawn=getattr(self.model, "drawn_figures", None),
            )

    def fit(self, **arguments: Any) -> None:
        self.trainer.fit(**arguments)

    def validate(self, **arguments: Any) -> None:
        self.trainer.validate(**arguments | {"verbose": False})

    def test(self, **arguments: Any) -> None:
        self.trainer.test(**arguments | {"verbose": False})
