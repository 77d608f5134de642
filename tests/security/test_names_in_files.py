"""Files that travel with weights name classes and settings; none of them runs code, whatever it names."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
import yaml

import lhy_lightning
from lhy_lightning import CodePrior, ImageClassifier, Translator
from lhy_lightning.bert.questions.ensemble import QuestionAnsweringEnsemble
from lhy_lightning.cli.__main__ import main
from lhy_lightning.cli.runs.run_settings import check_run_settings
from lhy_lightning.cnn.ensemble import ProbabilityAverage
from lhy_lightning.gan.evaluation import feature_network
from lhy_lightning.gan.image_translation.translation_evaluation import TranslationEvaluation
from lhy_lightning.metrics.generation.inception_features import InceptionFeatures
from lhy_lightning.seq2seq.translator_ensemble import TranslatorEnsemble
from lhy_lightning.training.checkpoints import WholeFileCheckpointIO, class_path, load_modules, read_checkpoint
from lhy_lightning.training.module import CourseModule
from tests import public_names
from tests.security.conftest import Planted, checkpoint

MODULES = [*public_names.MODULES.values()]
DATA = [*public_names.DATA_MODULES.values()]
CLASSIFIER = class_path(ImageClassifier)

NAMES = [
    "planted.Thing", "planted.run", "planted", "os.system", "subprocess.Popen", "antigravity.geohash", "builtins.exec",
    "lhy_lightning.cli.training.subprocess", "lhy_lightning.cli.training.subprocess.Popen",
    "lhy_lightning.training.hub.plain",
    "lightning.pytorch.callbacks.LambdaCallback", "lightning.pytorch.nowhere.Thing", "torch.nn.Linear", "nowhere.Thing",
    "", ".", "..planted.Thing", None, 7, ["planted.Thing"], {"class_path": "planted.Thing"},
]  # fmt: skip
"""What a file may name in place of a LightningModule: never run, never taken."""
COMMANDS = ("test", "predict", "validate", "fit")


def name_of(value: Any) -> str:
    return str(value) or "empty"


def error_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The line that a command ends with."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


# --- checkpoints ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES, ids=name_of)
@pytest.mark.parametrize("key", ["class_path", "data_class_path"])
def test_a_checkpoint_that_names_no_class_of_ours_is_refused_by_every_command(
    name: Any,
    key: str,
    planted: Planted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"class_path": CLASSIFIER, "data_class_path": class_path(DATA[0]), key: name}
    checkpoint(tmp_path / "runs" / "a" / "checkpoints" / "last.ckpt", **names)
    before = set(sys.modules)
    for command in COMMANDS if name in NAMES[:3] else COMMANDS[:1]:
        said = error_of(command, "--ckpt_path", "runs/a/checkpoints/last.ckpt", capsys=capsys)
        assert "last.ckpt" in said
    assert not planted.ran()
    assert not {"planted", "antigravity", "nowhere"} & (set(sys.modules) - before)


@pytest.mark.parametrize("name", NAMES, ids=name_of)
def test_a_checkpoint_given_to_another_model_is_refused_in_python(name: Any, planted: Planted, tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.ckpt", class_path=name)
    evaluation, trainer = TranslationEvaluation(str(path), None), Mock()
    uses: list[Callable[[], Any]] = [
        lambda: load_modules([path]),
        lambda: feature_network(str(path)),
        lambda: evaluation.setup(trainer, trainer, "fit"),
        lambda: CodePrior(vqvae=str(path)),
        lambda: ProbabilityAverage.from_checkpoints([path]),
        lambda: QuestionAnsweringEnsemble.from_checkpoints([path]),
        lambda: TranslatorEnsemble.from_checkpoints([path]),
    ]
    for use in uses:
        with pytest.raises((ImportError, TypeError), match=r"a\.ckpt"):
            use()
    assert not planted.ran()


def test_a_checkpoint_of_another_topic_is_not_taken(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.ckpt", class_path=class_path(Translator))
    for use in (lambda: feature_network(str(path)), lambda: ProbabilityAverage.from_checkpoints([path])):
        with pytest.raises(TypeError, match=r"a\.ckpt names .*Translator, which is no ImageClassifier"):
            use()


@pytest.mark.parametrize("cls", [*MODULES, *DATA], ids=lambda cls: cls.__name__)
def test_pickled_objects_in_a_checkpoint_are_refused_without_advice_to_run_them(
    cls: Any, planted: Planted, tmp_path: Path
) -> None:
    settings = "hyper_parameters" if cls in MODULES else "datamodule_hyper_parameters"
    path = checkpoint(tmp_path / "a.ckpt", **{settings: {"lr": planted.pickled()}})
    others = (read_checkpoint, WholeFileCheckpointIO().load_checkpoint)
    for load in (cls.load_from_checkpoint, *(others if cls is MODULES[0] else ())):
        with pytest.raises(ValueError, match=r"a\.ckpt .*Python objects.*system") as raised:
            load(path)
        assert "weights_only" not in str(raised.value)
        assert raised.value.__suppress_context__, "torch's advice would stand above it"
    assert not planted.ran()


def test_an_open_file_and_an_address_are_read_as_plainly_as_a_file(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoint(tmp_path / "a.ckpt", hyper_parameters={"lr": planted.pickled()})
    with path.open("rb") as file, pytest.raises(ValueError, match="Python objects"):
        ImageClassifier.load_from_checkpoint(file)
    asked: list[Any] = []

    def fetched(*arguments: Any, **named: Any) -> Any:
        asked.append(named["weights_only"])
        return torch.load(path, **named)

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetched)
    with pytest.raises(ValueError, match="Python objects"):
        ImageClassifier.load_from_checkpoint("http://somewhere/a.ckpt")
    assert asked == [True]
    assert not planted.ran()


def test_pickled_inception_weights_are_refused_without_advice(planted: Planted, tmp_path: Path) -> None:
    import hashlib

    path = checkpoint(tmp_path / "inception.pth", lr=planted.pickled())
    with pytest.raises(ValueError, match="Python objects") as raised:
        InceptionFeatures.from_file(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    assert "weights_only" not in str(raised.value)
    assert not planted.ran()


def test_a_function_that_a_checkpoint_names_to_make_its_object_is_not_called(planted: Planted, tmp_path: Path) -> None:
    settings = {"_instantiator": "planted.run", "_class_path": "planted.Thing", "depth": 3, "width": 4}
    path = checkpoint(tmp_path / "a.ckpt", hyper_parameters={**settings, "num_classes": 2})
    made = ImageClassifier.load_from_checkpoint(path, strict=False)
    assert (made.hparams["num_classes"], made.hparams["width"]) == (2, 4)
    assert not planted.ran()


# --- settings of a VQ-VAE in a prior -------------------------------------------------------------------------------


def commands(planted: Planted) -> list[dict[str, Any]]:
    return [
        {"class_path": "os.system", "command": planted.command},
        {"class_path": "subprocess.Popen", "args": planted.command, "shell": True},
        {"class_path": "lhy_lightning.cli.training.subprocess.Popen", "args": planted.command, "shell": True},
        {"class_path": "planted.Thing"},
        {"class_path": CLASSIFIER},
        {"class_path": class_path(lhy_lightning.VQVAE), "command": planted.command},
        {"command": planted.command},
    ]


@pytest.mark.parametrize("number", range(7))
def test_a_prior_builds_a_vqvae_and_nothing_else(
    number: int,
    planted: Planted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    config = json.dumps(commands(planted)[number])
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"class_path": class_path(CodePrior), "vqvae_config": config}))
    (folder / "model.safetensors").write_bytes(b"\x02" + b"\x00" * 7 + b"{}")
    path = checkpoint(
        tmp_path / "a.ckpt", class_path=class_path(CodePrior), hyper_parameters={"vqvae_config": config},
        data_class_path="lhy_lightning.ImageDataModule", datamodule_hyper_parameters={"source": "embedded:digits"},
    )  # fmt: skip
    uses: tuple[Callable[[], Any], ...] = (
        lambda: CodePrior.from_pretrained(str(folder)),
        lambda: CodePrior.load_from_checkpoint(path),
        lambda: load_modules([path]),
    )
    for use in uses:
        with pytest.raises((ImportError, TypeError), match="vqvae_config"):
            use()
    if number in (0, 6):  # by the command line each is the same constructor
        for command in ("test", "predict"):
            said = error_of(command, "--ckpt_path", "a.ckpt", "--trainer.accelerator", "cpu", capsys=capsys)
            assert "vqvae_config" in said
    assert not planted.ran()


# --- save_pretrained -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", MODULES, ids=lambda cls: cls.__name__)
def test_a_saved_folder_names_its_own_class_and_its_settings(cls: Any, planted: Planted, tmp_path: Path) -> None:
    assert issubclass(cls, CourseModule)
    (tmp_path / "model.safetensors").write_bytes(b"\x02" + b"\x00" * 7 + b"{}")
    for settings, says in (
        ({"class_path": "planted.Thing"}, r"planted\.Thing"),
        ({"class_path": "os.system", "command": planted.command}, r"os\.system"),
        ({"class_path": class_path(cls), "command": planted.command}, "command"),
        ({"class_path": class_path(cls), "optimizer": {"class_path": "planted.Thing"}}, "planted|optimizer"),
    ):
        for name in ("config.json", "lhy_lightning.json"):
            (tmp_path / name).write_text(json.dumps(settings))
        with pytest.raises(TypeError, match=says):
            cls.from_pretrained(str(tmp_path))
    assert not planted.ran()


# --- config.yaml of a run folder -----------------------------------------------------------------------------------

CALLBACKS = "lightning.pytorch.callbacks"
SETTINGS: list[dict[str, Any]] = [
    {"trainer": {"callbacks": [{"class_path": "planted.Thing"}]}},
    {"trainer": {"callbacks": {"class_path": "planted.run"}}},
    {"trainer": {"callbacks": ["planted.Thing"]}},
    {"trainer": {"callbacks": "planted.Thing"}},
    {"trainer": {"callbacks": "[{class_path: planted.Thing}]"}},
    {"trainer": {"callbacks": [{"class_path": f"{CALLBACKS}.LambdaCallback", "init_args": {"setup": "planted.run"}}]}},
    {"trainer": {"callbacks": [f"{CALLBACKS}.os.system"]}},
    {"trainer": {"callbacks": [{"class_path": f"{CALLBACKS}.BackboneFinetuning",
                                "init_args": {"lambda_func": "planted.run"}}]}},
    {"trainer": {"callbacks": [{"class_path": f"{CALLBACKS}.ModelPruning",
                                "init_args": {"pruning_fn": "planted.run"}}]}},
    {"trainer": {"callbacks": [{"class_path": f"{CALLBACKS}.RichProgressBar",
                                "init_args": {"console_kwargs": {"file": {"class_path": "planted.Thing"}}}}]}},
    {"trainer": {"callbacks": [{"class_path": f"{CALLBACKS}.RichProgressBar",
                                "init_args": {"console_kwargs": "{file: {class_path: planted.Thing}}"}}]}},
    {"trainer": {"callbacks": [{"class_path": f"{CALLBACKS}.RichProgressBar", "dict_kwargs": {"a": "planted.run"}}]}},
    {"trainer": {"callbacks": [{"init_args": {"a": 1}}]}},
    {"trainer": {"callbacks": [{"on_fit_start": "planted.run"}]}},
    {"trainer": {"callbacks": ["evil.yaml"]}},
    {"trainer": {"callbacks+": [{"class_path": "planted.Thing"}]}},
    {"trainer": {"logger": {"class_path": "planted.Thing"}}},
    {"trainer": {"logger": [{"class_path": CLASSIFIER}]}},
    {"trainer": {"profiler": "planted.Thing"}},
    {"trainer": {"profiler": "class_path: planted.Thing"}},
    {"trainer": {"strategy": "./evil.yaml"}},
    {"trainer": {"strategy": "evil"}},
    {"trainer": {"accelerator": "evil"}},
    {"trainer": {"strategy": {"class_path": "lightning.pytorch.strategies.DDPStrategy",
                              "init_args": {"ddp_comm_hook": "planted.run"}}}},
    {"trainer": {"strategy": {"class_path": "lightning.pytorch.strategies.FSDPStrategy",
                              "init_args": {"auto_wrap_policy": "planted.run"}}}},
    {"trainer": {"plugins": [{"class_path": "planted.Thing"}]}},
    {"trainer": {"max_epochs": {"class_path": "planted.Thing"}}},
    {"trainer": "evil.yaml"},
    {"trainer.callbacks": ["planted.Thing"]},
    {"model": "planted.Thing"},
    {"model": "evil.yaml"},
    {"model": {"class_path": "planted.Thing"}},
    {"model": {"class_path": CLASSIFIER, "init_args": {"optimizer": {"class_path": "planted.Thing"}}}},
    {"model": {"class_path": CLASSIFIER, "init_args": "evil.yaml"}},
    {"model": {"class_path": CLASSIFIER, "init_args": {"hook": "planted.run"}}},
    {"data": {"class_path": "planted.Thing"}},
    {"data": {"class_path": CLASSIFIER}},
    {"best": {"class_path": "planted.Thing"}},
    {"last": "evil.yaml"},
    {"wandb": {"class_path": "planted.Thing"}},
    {"optimizer": {"class_path": "planted.Thing"}},
    {"import": "planted"},
    {"config": "evil.yaml"},
    {"before": ["fit --config planted"]},
]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: json.dumps(settings)[:90])
def test_settings_of_a_run_folder_import_and_call_nothing(
    settings: dict[str, Any],
    planted: Planted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("evil", "evil.yaml"):
        (tmp_path / name).write_text("class_path: planted.Thing\n")
    checkpoint(tmp_path / "runs" / "a" / "checkpoints" / "best.ckpt", class_path=CLASSIFIER)
    (tmp_path / "runs" / "a" / "config.yaml").write_text(yaml.safe_dump(settings))
    for command in COMMANDS if settings in SETTINGS[:3] else COMMANDS[:1]:
        said = error_of(command, "--ckpt_path", "runs/a", capsys=capsys)
        assert "config.yaml" in said
    assert not planted.ran()
    assert "planted" not in sys.modules


def test_settings_that_runs_have_are_taken() -> None:
    lightning = "lightning.pytorch"
    progress = {"theme": {"description": "grey82", "progress_bar": "#6206E0"}, "leave": True}
    callbacks = [
        {"class_path": f"{CALLBACKS}.EarlyStopping", "init_args": {"monitor": "val/loss", "patience": 3}},
        {"class_path": f"{CALLBACKS}.RichProgressBar", "init_args": progress},
        {"class_path": f"{CALLBACKS}.LambdaCallback", "init_args": {"setup": None}},
        {"class_path": "lhy_lightning.callbacks.checkpoint_average.AverageCheckpoints", "init_args": {}},
    ]
    check_run_settings(
        {
            "seed_everything": 0,
            "trainer": {
                "accelerator": "cpu", "strategy": "ddp_find_unused_parameters_true", "precision": "bf16-mixed",
                "max_time": "00:12:00:00", "profiler": "simple", "callbacks": callbacks, "default_root_dir": "a/b.c",
                "logger": [{"class_path": f"{lightning}.loggers.CSVLogger", "init_args": {"save_dir": "a/b"}}],
                "plugins": [{"class_path": f"{lightning}.plugins.environments.LightningEnvironment"}],
            },
            "model": {"class_path": "lhy_lightning.ImageClassifier", "init_args": {"lr_drops": [0.5], "width": 8}},
            "data": {"class_path": class_path(DATA[0]), "init_args": {"source": "a.b"}},
            "wandb": None,
            "best": {"monitor": None},
        },
        "config.yaml",
    )  # fmt: skip


# --- the user's own words ------------------------------------------------------------------------------------------

OWN = "import lhy_lightning\nclass Net(lhy_lightning.ImageClassifier): pass\ndef net(**settings): pass\n"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module `own_net` in the current folder, and a checkpoint of its class."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part not in ("", str(tmp_path))])
    (tmp_path / "own_net.py").write_text(OWN)
    yield checkpoint(tmp_path / "own.ckpt", class_path="own_net.Net", hyper_parameters={"width": 8})
    sys.modules.pop("own_net", None)


def test_an_own_class_is_taken_once_the_user_imports_it(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lhy_lightning.cli.command_line import prepare

    said = error_of("test", "--ckpt_path", "own.ckpt", capsys=capsys)
    assert "own.ckpt names own_net.Net" in said
    assert "--import own_net" in said
    assert "own_net" not in sys.modules
    command = prepare(["test", "--ckpt_path", "own.ckpt", "--import", "own_net"])
    assert "--import" not in command.arguments
    assert load_modules([own])[0].hparams["width"] == 8
    checkpoint(own, class_path="own_net.net")
    with pytest.raises(TypeError, match=r"own_net\.net, which is no LightningModule"):
        prepare(["test", "--ckpt_path", "own.ckpt"])


@pytest.mark.parametrize("how", ["recipe", "flag"])
def test_an_own_class_is_taken_where_the_recipe_or_a_flag_names_it(
    how: str, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lhy_lightning.cli.command_line import prepare

    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine.yaml").write_text("model:\n  class_path: own_net.Net\n")
    words = ["--config", "mine.yaml"] if how == "recipe" else ["--model", "own_net.Net"]
    assert prepare(["test", "--ckpt_path", "own.ckpt", *words]).checkpoints == [own.resolve()]


def test_a_recipe_cannot_import_by_the_flag_of_the_command_line(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("import: planted\nmodel:\n  class_path: ImageClassifier\n")
    assert "on the command line alone" in error_of("fit", "--config", "mine.yaml", capsys=capsys)
    assert not planted.ran()


@pytest.mark.parametrize(
    ("name", "says"), [("own_nte", "no such module"), ("own_net.py", "my_module for my_module.py"), ("-x", "import")]
)
def test_a_module_that_is_not_there_is_one_line(
    name: str, says: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in error_of("test", "--ckpt_path", "own.ckpt", f"--import={name}", capsys=capsys)


def test_a_missing_import_of_the_users_own_module_is_named(own: Path, tmp_path: Path) -> None:
    from lhy_lightning.cli.user_modules import import_for_user

    (tmp_path / "own_net.py").write_text("import not_here\n")
    with pytest.raises(ModuleNotFoundError, match="not_here"):
        import_for_user(["own_net"])


def test_a_class_of_the_package_is_found_by_every_public_name() -> None:
    from lhy_lightning.core.trusted_classes import find_class

    for name, cls in public_names.CLASSES.items():
        assert find_class(name) is find_class(f"lhy_lightning.{name}") is find_class(class_path(cls)) is cls
    assert find_class("importlib.import_module") is None


@pytest.mark.parametrize("from_here", [False, True])
def test_a_step_of_a_recipe_takes_modules_of_the_current_folder_only_where_the_command_does(
    from_here: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lhy_lightning.cli import training as training_cli

    started: list[list[str]] = []
    monkeypatch.setattr(training_cli, "TAKES_MODULES_FROM_HERE", from_here)
    monkeypatch.setattr(subprocess, "Popen", lambda words, env: started.append(words) or Mock(wait=lambda: 0))
    assert training_cli.in_new_process(["fit"]) == 0
    assert ("-P" in started[0]) is not from_here


def test_a_file_of_the_name_of_a_default_is_not_read_in_its_place(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lhy_lightning.cli.training import settings_of_fit

    monkeypatch.chdir(tmp_path)
    (tmp_path / "auto").write_text("class_path: planted.Thing\n")
    assert settings_of_fit(["fit", "--config", "quickstart"])["trainer"]["strategy"] == "auto"
    assert not planted.ran()


# --- every setting of a run, as the parser reads it ----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", ["accelerator", "strategy", "logger", "callbacks", "profiler", "plugins", "precision"]
)
def test_whatever_passes_the_rule_is_not_run_by_the_parser(
    setting: str,
    planted: Planted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The rule knows how jsonargparse reads a value: as a class, as YAML, as the name of a file beside it or here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    for folder in (tmp_path, tmp_path / "temporary"):
        for name in ("auto", "ddp", "simple", "gpu", "evil", "evil.yaml", "16-mixed"):
            (folder / name).write_text("class_path: planted.Thing\n")
    checkpoint(
        tmp_path / "runs" / "a" / "checkpoints" / "best.ckpt", class_path=CLASSIFIER,
        data_class_path="lhy_lightning.ImageDataModule", datamodule_hyper_parameters={"source": "embedded:digits"},
    )  # fmt: skip
    values: list[Any] = [
        "planted.Thing", "planted.run", {"class_path": "planted.Thing"}, ["planted.Thing"],
        [{"class_path": "planted.Thing"}], "class_path: planted.Thing", "[{class_path: planted.Thing}]",
        "auto", "ddp", "simple", "gpu", "evil", "evil.yaml", "./evil.yaml", str(tmp_path / "evil"), "16-mixed",
        {"init_args": {}}, {"planted.Thing": 1}, "{class_path: planted.Thing}", '{"class\\x5fpath": planted.Thing}',
        ["evil"], [["evil.yaml"]], {"a": "evil"}, "nothing", "", "null", " planted.Thing", "planted.Thing ",
    ]  # fmt: skip
    for value in values:
        (tmp_path / "runs" / "a" / "config.yaml").write_text(yaml.safe_dump({"trainer": {setting: value}}))
        error_of("test", "--ckpt_path", "runs/a", capsys=capsys)
        assert not planted.ran(), value
        assert "planted" not in sys.modules, value
