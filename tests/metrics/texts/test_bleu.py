"""BLEU and chrF are sacrebleu's, whatever the batches and ranks; sentence BLEU too, on text and on ids."""

from __future__ import annotations

import copy
import os
import pickle
import sys
from pathlib import Path

import pytest
import sacrebleu
import torch
from sacrebleu.sacrebleu import main as sacrebleu_command

from lhy_lightning.metrics.texts.bleu import (
    CorpusBleu,
    CorpusChrF,
    ExactMatch,
    default_tokenize,
    sentence_bleu,
    sentence_bleu_ids,
)

HYPOTHESES = [
    "The cat sat on a mat, didn't it?",
    "",
    "Two dogs are running in the snow .",
    "yes",
    "A man in a blue shirt is standing on a ladder, cleaning the window.",
    "a a a a a a",
    "Nothing fits here",
]
REFERENCES = [
    "The cat sat on the mat, didn't it?",
    "Silence.",
    "Two dogs run through the snow.",
    "Yes",
    "A man in a blue shirt stands on a ladder cleaning a window.",
    "a b a",
    "",
]
CHINESE = ["我爱北京天安门。", "今天天气 very 好!"], ["我愛北京的天安门。", "今天的天气very好!"]


def words(seed: int, rows: int, longest: int = 12) -> list[list[int]]:
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(longest + 1, (rows,), generator=draw).tolist()
    return [torch.randint(5, 9, (length,), generator=draw).tolist() for length in lengths]


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("tokenize", ["13a", "zh", "char", "intl", "none"])
def test_corpus_bleu_is_that_of_sacrebleu_whatever_the_batches(tokenize: str, lowercase: bool) -> None:
    hypotheses, references = HYPOTHESES + CHINESE[0], REFERENCES + CHINESE[1]
    bleu = CorpusBleu(tokenize=tokenize, lowercase=lowercase)
    for start in (0, 2, 5, 9):
        end = {0: 2, 2: 5, 5: 9, 9: 9}[start]
        bleu.update(hypotheses[start:end], references[start:end])
    wanted = sacrebleu.corpus_bleu(hypotheses, [references], tokenize=tokenize, lowercase=lowercase, force=True)
    assert bleu.compute().item() == pytest.approx(wanted.score, abs=1e-4)
    assert f"tok:{tokenize}" in bleu.signature


def test_corpus_bleu_is_what_the_command_of_sacrebleu_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, hypothesis, printed = (tmp_path / name for name in ("reference.txt", "hypothesis.txt", "printed.txt"))
    reference.write_text("\n".join(REFERENCES) + "\n")
    hypothesis.write_text("\n".join(HYPOTHESES) + "\n")
    options = ["-i", str(hypothesis), "-b", "-w", "4", "--quiet", "--no-color"]
    monkeypatch.setattr(sys, "argv", ["sacrebleu", str(reference), *options])
    # the command opens the file descriptors of standard input and output once more, and closes them
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(printed, os.O_WRONLY | os.O_CREAT)
    with open(nothing, closefd=False) as stdin, open(output, "w", closefd=False) as stdout:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stdout", stdout)
        sacrebleu_command()
        sys.stdin.close(), sys.stdout.close()
    bleu = CorpusBleu()
    bleu.update(HYPOTHESES, REFERENCES)
    assert float(printed.read_text()) == pytest.approx(bleu.compute().item(), abs=6e-5)


def test_chrf_is_that_of_sacrebleu_whatever_the_batches() -> None:
    chrf = CorpusChrF()
    chrf.update(HYPOTHESES[:3], REFERENCES[:3])
    chrf.update(HYPOTHESES[3:], REFERENCES[3:])
    assert chrf.compute().item() == pytest.approx(sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score, abs=1e-4)
    assert chrf.signature.startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0")


@pytest.mark.parametrize("make", [CorpusBleu, CorpusChrF, ExactMatch])
def test_ranks_add_up_to_the_figure_of_all_rows(make: type[CorpusBleu]) -> None:
    everything, one, two = make(), make(), make()
    everything.update(HYPOTHESES, REFERENCES)
    one.update(HYPOTHESES[:5], REFERENCES[:5])
    two.update(HYPOTHESES[5:], REFERENCES[5:])
    for name, reduction in everything._reductions.items():
        assert not getattr(one, name).is_floating_point()  # exact however long the file
        both = reduction(torch.stack([getattr(one, name), getattr(two, name)]))  # type: ignore[operator]
        assert torch.equal(
            both.sum(0) if both.shape != getattr(everything, name).shape else both, getattr(everything, name)
        )
        setattr(one, name, both)
    assert torch.equal(one.compute(), everything.compute())


def test_metrics_are_copied_saved_and_reset() -> None:
    for metric in (CorpusBleu(tokenize="zh"), CorpusChrF(), ExactMatch()):
        metric.update(*CHINESE)
        for other in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
            assert torch.equal(other.compute(), metric.compute())
        metric.reset()
        metric.update(["a b c d"], ["a b c d"])
        assert metric.compute().item() in (1, pytest.approx(100))
        assert not metric.state_dict()


def test_exact_match_is_the_share_of_equal_strings() -> None:
    exact = ExactMatch()
    exact.update(["a", "b "], ["a", "b"])
    exact.update(["c"], ["d"])
    assert exact.compute().item() == pytest.approx(1 / 3)


def test_without_sentences_figures_are_zero() -> None:
    for metric in (CorpusBleu(), CorpusChrF(), ExactMatch()):
        metric.update([], [])
        assert metric.compute().item() == 0


def test_a_missing_reference_is_an_error() -> None:
    for metric in (CorpusBleu(), CorpusChrF(), ExactMatch()):
        with pytest.raises(ValueError, match="2 hypotheses for 1 references"):
            metric.update(["a", "b"], ["a"])
        with pytest.raises(ValueError, match="not one string"):
            metric.update("a", "b")
    with pytest.raises(ValueError, match="1 hypotheses for 2 references"):
        sentence_bleu(["a"], ["a", "b"])


def test_languages_get_the_tokenization_that_sacrebleu_advises_or_characters() -> None:
    chosen = {code: default_tokenize(code) for code in ("zh", "zh-TW", "zh_CN", "en", "de", "ja", "ko", "th")}
    assert chosen == {
        "zh": "zh", "zh-TW": "zh", "zh_CN": "zh", "en": "13a", "de": "13a", "ja": "char", "ko": "char", "th": "char",
    }  # fmt: skip


@pytest.mark.parametrize("smoothing", ["exp", "add-k", "floor", "none"])
def test_sentence_bleu_is_that_of_sacrebleu_on_text(smoothing: str) -> None:
    for tokenize, hypotheses, references in (("13a", HYPOTHESES, REFERENCES), ("zh", *CHINESE)):
        found = sentence_bleu(hypotheses, references, tokenize=tokenize, smoothing=smoothing)  # type: ignore[arg-type]
        for value, hypothesis, reference in zip(found.tolist(), hypotheses, references, strict=True):
            wanted = sacrebleu.sentence_bleu(hypothesis, [reference], tokenize=tokenize, smooth_method=smoothing)
            assert value == pytest.approx(wanted.score / 100, abs=1e-6)


@pytest.mark.parametrize("smoothing", ["exp", "add-k", "floor", "none"])
def test_sentence_bleu_of_ids_is_that_of_sacrebleu_on_the_joined_ids(smoothing: str) -> None:
    hypotheses, references = words(0, 300), words(1, 300)
    found = sentence_bleu_ids(hypotheses, references, smoothing=smoothing)  # type: ignore[arg-type]
    assert found.shape == (300,)
    assert found.dtype == torch.float32
    for value, hypothesis, reference in zip(found.tolist(), hypotheses, references, strict=True):
        joined, gold = " ".join(map(str, hypothesis)), " ".join(map(str, reference))
        wanted = sacrebleu.sentence_bleu(joined, [gold], tokenize="none", smooth_method=smoothing)
        assert value == pytest.approx(wanted.score / 100, abs=1e-6)


def test_long_batches_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    hypotheses, references = words(0, 50), words(1, 50)
    whole = sentence_bleu_ids(hypotheses, references)
    monkeypatch.setattr("lhy_lightning.metrics.texts.sentence_bleu.LARGEST", 1000)
    assert torch.equal(sentence_bleu_ids(hypotheses, references), whole)


def test_sentence_bleu_ignores_case_where_asked() -> None:
    assert sentence_bleu(["YES it is so"], ["yes It is so"], lowercase=True).item() == pytest.approx(1)
    assert sentence_bleu([], []).shape == (0,)


def test_a_smoothing_that_there_is_not_is_an_error() -> None:
    with pytest.raises(ValueError, match="smoothing"):
        sentence_bleu_ids([[1]], [[1]], smoothing="some")  # type: ignore[arg-type]
