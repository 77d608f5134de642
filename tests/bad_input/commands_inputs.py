"""Command lines that ask for what is not there."""

from tests.bad_input.case import BadInput, command, nothing

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
]
