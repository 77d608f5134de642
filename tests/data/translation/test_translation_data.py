"""`TranslationDataModule`: which rows it trains and evaluates on, what it yields, what it says about bad input."""

import gzip
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer

from lhy_lightning.data import samplers
from lhy_lightning.data.tokenizers.special_tokens import BOS, EOS, PAD, TAG, UNK
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer
from lhy_lightning.data.translation.translation_data import TranslationDataModule

COLOURS = ("red", "green", "blue", "white", "black", "grey", "brown", "pink")
FARBEN = ("rot", "grün", "blau", "weiß", "schwarz", "grau", "braun", "rosa")
ANIMALS = ("dog", "cat", "horse", "cow", "hen", "goat", "duck", "mouse", "fish", "bee")
TIERE = ("Hund", "Katze", "Pferd", "Kuh", "Huhn", "Ziege", "Ente", "Maus", "Fisch", "Biene")
ENGLISH = [f"The {c} {a} runs." for c in COLOURS for a in ANIMALS]
GERMAN = [f"{a} in {c} läuft." for c in FARBEN for a in TIERE]


def write(path: Path, lines: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """80 pairs: 60 to train on, 10 to validate, 10 to test; no sentence twice."""
    folder = tmp_path / "corpus"
    for name, rows in (("train", slice(0, 60)), ("val", slice(60, 70)), ("test", slice(70, 80))):
        write(folder / f"{name}.en", ENGLISH[rows])
        write(folder / f"{name}.de.gz", GERMAN[rows])
    return folder


def ready(source: Path | str, stage: str | None = "fit", **options: Any) -> TranslationDataModule:
    settings: dict[str, Any] = {"tokenizer": "word", "vocab_size": 60, "cleaning": (), "max_tokens": 200}
    data = TranslationDataModule(str(source), **{"target_lang": "de", **settings, **options})
    if stage is not None:
        data.setup(stage)
    return data


def batches(data: TranslationDataModule, name: str) -> list[dict[str, Any]]:
    return list(getattr(data, f"{name}_dataloader")())


def in_order(found: list[dict[str, Any]], key: str) -> list[list[int]]:
    """The rows of all batches without padding, by index."""
    rows = [pair for batch in found for pair in zip(batch["index"].tolist(), batch[key].tolist(), strict=True)]
    return [[token for token in row if token != PAD] for _, row in sorted(rows)]


# --- batches ----------------------------------------------------------------------------------------------------------


def test_training_batches_are_padded_ids_within_the_limit_and_have_every_row_once(corpus: Path) -> None:
    data, rows = ready(corpus), 0
    for batch in batches(data, "train"):
        source, target = batch["source_ids"], batch["target_ids"]
        assert set(batch) == {"source_ids", "target_ids"}
        assert source.dtype == target.dtype == torch.int64
        assert source.shape[1] % 8 == target.shape[1] % 8 == 0
        assert max(source.numel(), target.numel()) <= 200
        assert ((source == EOS).sum(1) == 1).all()
        assert (target[:, 0] == BOS).all()
        rows += len(source)
    assert rows == 60


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_rows_come_once_with_their_index_and_are_the_files_lines(corpus: Path, split: str) -> None:
    data = ready(corpus)
    data.setup("test")
    found = batches(data, split)
    assert sorted(row for batch in found for row in batch["index"].tolist()) == list(range(10))
    lines = {"val": slice(60, 70), "test": slice(70, 80)}[split]
    assert data.sources(split) == ENGLISH[lines]  # type: ignore[arg-type]
    assert data.references(split) == GERMAN[lines]  # type: ignore[arg-type]
    decoded = [data.target_tokenizer.decode(row) for row in in_order(found, "target_ids")]
    assert decoded == data.cleaned_references(split)  # type: ignore[arg-type]


def test_two_ranks_share_evaluation_rows_without_loss_or_repetition(corpus: Path) -> None:
    data, seen = ready(corpus), []
    for rank in range(2):
        with patch.object(samplers, "rank_and_world", return_value=(rank, 2)):
            seen += [row for batch in data.val_dataloader() for row in batch["index"].tolist()]
    assert sorted(seen) == list(range(10))


def test_references_are_untouched_whatever_cleaning_does(corpus: Path) -> None:
    from lhy_lightning.data.texts.cleaning import CLEANING

    lines = [f"{line} (laughter) — “Ｈａ!”" for line in GERMAN[60:70]]
    write(corpus / "val.de.gz", lines)
    data = ready(corpus, cleaning=tuple(CLEANING))
    rebuilt = data.cleaned_references("val")
    assert data.references("val") == lines
    assert rebuilt is not None
    assert all("laughter" not in line for line in rebuilt)
    assert data.cleaning == tuple(CLEANING)


def test_worker_processes_yield_the_same_batches(corpus: Path) -> None:
    alone, helped = ready(corpus).train_dataloader(), ready(corpus, num_workers=1).train_dataloader()
    for one, other in zip(list(alone), list(helped), strict=True):
        assert torch.equal(one["source_ids"], other["source_ids"])
    helped._iterator = None  # ends the worker, which would otherwise be waited for when the module is collected
    assert pickle.loads(pickle.dumps(alone.dataset))[[0]].keys() == {"source_ids", "target_ids"}


def test_reverse_swaps_sides_and_languages(corpus: Path) -> None:
    data = ready(corpus, reverse=True)
    assert (data.source_lang, data.target_lang) == ("de", "en")
    assert data.sources("val") == GERMAN[60:70]
    assert data.references("val") == ENGLISH[60:70]


def test_without_arguments_it_trains_on_the_embedded_pairs() -> None:
    data = TranslationDataModule(tokenizer="character", vocab_size=500)
    data.setup("fit")
    assert next(iter(data.train_dataloader()))["source_ids"].shape[0] > 10
    assert data.has_test
    assert data.test_labelled


# --- test lines -------------------------------------------------------------------------------------------------------


def test_a_test_file_of_placeholders_has_no_references(corpus: Path) -> None:
    write(corpus / "test.de.gz", ["。"] * 10)
    data = ready(corpus)
    data.setup("predict")
    assert data.has_test
    assert not data.test_labelled
    assert data.references("test") is None
    assert data.cleaned_references("test") is None
    assert "target_ids" not in batches(data, "predict")[0]
    assert data.sources("predict") == ENGLISH[70:80]


def test_test_lines_are_cleaned_but_never_dropped_and_over_long_ones_cut_and_counted(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["", "The dog " * 40, "(applause)", *ENGLISH[73:80]]
    write(corpus / "test.en", lines)
    data = ready(corpus, "test", max_length=12)
    rows = in_order(batches(data, "test"), "source_ids")
    assert len(rows) == 10
    assert rows[0] == [EOS]
    assert len(rows[1]) == 13
    assert rows[1][-1] == EOS
    assert data.sources("test") == lines
    assert "1 test rows cut to 12 tokens: 1." in capsys.readouterr().out


def test_each_line_of_a_one_language_file_is_a_row_to_predict(corpus: Path, tmp_path: Path) -> None:
    lines = ["The dog runs.", "", "The zebra runs.", "The dog runs."]
    data = ready(corpus, "predict", predict_source=str(write(tmp_path / "mono.en.gz", lines)))
    found = batches(data, "predict")
    assert len(in_order(found, "source_ids")) == 4
    assert "target_ids" not in found[0]
    assert data.sources("predict") == lines
    assert data.references("predict") is None
    assert data.predict_source is not None


class Trained(LightningModule):
    """Stands for a model that was trained before and brings its tokenizers."""

    def __init__(self, source_tokenizer: str, target_tokenizer: str | None) -> None:
        super().__init__()
        self.save_hyperparameters()


def brought(data: TranslationDataModule, source: str, target: str | None) -> TranslationDataModule:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.strategy.connect(Trained(source, target))
    data.trainer = trainer
    return data


def test_prediction_needs_the_models_tokenizers_and_no_training_corpus(corpus: Path, tmp_path: Path) -> None:
    trained = ready(corpus)
    mono = write(tmp_path / "mono.en", ["The dog runs."])
    elsewhere = ready(tmp_path / "gone", None, predict_source=str(mono))
    brought(elsewhere, trained.source_tokenizer.to_json(), trained.target_tokenizer.to_json()).setup("predict")
    assert elsewhere.source_tokenizer.to_json() == trained.source_tokenizer.to_json()
    [row] = in_order(batches(elsewhere, "predict"), "source_ids")
    assert row[:-1] == trained.source_tokenizer.encode(["The dog runs."])[0].tolist()


def test_a_model_with_one_tokenizer_brings_it_for_both_sides(corpus: Path) -> None:
    joint = ready(corpus, joint=True)
    assert joint.source_tokenizer is joint.target_tokenizer
    other = brought(ready(corpus, None), joint.source_tokenizer.to_json(), None)
    other.setup("test")
    assert other.source_tokenizer is other.target_tokenizer


# --- splits -----------------------------------------------------------------------------------------------------------


def test_a_validation_split_of_the_source_itself_shares_no_sentence_with_training(tmp_path: Path) -> None:
    english = [line for line in ENGLISH for _ in range(2)]  # each with two translations
    german = [f"{line} {n}" for line in GERMAN for n in "ab"]
    write(tmp_path / "c" / "train.en", english)
    write(tmp_path / "c" / "train.de", german)
    data = ready(tmp_path / "c", val_fraction=0.2, test_fraction=0.1)
    data.setup("test")
    train, val, test = (set(data.sources(split)) for split in ("train", "val", "test"))  # type: ignore[arg-type]
    assert val
    assert test
    assert not (train | val) & test
    assert not train & val
    assert sum(len(data.sources(split)) for split in ("train", "val", "test")) == 160  # type: ignore[arg-type]
    again = ready(tmp_path / "c", val_fraction=0.2, test_fraction=0.1)
    assert again.sources("val") == data.sources("val")
    assert ready(tmp_path / "c", val_fraction=0.2, split_seed=1).sources("val") != data.sources("val")


def test_a_reverse_model_holds_out_the_very_same_pairs(tmp_path: Path) -> None:
    """Or the corpus that it makes would hold translations that it learned from the other model's validation rows."""
    write(tmp_path / "c" / "train.en", ENGLISH)
    write(tmp_path / "c" / "train.de", GERMAN)
    forward, backward = (ready(tmp_path / "c", val_fraction=0.2, reverse=reverse) for reverse in (False, True))
    assert forward.sources("val") == backward.references("val")
    assert forward.references("val") == backward.sources("val")


def test_placeholders_are_nothing_to_translate_from_in_reverse(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(corpus / "test.de.gz", ["。"] * 10)
    data = ready(corpus, reverse=True)
    assert not data.has_test
    assert "nothing to translate from in this direction" in capsys.readouterr().out


def test_tokens_are_kept_when_the_trained_model_brings_the_same_tokenizers(corpus: Path) -> None:
    data = ready(corpus)
    before = data._rows["val"]
    brought(data, data.source_tokenizer.to_json(), data.target_tokenizer.to_json()).setup("validate")
    assert data._rows["val"] is before


@pytest.mark.parametrize("drop", [True, False])
def test_training_rows_that_share_a_sentence_with_validation_or_test_are_dropped_and_counted(
    drop: bool, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(corpus / "train.en", [ENGLISH[60], *ENGLISH[1:60]])  # the source of a validation row
    write(corpus / "train.de.gz", [GERMAN[0], GERMAN[75], *GERMAN[2:60]])  # the target of a test row
    data = ready(corpus, drop_leaks=drop)
    assert len(data.sources("train")) == (58 if drop else 60)
    assert (ENGLISH[60] in data.sources("train")) is not drop
    assert ("2 training rows dropped" in capsys.readouterr().out) is drop


def test_placeholders_are_no_sentences_to_share(corpus: Path) -> None:
    write(corpus / "test.de.gz", ["。"] * 10)
    write(corpus / "train.de.gz", ["。", *GERMAN[1:60]])
    assert len(ready(corpus).sources("train")) == 60


def test_validation_and_test_from_elsewhere(corpus: Path, tmp_path: Path) -> None:
    write(tmp_path / "own.tsv", [f"{a}\t{b}" for a, b in zip(ENGLISH[:5], GERMAN[:5], strict=True)])
    data = ready(corpus, val_source=str(tmp_path / "own.tsv"), test_source=str(corpus / "val"))
    assert data.sources("val") == ENGLISH[:5]
    assert len(data.sources("train")) == 55
    data.setup("test")
    assert data.sources("test") == ENGLISH[60:70]


def test_only_training_rows_make_the_vocabulary_and_every_rank_the_same(corpus: Path, tmp_path: Path) -> None:
    write(corpus / "val.en", [*ENGLISH[60:69], "A xylophone."])
    one, other = (ready(corpus, cache_dir=str(tmp_path / name)) for name in "ab")
    assert one.source_tokenizer.to_json() == other.source_tokenizer.to_json()
    assert one.source_tokenizer.id_of("xylophone") is None
    assert one.source_tokenizer.id_of("dog") is not None


def test_long_training_rows_are_dropped_and_counted(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(corpus / "train.en", ["The dog runs. " * 9, *ENGLISH[1:60]])
    data = ready(corpus, max_length=10, max_ratio=20)
    assert len(data.sources("train")) == 59
    references = data.references("train")
    assert references is not None
    assert references[0] == GERMAN[1]
    assert sum(len(batch["source_ids"]) for batch in batches(data, "train")) == 59
    assert "1 training rows above 10 tokens dropped." in capsys.readouterr().out


def test_what_was_read_is_said_once(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ready(corpus)
    data.setup("validate")
    said = capsys.readouterr().out
    assert said.count("60 training rows") == 1
    assert said.count("10 val rows") == 1
    assert said.startswith("en → de")


# --- order ------------------------------------------------------------------------------------------------------------


def test_a_resumed_module_goes_on_after_the_batches_trained_on(corpus: Path) -> None:
    whole, resumed = ready(corpus).train_dataloader(), ready(corpus).train_dataloader()
    resumed.load_state_dict({"epoch": 2, "batches": 3})
    whole.sampler.set_epoch(2)  # type: ignore[attr-defined]
    left = list(whole)[3:]
    assert left
    for one, other in zip(left, resumed, strict=True):
        assert torch.equal(one["target_ids"], other["target_ids"])


# --- back-translation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tagged", [True, False])
def test_back_translated_rows_are_mixed_in_at_the_ratio_with_their_tag(
    tagged: bool, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"The {a} sleeps.\t{b} schläft sehr.\t-0.31" for a, b in zip(ANIMALS, TIERE, strict=True)]
    rows += [f"Too short.\t{'lang ' * 40}\t-9.1", f"The hen.\t{GERMAN[62]}\t-1"]  # ratio; a validation sentence
    made = write(tmp_path / "synthetic.tsv", rows)
    data = ready(corpus, back_translated=str(made), back_translation_ratio=0.1, tag_back_translated=tagged)
    loader, drawn, steps = data.train_dataloader(), 0, set()
    sleeps = data.source_tokenizer.encode(["The dog sleeps."])[0]
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        found = list(loader)
        steps.add(len(found))
        sources = torch.cat(
            [torch.nn.functional.pad(b["source_ids"], (0, 16 - b["source_ids"].shape[1])) for b in found]
        )
        assert len(sources) == 66
        drawn += int((sources[:, 0] == TAG).sum())
    assert drawn == (18 if tagged else 0)
    assert len(steps) == 1
    assert UNK in sleeps, "the vocabulary is that of the real rows"
    assert "10 back-translated rows, 6 of them an epoch" in capsys.readouterr().out
    assert len(data.sources("val")) == 10
    assert len(data.sources("train")) == 60


# --- copying ----------------------------------------------------------------------------------------------------------


def test_copying_adds_extended_ids_and_the_words_they_stand_for(corpus: Path) -> None:
    write(corpus / "val.en", ["The zebra runs."] * 9 + ["The red dog runs."])
    write(corpus / "val.de.gz", ["zebra läuft."] * 9 + ["Hund läuft."])
    data = ready(corpus, joint=True, copying=True)
    size = len(data.target_tokenizer)
    batch = data.val_dataloader().dataset[[0]]
    assert batch["unknown_words"][0] == data.unknown_words("val", 0) == ["zebra"]
    assert batch["copy_ids"].shape == batch["source_ids"].shape
    assert batch["copy_targets"].shape == batch["target_ids"].shape
    assert size in batch["copy_ids"][0]
    assert size in batch["copy_targets"][0]
    assert UNK in batch["source_ids"][0]
    assert "zebra" in data.target_tokenizer.decode(batch["copy_targets"][0].tolist(), batch["unknown_words"][0])


# --- bad input --------------------------------------------------------------------------------------------------------


def test_copying_subwords_needs_one_vocabulary(corpus: Path) -> None:
    with pytest.raises(ValueError, match=r"copying with bpe subwords needs --data\.joint true"):
        TranslationDataModule(tokenizer="bpe", copying=True)
    apart = ready(corpus, tokenizer="bpe", vocab_size=100)
    data = brought(
        ready(corpus, None, tokenizer="bpe", copying=True, joint=True, vocab_size=100),
        apart.source_tokenizer.to_json(),
        apart.target_tokenizer.to_json(),
    )
    with pytest.raises(ValueError, match="copying with bpe subwords needs one vocabulary"):
        data.setup("fit")


def test_filters_that_leave_nothing_say_which_took_how_many(corpus: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing is left of 60 training rows after filtering \(60 "):
        ready(corpus, min_words=50)
    with pytest.raises(ValueError, match=r"nothing is left of 60 training rows: all have more than max_length=1"):
        ready(corpus, max_length=1)


def test_a_row_longer_than_a_batch_is_an_error_before_training(corpus: Path) -> None:
    data = ready(corpus, max_tokens=4, pad_to_multiple=1)
    with pytest.raises(ValueError, match=r"training row \d+ has \d tokens.*max_tokens=4"):
        data.train_dataloader()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"val_fraction": 0.7, "test_fraction": 0.4}, "leave something to train on"),
        ({"back_translation_ratio": 0.0}, "back_translation_ratio"),
        ({"joint": True, "target_vocab_size": 9}, "a joint vocabulary has one size"),
    ],
)
def test_arguments_that_cannot_be_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TranslationDataModule(**options)


def test_a_source_without_test_says_what_to_set(tmp_path: Path) -> None:
    write(tmp_path / "c" / "train.en", ENGLISH)
    write(tmp_path / "c" / "train.de", GERMAN)
    data = ready(tmp_path / "c", val_fraction=0.1)
    assert not data.has_test
    with pytest.raises(ValueError, match=r"no test split: set --data\.test_source or --data\.test_fraction"):
        data.setup("test")


def test_a_back_translated_file_must_hold_pairs(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ready(corpus, back_translated=str(tmp_path / "none.tsv"))
    with pytest.raises(ValueError):
        ready(corpus, back_translated=str(write(tmp_path / "one.tsv", ["no tab here"])))


def test_a_given_tokenizer_that_lacks_the_languages_characters_is_an_error(corpus: Path, tmp_path: Path) -> None:
    ready(corpus)
    file = tmp_path / "tokenizer.json"
    file.write_text(TextTokenizer.train(["一 二 三 四 五 六"] * 9, kind="character", vocab_size=20).to_json(), "utf8")
    with pytest.raises(ValueError):
        ready(corpus, tokenizer_file=str(file))


def test_hyperparameters_equal_the_signature_and_every_argument_is_a_flag() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(TranslationDataModule, "data")
    settings = parser.parse_args(["--data.cleaning=[]", "--data.max_tokens=100"]).data
    assert set(settings.as_dict()) == set(TranslationDataModule().hparams)
