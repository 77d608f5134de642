"""`BertClassifier`: learns, reports GLUE's figures, travels in one file, and opens in plain `transformers`."""

import csv
import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import seed_everything
from peft import PeftModel
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from lhy_lightning.bert.classifier import BertClassifier
from lhy_lightning.bert.module import BertModule
from lhy_lightning.bert.tagger import BertTagger
from lhy_lightning.cli.__main__ import main
from lhy_lightning.data.labelled_texts.text_data import TextDataModule
from lhy_lightning.training.checkpoints import read_checkpoint
from tests.bert.conftest import write_encoder
from tests.bert.texts import TINY, trainer, write_texts

pytestmark = pytest.mark.usefixtures("undrawn_figures")

Trained = tuple[BertClassifier, Path, Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained with an encoder out of a folder that is gone afterwards, its checkpoint, and its export."""
    root = tmp_path_factory.mktemp("run")
    from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer

    lines = [line.split("\t")[0] for line in (folder / "train.tsv").read_text().splitlines()]
    encoder = write_encoder(root / "encoder", EncoderTokenizer.train(lines, vocabulary_size=80))
    seed_everything(0, verbose=False)
    module = BertClassifier(encoder=str(encoder), metrics=("accuracy", "f1", "matthews"), dropout=0.0, lr=2e-3)
    fitting = trainer(root, max_epochs=6)
    fitting.fit(module, TextDataModule(str(folder), batch_size=16))
    assert fitting.callback_metrics["val/accuracy"] > 0.9
    assert {"val/loss", "val/f1", "val/matthews", "train/loss"} <= set(fitting.callback_metrics)
    fitting.save_checkpoint(root / "last.ckpt")
    module.eval().save_pretrained(root / "export")
    shutil.rmtree(encoder)
    return module, root / "last.ckpt", root / "export"


TEXTS = ["good food and kind host", "rude host", "dirty room and cold bed and bad food", "", "clean"]


def logits_of(module: BertClassifier, texts: list[str] = TEXTS) -> torch.Tensor:
    return module.logits_of(texts, batch_size=2)


# --- from anywhere ----------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_plain_data_and_needs_neither_encoder_nor_hub(trained: Trained) -> None:
    module, checkpoint, _ = trained
    hparams = read_checkpoint(checkpoint)["hyper_parameters"]  # reads with weights_only=True
    assert hparams["class_names"] == ("bad", "good")
    assert json.loads(hparams["encoder_config"])["model_type"] == "bert"
    assert not Path(hparams["encoder"]).exists()
    again = BertClassifier.load_from_checkpoint(checkpoint, weights_only=True).eval()
    assert torch.equal(logits_of(again), logits_of(module))
    assert again.classify(TEXTS[:2])[0][0] == "good"
    assert again.classify(TEXTS[:2])[1][0] == "bad"


def test_plain_transformers_gives_equal_logits(trained: Trained) -> None:
    module, _, export = trained
    network = AutoModelForSequenceClassification.from_pretrained(export).eval()
    tokenizer = AutoTokenizer.from_pretrained(export)
    assert network.config.id2label == {0: "bad", 1: "good"}
    with torch.inference_mode():
        theirs = torch.cat([network(**tokenizer(text, return_tensors="pt")).logits for text in TEXTS])
    torch.testing.assert_close(theirs, logits_of(module), atol=1e-5, rtol=1e-4)
    assert pipeline("text-classification", model=str(export))("rude host")[0]["label"] == "bad"


def test_its_own_from_pretrained_brings_the_module_back(trained: Trained) -> None:
    module, _, export = trained
    again = BertClassifier.from_pretrained(str(export))
    assert torch.equal(logits_of(again), logits_of(module))
    assert dict(again.hparams) == dict(module.hparams)
    with pytest.raises(TypeError, match=r"saved by .*BertClassifier, not by .*BertTagger"):
        BertTagger.from_pretrained(str(export))
    settings = json.loads((export / "lhy_lightning.json").read_text())
    assert settings["class_path"].endswith("BertClassifier")


def test_a_folder_that_is_only_an_encoder_says_how_to_use_it(tiny_encoder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no lhy_lightning.json.*BertClassifier\(encoder="):
        BertClassifier.from_pretrained(str(tiny_encoder))


def test_further_training_and_prediction_use_the_checkpoints_tokenizer_and_classes(
    trained: Trained, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lhy_lightning.data.tokenizers import encoder_choice

    monkeypatch.setattr(encoder_choice.EncoderTokenizer, "train", lambda *_, **__: pytest.fail("trained anew"))
    again = BertClassifier.load_from_checkpoint(trained[1], weights_only=True)
    trainer(tmp_path, max_epochs=1).fit(again, TextDataModule(str(folder)))
    other = write_texts(tmp_path / "other")
    (other / "dev.tsv").write_text("good food\tsplendid\n")
    with pytest.raises(ValueError, match=r"label 'splendid' is none of the 2 classes"):
        trainer(tmp_path, max_epochs=1).fit(again, TextDataModule(str(other)))


def test_the_command_line_predicts_a_file_with_nothing_but_the_checkpoint(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text('good food\n\nrude, "dirty" host\n', "utf8")
    command = ["predict", "--ckpt_path", str(trained[1]), "--data", "TextDataModule", "--data.source", "gone/"]
    command += ["--data.predict_source", str(tmp_path / "new.txt"), "--trainer.enable_progress_bar", "false"]
    assert main([*command, "--trainer.accelerator", "cpu", "--trainer.default_root_dir", str(tmp_path)]) == 0
    (written,) = tmp_path.rglob("predictions.csv")
    with written.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["text", "class", "probability", "class_2", "probability_2"]
    assert [row[0] for row in rows] == ["good food", "", 'rude, "dirty" host']
    assert [row[1] for row in rows][::2] == ["good", "bad"]
    assert all(float(row[2]) + float(row[4]) == pytest.approx(1, abs=1e-5) for row in rows)


# --- hyperparameters --------------------------------------------------------------------------------------------------


def arguments_of(kind: type) -> set[str]:
    names: set[str] = set()
    for owner in kind.__mro__:
        own = inspect.signature(owner.__init__).parameters.values()  # type: ignore[misc]
        names |= {p.name for p in own if p.kind is p.KEYWORD_ONLY}
        if not any(p.kind is p.VAR_KEYWORD for p in own):
            return names
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", [BertClassifier, BertTagger])
def test_hyperparameters_are_the_signature(kind: type[BertModule]) -> None:
    assert set(kind().hparams) == arguments_of(kind)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": "flash"}, "attention is one of sdpa, eager"),
        ({"lora_rank": 4, "freeze_layers": 1}, "freezes the whole encoder"),
        ({"warmup_fraction": 1.0}, "warmup_fraction"),
    ],
)
def test_arguments_that_cannot_be_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BertClassifier(**settings)


def test_a_metric_that_does_not_fit_the_data_is_an_error_before_training(folder: Path, tmp_path: Path) -> None:
    module = BertClassifier(metrics=("pearson",), **TINY)
    with pytest.raises(ValueError, match="no metric of classes is called 'pearson'"):
        trainer(tmp_path, max_epochs=1).fit(module, TextDataModule(str(folder)))


def test_sequences_longer_than_the_encoder_are_an_error_before_training(
    folder: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    module = BertClassifier(encoder=str(tiny_encoder))
    with pytest.raises(ValueError, match="max_length=200, but the encoder takes at most 128"):
        trainer(tmp_path, max_epochs=1).fit(module, TextDataModule(str(folder), max_length=200))


def test_the_headline_is_the_first_metric(folder: Path) -> None:
    assert BertClassifier().monitor == ("val/accuracy", "max")
    assert BertClassifier(metrics=("matthews", "accuracy")).monitor == ("val/matthews", "max")
    assert BertClassifier(regression=True).monitor == ("val/pearson", "max")
    assert BertClassifier(regression=True, metrics=("mse",)).monitor == ("val/mse", "min")


# --- what else it does ------------------------------------------------------------------------------------------------


def test_pairs_are_told_apart_by_both_texts(tmp_path: Path) -> None:
    folder = write_texts(tmp_path / "pairs", train=400, pairs=True)
    seed_everything(0, verbose=False)
    module = BertClassifier(**{**TINY, "layers": 2, "lr": 3e-3})
    fitting = trainer(tmp_path, max_epochs=12)
    fitting.fit(module, TextDataModule(str(folder), batch_size=16))
    assert fitting.callback_metrics["val/accuracy"] > 0.8
    named = module.classify(["good food", "good food"], ["kind host", "rude host"])
    assert [name for name, _ in named] == ["same", "other"]
    with pytest.raises(ValueError, match="this model takes two texts a row"):
        module.classify(["good food"])
    with pytest.raises(ValueError, match="1 texts and 2 second texts"):
        module.classify(["good food"], ["a", "b"])


def test_regression_gives_numbers(tmp_path: Path) -> None:
    rows = [" ".join(["good"] * (n % 5) + ["bad"] * (4 - n % 5)) + f"\t{n % 5 / 2}" for n in range(200)]
    (tmp_path / "rows.tsv").write_text("\n".join(rows) + "\n")
    seed_everything(0, verbose=False)
    module = BertClassifier(**TINY)
    data = TextDataModule(
        str(tmp_path / "rows.tsv"), regression=True, batch_size=16, val_source=str(tmp_path / "rows.tsv")
    )
    fitting = trainer(tmp_path, max_epochs=12)
    fitting.fit(module, data)
    assert fitting.callback_metrics["val/pearson"] > 0.9
    assert fitting.callback_metrics["val/spearman"] > 0.9
    low, high = module.numbers(["bad bad bad bad", "good good good good"])
    assert low < 0.6
    assert high > 1.4
    with pytest.raises(ValueError, match="this model gives numbers"):
        module.classify(["good"])
    module.save_pretrained(tmp_path / "export")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "export")
    assert plain.config.num_labels == 1
    assert plain.config.problem_type == "regression"


def test_lora_is_merged_on_saving_or_saved_for_peft(folder: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    module = BertClassifier(encoder=str(tiny_encoder), lora_rank=2, lr=1e-2, dropout=0.0)
    fitting = trainer(tmp_path, max_epochs=1)
    fitting.fit(module, TextDataModule(str(folder)))
    fitting.save_checkpoint(tmp_path / "lora.ckpt")
    module.eval()
    expected = logits_of(module)
    again = BertClassifier.load_from_checkpoint(tmp_path / "lora.ckpt", weights_only=True).eval()
    assert torch.equal(logits_of(again), expected)

    module.save_pretrained(tmp_path / "merged")
    assert not list((tmp_path / "merged").glob("adapter*"))
    merged = BertClassifier.from_pretrained(str(tmp_path / "merged"))
    torch.testing.assert_close(logits_of(merged), expected, atol=1e-5, rtol=1e-4)

    module.save_pretrained(tmp_path / "adapter", merge_lora=False)
    assert not (tmp_path / "adapter/model.safetensors").exists()
    plain = AutoModelForSequenceClassification.from_pretrained(tiny_encoder)
    module.network = PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()
    torch.testing.assert_close(logits_of(module), expected, atol=1e-5, rtol=1e-4)


def test_from_scratch_the_same_configuration_starts_from_other_weights(
    folder: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    found = []
    for pretrained in (True, False):
        module = BertClassifier(encoder=str(tiny_encoder), pretrained=pretrained)
        trainer(tmp_path, max_steps=0).fit(module, TextDataModule(str(folder)))
        found.append(module)
    with_weights, without = found
    assert json.loads(without.hparams["encoder_config"]) == json.loads(with_weights.hparams["encoder_config"])
    name = "bert.embeddings.word_embeddings.weight"
    stored = AutoModelForSequenceClassification.from_pretrained(tiny_encoder).state_dict()[name]
    assert torch.equal(with_weights.network.state_dict()[name], stored)
    assert not torch.equal(without.network.state_dict()[name], stored)


def test_a_network_of_ones_own_is_one_method(folder: Path, tmp_path: Path) -> None:
    class Logits:
        def __init__(self, logits: torch.Tensor) -> None:
            self.logits = logits

    class BagOfPieces(nn.Module):
        def __init__(self, pieces: int, classes: int) -> None:
            super().__init__()
            self.weights = nn.EmbeddingBag(pieces, classes, mode="mean")

        def forward(self, input_ids: torch.Tensor, **others: torch.Tensor) -> Logits:
            return Logits(self.weights(input_ids))

    class Mine(BertClassifier):
        def build_network(self, weights: str | None) -> nn.Module:
            return BagOfPieces(len(self.vocabulary), len(self.labels()))

    fitting = trainer(tmp_path, max_epochs=4)
    fitting.fit(Mine(lr=0.3), TextDataModule(str(folder), batch_size=16))
    assert fitting.callback_metrics["val/accuracy"] > 0.9


def test_a_test_split_without_labels_says_so(trained: Trained, folder: Path, tmp_path: Path) -> None:
    texts = shutil.copytree(folder, tmp_path / "texts")
    (texts / "test.tsv").write_text("text\ngood food\nrude host\n")
    again = BertClassifier.load_from_checkpoint(trained[1], weights_only=True)
    data = TextDataModule(str(texts))
    with pytest.warns(UserWarning, match="the test rows have no labels"):
        assert trainer(tmp_path).test(again, data, verbose=False) == [{}]
    assert not data.test_labelled


def test_without_data_it_says_what_it_needs(tmp_path: Path) -> None:
    module = BertClassifier()
    with pytest.raises(RuntimeError, match="there is no network yet"):
        module.classify(["good"])
    with pytest.raises(RuntimeError, match="there is no network yet"):
        module.save_pretrained(tmp_path)


@pytest.mark.parametrize("regression", [False, True])
def test_test_rows_without_a_gold_label_are_predicted_and_not_scored(regression: bool, tmp_path: Path) -> None:
    good = [(f"good food {n}" if n % 2 else f"bad food {n}", str(n % 2)) for n in range(40)]
    odd = [(f"odd {n}", "-") for n in range(9)]  # some batches have no row to score
    for name, rows in (("train", good), ("dev", good[:10]), ("test", [*good[:8], *odd]), ("gold", good[:8])):
        (tmp_path / f"{name}.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    told = {"eval_batch_size": 3, "vocab_size": 60, "regression": regression}
    module, fitting = BertClassifier(**TINY), trainer(tmp_path, max_epochs=1)
    data = TextDataModule(str(tmp_path), **told)
    fitting.fit(module, data)
    scored = TextDataModule(str(tmp_path), **told)
    with pytest.warns(match=r"test\.tsv: 9 of 17 rows have no label \(9 '-'\): they are predicted and not scored"):
        found = fitting.test(module, scored, verbose=False)[0]
    gold = fitting.test(module, TextDataModule(str(tmp_path), test_source=str(tmp_path / "gold.tsv"), **told))[0]
    assert found == pytest.approx(gold, rel=1e-5)
    predicted = fitting.predict(module, scored)
    assert predicted is not None
    assert sorted(row for part in predicted for row in part["index"].tolist()) == list(range(17))
