"""`BertTagger`: a tag for every word, entity F1 where tags mark entities, the same tags from anywhere."""

import csv
from pathlib import Path

import pytest
import torch
from lightning.pytorch import seed_everything
from transformers import AutoModelForTokenClassification, AutoTokenizer

from lhy_lightning.bert.tagger import BertTagger, parts
from lhy_lightning.cli.__main__ import main
from lhy_lightning.data.labelled_texts.tagging_data import TaggingDataModule
from lhy_lightning.metrics.texts.entities import TaggingScores
from tests.bert.texts import TINY, trainer, write_tags

pytestmark = pytest.mark.usefixtures("undrawn_figures")

Trained = tuple[BertTagger, Path, dict[str, float]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tags(tmp_path_factory.mktemp("tags"), train=160)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("run")
    seed_everything(0, verbose=False)
    module = BertTagger(**TINY)
    fitting = trainer(root, max_epochs=8)
    fitting.fit(module, TaggingDataModule(str(folder), batch_size=16, vocab_size=60))
    fitting.save_checkpoint(root / "last.ckpt")
    figures = {name: float(value) for name, value in fitting.callback_metrics.items()}
    return module.eval(), root / "last.ckpt", figures


SENTENCES = [["food", "Xhost", "Ybed", "room", "Xfood"], [], ["bed"], ["\u200b", "Xroom"], ["unheard-of", "food"]]


def test_it_learns_entities_and_reports_them(trained: Trained) -> None:
    module, _, figures = trained
    assert {"val/loss", "val/accuracy", "val/precision", "val/recall", "val/f1"} <= set(figures)
    assert figures["val/f1"] > 0.95
    assert module.monitor == ("val/f1", "max")
    assert module.tag(SENTENCES[:1]) == [["O", "B-PER", "I-PER", "O", "B-PER"]]


def test_every_word_has_its_tag_whatever_the_batches_and_the_cut(trained: Trained) -> None:
    module = trained[0]
    found = module.tag(SENTENCES)
    assert [len(tags) for tags in found] == [len(words) for words in SENTENCES]
    assert module.tag(SENTENCES, batch_size=1) == found
    long = module.tag([["food"] * 500])[0]
    assert len(long) == 500
    assert set(long) == {"O"}
    with pytest.raises(TypeError, match="'food' is a string: give each sentence as a list of words"):
        module.tag(["food"])


def test_a_checkpoint_tags_without_any_data(trained: Trained) -> None:
    module, checkpoint, _ = trained
    again = BertTagger.load_from_checkpoint(checkpoint, weights_only=True).eval()
    assert again.tag_names == ("B-PER", "I-PER", "O")
    assert again.tag(SENTENCES) == module.tag(SENTENCES)


def test_plain_transformers_gives_equal_logits(trained: Trained, tmp_path: Path) -> None:
    module = trained[0]
    module.save_pretrained(tmp_path)
    network, tokenizer = (
        kind.from_pretrained(tmp_path) for kind in (AutoModelForTokenClassification, AutoTokenizer)
    )  # fmt: skip
    given = tokenizer("food Xhost Xbed", return_tensors="pt")
    with torch.inference_mode():
        torch.testing.assert_close(network.eval()(**given).logits, module(**given))
    assert network.config.id2label[0] == "B-PER"
    assert BertTagger.from_pretrained(str(tmp_path)).tag(SENTENCES) == module.tag(SENTENCES)


def test_figures_do_not_depend_on_the_batches(trained: Trained, folder: Path, tmp_path: Path) -> None:
    module, found = trained[0], []
    for rows in (64, 3):
        data = TaggingDataModule(str(folder), eval_batch_size=rows)
        found.append(trainer(tmp_path).test(module, data, verbose=False)[0])
    assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_an_entity_over_a_cut_is_counted_once(folder: Path) -> None:
    counted = []
    for tokens in (128, 8):
        data = TaggingDataModule(str(folder), max_length=tokens, vocab_size=60)
        data.setup("fit")
        data.setup("test")
        assert data.tag_names is not None
        scores, batches = TaggingScores(data.tag_names), list(data.test_dataloader())
        for batch in batches:  # gold against gold
            gold = parts(batch["labels"][batch["first_pieces"]].tolist(), batch["first_pieces"].sum(1).tolist())
            scores.update(gold, gold, list(zip(batch["sentence"].tolist(), batch["index"].tolist(), strict=True)))
        assert scores.compute()["f1"] == 1
        assert scores.entities is not None
        counted.append((int(scores.entities.true), sum(len(batch["index"]) for batch in batches)))
    assert counted[0][0] == counted[1][0]
    assert counted[0][1] < counted[1][1]


def test_tags_of_words_have_accuracy_as_their_headline(tmp_path: Path) -> None:
    rows = "".join(f"food NOUN\nis{n} VERB\n\n" for n in range(40))
    (tmp_path / "t.bio").write_text(rows)
    module, data = BertTagger(**TINY), TaggingDataModule(str(tmp_path / "t.bio"), vocab_size=60)
    fitting = trainer(tmp_path, max_epochs=1)
    fitting.fit(module, data)
    assert module.monitor == ("val/accuracy", "max")
    assert "val/f1" not in fitting.callback_metrics


def test_the_command_line_writes_a_line_for_every_word(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text('food Xhost\n\nbed , "Xroom"\n', "utf8")
    command = ["predict", "--ckpt_path", str(trained[1]), "--data", "TaggingDataModule", "--data.source", "gone/"]
    command += ["--data.predict_source", str(tmp_path / "new.txt"), "--trainer.enable_progress_bar", "false"]
    assert main([*command, "--trainer.accelerator", "cpu", "--trainer.default_root_dir", str(tmp_path)]) == 0
    (written,) = tmp_path.rglob("predictions.csv")
    with written.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["sentence", "word", "form", "tag"]
    assert [row[:3] for row in rows] == [
        ["0", "0", "food"], ["0", "1", "Xhost"], ["2", "0", "bed"], ["2", "1", ","], ["2", "2", '"Xroom"'],
    ]  # fmt: skip
    assert rows[1][3] == "B-PER"
