"""Command lines that ask for what is not there."""

from collections.abc import Callable
from pathlib import Path

from lhy_lightning.cli.step_recipes import read_recipe
from lhy_lightning.training.checks.trainer_numbers import check_trainer_numbers
from tests.bad_input.case import BadInput, command, nothing


def recipe(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "own.yaml").write_text(text)


def read_own(folder: Path) -> None:
    read_recipe(folder / "own.yaml")


INPUTS = [
    BadInput(
        "a misspelt setting of the model",
        nothing,
        command("fit", "--config", "quickstart", "--model.widht", "8"),
        r"no (option|setting).*widht.*Did you mean .*width",
        kind="commands",
    ),
    BadInput(
        "a misspelt setting that the model's class has from its base",
        nothing,
        command("fit", "--config", "bert/sentiment", "--model.weight_deccay", "0.1"),
        r"weight_deccay.*Did you mean .*weight_decay",
        kind="commands",
    ),
    BadInput(
        "a recipe that is not there",
        nothing,
        command("fit", "--config", "quikstart"),
        "no recipe.*nearest: quickstart",
        kind="commands",
    ),
    BadInput(
        "an option without its value",
        nothing,
        command("fit", "--config", "quickstart", "--name"),
        "argument --name: expected one argument",
        kind="commands",
    ),
    BadInput(
        "a callback that there is not",
        nothing,
        command("fit", "--config", "quickstart", "--trainer.callbacks", "nothing.Here"),
        "trainer.callbacks names 'nothing.Here', and there is no such class",
        kind="commands",
    ),
    BadInput(
        "a recipe with one name twice",
        recipe("trainer:\n  max_epochs: 1\nmodel: GAN\ntrainer:\n  max_steps: 9\n"),
        read_own,
        "own.yaml, line 4, column 1: 'trainer' stands twice",
        kind="commands",
    ),
    BadInput(
        "a recipe with one setting twice",
        recipe("model:\n  class_path: GAN\n  init_args: {latent: 3, latent: 4}\n"),
        read_own,
        "own.yaml, line 3, column 26: 'latent' stands twice",
        kind="commands",
    ),
    BadInput(
        "a step whose quotation does not end",
        recipe("model: GAN\nbefore:\n  - fit --config 'quickstart\n"),
        read_own,
        "own.yaml: the step `fit --config 'quickstart` of `before`: No closing quotation",
        kind="commands",
    ),
    BadInput(
        "a step that is no command",
        recipe("model: GAN\nbefore:\n  - train --config quickstart\n"),
        read_own,
        "own.yaml: the step `train --config quickstart` of `before` begins with neither fit nor predict",
        kind="commands",
    ),
    BadInput(
        "a recipe that is a step of its own",
        recipe("model: GAN\nbefore:\n  - fit --config own.yaml --name {name}-first\n"),
        read_own,
        "own.yaml: the step `fit --config own.yaml --name {name}-first` of `before` runs this recipe itself",
        kind="commands",
    ),
    BadInput(
        "several nodes that nobody started",
        nothing,
        lambda _: check_trainer_numbers({"num_nodes": 2}),
        "--trainer.num_nodes 2: nothing says where the other nodes are",
        kind="commands",
    ),
    BadInput(
        "a name that leads away from all runs",
        nothing,
        command("fit", "--config", "quickstart", "--name", "../mine"),
        "--name '../mine': a run is a folder of its own under runs, .*--trainer.default_root_dir",
        kind="commands",
    ),
    BadInput(
        "an --overwrite that is neither",
        nothing,
        command("fit", "--config", "quickstart", "--overwrite", "maybe"),
        "--overwrite 'maybe': true or false",
        kind="commands",
    ),
]
