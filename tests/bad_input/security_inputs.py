"""Files from elsewhere that name code. That none of it runs is tested in `tests/security`; here is what they end in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from lhy_lightning.cnn.backbone import backbone_settings
from tests.bad_input.case import BadInput, command, text

CLASSIFIER = "lhy_lightning.ImageClassifier"
ALWAYS = {"state_dict": {}, "global_step": 0, "hyper_parameters": {}, "pytorch-lightning_version": "2.6.4"}


def checkpoint(**content: Any) -> Callable[[Path], None]:
    """Writes `a.ckpt`."""

    def make(folder: Path) -> None:
        torch.save({**ALWAYS, "class_path": CLASSIFIER, **content}, folder / "a.ckpt")

    return make


def run_folder(**settings: Any) -> Callable[[Path], None]:
    """Writes a run folder `runs/a` with these settings."""

    def make(folder: Path) -> None:
        (folder / "runs" / "a" / "checkpoints").mkdir(parents=True)
        torch.save({**ALWAYS, "class_path": CLASSIFIER}, folder / "runs" / "a" / "checkpoints" / "best.ckpt")
        (folder / "runs" / "a" / "config.yaml").write_text(yaml.safe_dump(settings))

    return make


TEST = command("test", "--ckpt_path", "a.ckpt")
TEST_RUN = command("test", "--ckpt_path", "runs/a")


def of_checkpoint(what: str, says: str, **content: Any) -> BadInput:
    return BadInput(what, checkpoint(**content), TEST, says, kind="files from elsewhere")


def of_run(what: str, says: str, **settings: Any) -> BadInput:
    return BadInput(what, run_folder(**settings), TEST_RUN, says, kind="files from elsewhere")


INPUTS = [
    of_checkpoint(
        "a checkpoint of an own class that was not imported",
        r"a\.ckpt names my_nets\.Net, which .*`--import my_nets` on the command line",
        class_path="my_nets.Net",
    ),
    of_checkpoint(
        "a checkpoint of a class of a notebook",
        r"names __main__\.Net, .*made in a script or notebook: move the class into a module",
        class_path="__main__.Net",
    ),
    of_checkpoint(
        "a checkpoint of a function", r"names os\.system, which is no LightningModule", class_path="os.system"
    ),
    of_checkpoint(
        "a checkpoint without a class",
        r"a\.ckpt has nothing where the name of its class, a LightningModule",
        class_path=None,
    ),
    of_checkpoint(
        "a checkpoint of a class that this version does not have",
        r"names lhy_lightning\.cnn\.classifier\.Old, which is not there in the versions installed",
        class_path="lhy_lightning.cnn.classifier.Old",
    ),
    of_checkpoint(
        "data of a checkpoint that are no data module",
        r"names lhy_lightning\.ImageClassifier, which is no LightningDataModule",
        data_class_path=CLASSIFIER,
    ),
    of_checkpoint(
        "a checkpoint with a setting that its class does not have",
        r"a\.ckpt has the setting 'widht', which ImageClassifier has not\. Did you mean width\?",
        hyper_parameters={"widht": 8},
    ),
    of_checkpoint("a checkpoint with Python objects", r"a\.ckpt .*holds Python objects", lr=Path("a")),
    of_run(
        "a run folder with a callback that takes a function",
        r"config\.yaml names code, 'os\.abort', as LambdaCallback\.on_test_start.*a recipe and give that by --config",
        trainer={
            "callbacks": [
                {"class_path": "lightning.pytorch.callbacks.LambdaCallback", "init_args": {"on_test_start": "os.abort"}}
            ]
        },
    ),
    of_run(
        "a run folder with a callback of an own module",
        r"config\.yaml names my_callbacks\.Mine, .*--import my_callbacks",
        trainer={"callbacks": [{"class_path": "my_callbacks.Mine"}]},
    ),
    of_run(
        "a run folder that reads its settings from another file",
        r"config\.yaml has '\./more\.yaml' as Trainer\.strategy, which .* file of settings",
        trainer={"strategy": "./more.yaml"},
    ),
    of_run(
        "a run folder with a setting of no one", r"config\.yaml has the setting 'before'", before=["fit --config a"]
    ),
    BadInput(
        "a module to import that is not there",
        checkpoint(),
        command("test", "--ckpt_path", "a.ckpt", "--import", "my_nets"),
        r"--import my_nets: there is no such module",
        kind="files from elsewhere",
    ),
    BadInput(
        "a file to import instead of a module",
        text("my_nets.py", ""),
        command("test", "--ckpt_path", "a.ckpt", "--import", "my_nets.py"),
        r"--import my_nets\.py: give a module's name",
        kind="files from elsewhere",
    ),
    BadInput(
        "an encoder that needs code of its own",
        text("config.json", '{"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}'),
        lambda folder: backbone_settings(str(folder), channels=3, image_size=(8, 8), pretrained=True),
        r"needs code of its own for its configuration \(auto_map\), which is never run",
        kind="files from elsewhere",
    ),
]
