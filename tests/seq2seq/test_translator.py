"""The Lightning module: losses that batch mates do not change, checkpoints that translate by themselves."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything

from lhy_lightning import BleuTranslator, ScheduledSamplingTranslator, TranslationDataModule, Translator
from lhy_lightning.seq2seq.translator_ensemble import TranslatorEnsemble
from lhy_lightning.training.checkpoints import read_checkpoint
from lhy_lightning.training.single_optimizer import SingleOptimizerModule

SMALL: dict[str, Any] = {
    "layers": 1, "width": 32, "heads": 2, "feedforward": 64, "embedding": 16, "warmup_steps": 20, "lr": 0.01, "beam": 3,
}  # fmt: skip


def data(corpus: Path, **settings: Any) -> TranslationDataModule:
    settings = {"tokenizer": "word", "vocab_size": 60, "max_tokens": 256, "drop_leaks": False, **settings}
    return TranslationDataModule(str(corpus), source_lang="en", target_lang="de", **settings)


def trainer(folder: Path, **settings: Any) -> Trainer:
    settings = {"max_epochs": 1, "logger": False, "enable_checkpointing": False, **settings}
    return Trainer(
        default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        num_sanity_val_steps=0, **settings,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Translator, Trainer, Path]:
    folder = tmp_path_factory.mktemp("trained")
    seed_everything(0)
    model, at_work = Translator(**SMALL), trainer(folder, max_epochs=12)
    at_work.fit(model, data(corpus))
    at_work.save_checkpoint(folder / "trained.ckpt")
    return model, at_work, folder / "trained.ckpt"


def arguments_of(kind: type[LightningModule]) -> set[str]:
    """Names in a constructor's signature; `**arguments` stands for those of the class above."""
    names: set[str] = set()
    for owner in kind.__mro__:
        if "__init__" not in vars(owner) or not issubclass(owner, SingleOptimizerModule):
            continue
        own = inspect.signature(owner.__init__).parameters.values()  # type: ignore[misc]
        names |= {p.name for p in own if p.name != "self" and p.kind is p.KEYWORD_ONLY}
    return names


@pytest.mark.parametrize("kind", [Translator, ScheduledSamplingTranslator])
def test_hyperparameters_are_the_signature(kind: type[Translator]) -> None:
    extra = {} if kind is Translator else {"sampling_steps": 10}
    assert set(kind(**extra).hparams) == arguments_of(kind)


def test_hyperparameters_of_bleu_training_are_its_signature(trained: tuple[Translator, Trainer, Path]) -> None:
    assert set(BleuTranslator(start_from=str(trained[2]), **SMALL).hparams) == arguments_of(BleuTranslator)


def test_training_lowers_the_loss_and_logs_the_fields_figures(trained: tuple[Translator, Trainer, Path]) -> None:
    figures = trained[1].callback_metrics
    assert {"val/loss", "val/bleu", "val/chrf", "val/exact_match", "val/bleu_homework", "train/loss"} <= set(figures)
    assert figures["val/loss"] < 1.5
    assert figures["val/bleu"] > 10


@pytest.mark.parametrize("network", ["transformer", "gru"])
def test_padding_and_batch_mates_change_neither_loss_nor_translation(network: str, corpus: Path) -> None:
    torch.manual_seed(0)
    source = data(corpus)
    model = Translator(network=network, **SMALL, label_smoothing=0.1)  # type: ignore[arg-type]
    trainer(corpus, max_steps=1).fit(model, source)
    model.eval()
    rows = source.val_dataloader().dataset[list(range(9))]  # type: ignore[index]
    together, _ = model.loss(rows)
    alone = torch.zeros(())
    for row in range(9):
        one = source.val_dataloader().dataset[[row]]  # type: ignore[index]
        loss, _ = model.loss(one)
        alone = alone + loss
        assert model(one["source_ids"])[0] == model(rows["source_ids"])[row]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-5)


def test_a_checkpoint_translates_plain_text_without_any_data(trained: tuple[Translator, Trainer, Path]) -> None:
    model, _, path = trained
    texts = ["one cat sees two", "dog", "three and three and one dog"]
    again = Translator.load_from_checkpoint(path, weights_only=True)
    expected = [best[0].text for best in model.translate(texts)]
    assert [best[0].text for best in again.translate(texts)] == expected
    assert [best[0].text for best in again.translate(texts[::-1])] == expected[::-1]
    assert len(again.translate(texts[:1], n_best=3)[0]) == 3
    with_attention = again.translate(texts[:1], attention=True)[0][0].attention
    assert with_attention is not None
    torch.testing.assert_close(with_attention.sum(1), torch.ones(len(with_attention)))


def test_save_pretrained_carries_vocabulary_and_weights(
    trained: tuple[Translator, Trainer, Path], tmp_path: Path
) -> None:
    model = trained[0]
    model.save_pretrained(tmp_path)
    again = Translator.from_pretrained(tmp_path)
    assert again.translate(["one dog"])[0][0].text == model.translate(["one dog"])[0][0].text
    assert dict(again.hparams) == dict(model.hparams)


def test_an_ensemble_of_one_translator_twice_is_that_translator(
    trained: tuple[Translator, Trainer, Path], corpus: Path, tmp_path: Path
) -> None:
    both = TranslatorEnsemble.from_checkpoints([trained[2], trained[2]])
    at_work = trainer(tmp_path)
    one = at_work.predict(trained[0], data(corpus))
    two = at_work.predict(both, data(corpus))
    assert one is not None
    assert two is not None
    assert [batch["text"] for batch in two] == [batch["text"] for batch in one]  # type: ignore[call-overload, index]
    alone = at_work.test(trained[0], data(corpus), verbose=False)[0]
    together = at_work.test(both, data(corpus), verbose=False)[0]
    assert "test/bleu" in together
    assert together == {name: value for name, value in alone.items() if name != "test/loss"}


def test_sampling_probability_zero_is_teacher_forcing_to_the_bit(corpus: Path, tmp_path: Path) -> None:
    weights = []
    for kind, extra in ((Translator, {}), (ScheduledSamplingTranslator, {"sampling": "constant", "sampling_end": 0.0})):
        seed_everything(3)
        model = kind(**SMALL, **extra)
        trainer(tmp_path, max_epochs=1).fit(model, data(corpus))
        weights.append(model.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


@pytest.mark.parametrize("network", ["transformer", "gru"])
def test_scheduled_sampling_replaces_the_share_that_it_logs(network: str, corpus: Path, tmp_path: Path) -> None:
    model = ScheduledSamplingTranslator(
        network=network, **SMALL, sampling="constant", sampling_end=0.5  # type: ignore[arg-type]
    )  # fmt: skip
    at_work = trainer(tmp_path, max_epochs=2)
    at_work.fit(model, data(corpus))
    assert 0.3 < at_work.callback_metrics["train/replaced"] < 0.7


@pytest.mark.parametrize("objective", ["minimum_risk", "self_critical"])
def test_training_on_bleu_goes_on_from_a_checkpoint(
    objective: str, trained: tuple[Translator, Trainer, Path], corpus: Path, tmp_path: Path
) -> None:
    start = read_checkpoint(trained[2])["state_dict"]
    model = BleuTranslator(start_from=str(trained[2]), objective=objective, samples=3, **SMALL)  # type: ignore[arg-type]
    at_work = trainer(tmp_path, max_steps=2)
    assert all(torch.equal(value, start[name]) for name, value in started(model, at_work, corpus).items())
    assert 0 < at_work.callback_metrics["train/reward"] <= 1


def started(model: BleuTranslator, at_work: Trainer, corpus: Path) -> dict[str, torch.Tensor]:
    """The weights that training started from."""
    seen: dict[str, torch.Tensor] = {}
    first = model.on_train_batch_start

    def note(batch: Any, batch_idx: int) -> None:
        if not seen:
            seen.update({name: value.clone() for name, value in model.state_dict().items()})
        first(batch, batch_idx)

    model.on_train_batch_start = note  # type: ignore[method-assign]
    at_work.fit(model, data(corpus))
    return seen


def test_copying_writes_words_that_no_vocabulary_has(corpus_with_names: Path, tmp_path: Path) -> None:
    source = data(corpus_with_names, copying=True, vocab_size=30)
    model = Translator(**SMALL, copying=True, label_smoothing=0.0)
    at_work = trainer(tmp_path, max_epochs=1)
    at_work.fit(model, source)
    batch = source.val_dataloader().dataset[[0, 1, 2]]  # type: ignore[index]
    beyond = max(len(words) for words in batch["unknown_words"])
    assert beyond > 0
    network = model.eval().translation_network
    chances = network(batch["source_ids"], batch["target_ids"][:, :-1], batch["copy_ids"], beyond)
    torch.testing.assert_close(chances.exp().sum(-1), torch.ones(chances.shape[:2]))
    unknown = chances[..., -beyond:].exp().sum()
    assert unknown > 0
    assert len(model.translate(["cat xyzzy dog"])) == 1


@pytest.mark.slow
def test_copying_learns_to_copy_and_without_it_nothing_is_copied(tmp_path: Path) -> None:
    from tests.seq2seq.conftest import write_corpus

    folder = write_corpus(tmp_path / "names", train=3000, val=100, names=True)
    exact = []
    for copying in (True, False):
        seed_everything(0)
        model = Translator(**{**SMALL, "lr": 0.003}, copying=copying, label_smoothing=0.0)
        at_work = trainer(tmp_path, max_epochs=20)
        at_work.fit(model, data(folder, copying=copying, vocab_size=30, max_tokens=1024))
        exact.append(float(at_work.callback_metrics["val/exact_match"]))
    assert exact[0] > 0.8
    assert exact[1] < 0.05


def test_what_does_not_go_together_is_said_before_training(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="label_smoothing"):
        Translator(copying=True, label_smoothing=0.1)
    with pytest.raises(ValueError, match="start_from"):
        BleuTranslator(**SMALL)
    with pytest.raises(ValueError, match="set copying of the data"):
        trainer(tmp_path, max_steps=1).fit(Translator(**SMALL, copying=True, label_smoothing=0.0), data(corpus))
    with pytest.raises(ValueError, match="network is one of transformer, gru"):
        Translator(network="lstm")  # type: ignore[arg-type]


def test_another_direction_than_the_network_was_trained_for_is_refused(
    trained: tuple[Translator, Trainer, Path], corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="translates to 'de', the data to 'en'"):
        trainer(tmp_path).validate(trained[0], data(corpus, reverse=True))


def test_starting_from_another_network_is_refused(
    trained: tuple[Translator, Trainer, Path], corpus: Path, tmp_path: Path
) -> None:
    model = Translator(**{**SMALL, "width": 16}, start_from=str(trained[2]))
    with pytest.raises(ValueError, match="is of another network"):
        trainer(tmp_path).fit(model, data(corpus))


def test_forced_decoding_gives_back_what_the_beam_said(trained: tuple[Translator, Trainer, Path]) -> None:
    model, texts = trained[0], ["one cat sees two", "dog", "three and three and one dog"]
    found = [best[0] for best in model.translate(texts, attention=True)]
    scored = model.score(texts, [best.text for best in found])
    for given, best in zip(scored, found, strict=True):
        assert given.log_probability == pytest.approx(best.log_probability, abs=1e-4)
        assert given.score == pytest.approx(best.score, abs=1e-5)
        assert given.tokens == best.tokens
        assert best.attention is not None
        assert best.attention.shape == (len(best.tokens), len(best.source_tokens))
    with pytest.raises(ValueError, match="1 targets for 3 sources"):
        model.score(texts, ["eins"])
