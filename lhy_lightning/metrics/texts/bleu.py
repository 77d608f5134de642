"""BLEU, chrF and exact match as torchmetrics metrics, exact over batches and ranks, with sacrebleu's figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from torch import Tensor
from torchmetrics import Metric

from lhy_lightning.metrics.texts.sentence_bleu import sentence_bleu, sentence_bleu_ids

__all__ = ["CorpusBleu", "CorpusChrF", "ExactMatch", "default_tokenize", "sentence_bleu", "sentence_bleu_ids"]

ORDERS = 4


def default_tokenize(language: str) -> str:
    """The sacrebleu tokenization of a language, by its code ("zh", "zh-TW", "en" …).

    Chinese has its own. Japanese and Korean have one in sacrebleu too, by MeCab, which takes an extra package and a
    dictionary; here characters are counted, as for Thai, Lao, Khmer and Burmese: "13a" would take a clause without
    spaces for one word. All others get "13a", sacrebleu's default.
    """
    base = language.lower().replace("_", "-").split("-")[0]
    if base in ("zh", "zho", "chi", "cmn", "yue"):
        return "zh"
    if base in ("ja", "jpn", "ko", "kor", "th", "tha", "lo", "lao", "km", "khm", "my", "mya"):
        return "char"
    return "13a"


class CorpusBleu(Metric):
    """Corpus BLEU, 0 … 100 (Papineni et al. 2002; Post 2018, https://arxiv.org/abs/1804.08771).

    Sums n-gram counts and lengths as integers over batches and ranks: the figure is that of sacrebleu's `corpus_bleu`
    and of its command for the whole file.

    Args:
        tokenize: sacrebleu's tokenization; see `default_tokenize`.
        lowercase: ignore case.

    Example:
        >>> from lhy_lightning import CorpusBleu
        >>> bleu = CorpusBleu()
        >>> bleu.update(["the cat sat on the mat"], ["the cat sat on the mat"])
        >>> round(bleu.compute().item(), 1)
        100.0
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    correct: Tensor
    total: Tensor
    lengths: Tensor

    def __init__(self, *, tokenize: str = "13a", lowercase: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scorer = BLEU(tokenize=tokenize, lowercase=lowercase, force=True)
        self.scorer.num_refs = 1  # known to the signature before the first sentence
        for name, size in (("correct", ORDERS), ("total", ORDERS), ("lengths", 2)):
            self.add_state(name, torch.zeros(size, dtype=torch.int64), dist_reduce_fx="sum")

    @property
    def signature(self) -> str:
        """Sacrebleu's signature, to be given beside the figure."""
        return str(self.scorer.get_signature())

    def update(self, hypotheses: Sequence[str], references: Sequence[str]) -> None:
        """Adds translations and their references, N each, as plain text.

        Raises:
            ValueError: not as many references as hypotheses.
        """
        check_pairs(hypotheses, references)
        if not hypotheses:
            return
        score = self.scorer.corpus_score(list(hypotheses), [list(references)])
        self.correct += self.correct.new_tensor(score.counts)
        self.total += self.total.new_tensor(score.totals)
        self.lengths += self.lengths.new_tensor([score.sys_len, score.ref_len])

    def compute(self) -> Tensor:
        """BLEU, scalar float32; 0 where nothing was added."""
        length, reference_length = self.lengths.tolist()
        score = BLEU.compute_bleu(self.correct.tolist(), self.total.tolist(), length, reference_length, "exp")
        return torch.tensor(score.score, device=self.correct.device, dtype=torch.float32)


class CorpusChrF(Metric):
    """Corpus chrF2, 0 … 100 (Popović 2015, https://aclanthology.org/W15-3049): sacrebleu's figure, as `CorpusBleu`."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    statistics: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scorer = CHRF()
        self.scorer.num_refs = 1
        self.add_state("statistics", torch.zeros(3 * self.scorer.order, dtype=torch.int64), dist_reduce_fx="sum")

    @property
    def signature(self) -> str:
        """Sacrebleu's signature."""
        return str(self.scorer.get_signature())

    def update(self, hypotheses: Sequence[str], references: Sequence[str]) -> None:
        """Adds translations and their references, N each.

        Raises:
            ValueError: not as many references as hypotheses.
        """
        check_pairs(hypotheses, references)
        if hypotheses:
            # sacrebleu's public chrF score does not show what it was computed from, as its BLEU score does
            rows = self.scorer._extract_corpus_statistics(list(hypotheses), [list(references)])
            self.statistics += self.statistics.new_tensor(rows).sum(0)

    def compute(self) -> Tensor:
        """chrF, scalar float32; 0 where nothing was added."""
        score = self.scorer._compute_score_from_stats(self.statistics.tolist()).score
        return torch.tensor(score, device=self.statistics.device, dtype=torch.float32)


class ExactMatch(Metric):
    """Share of translations that are their reference, character for character, 0 … 1.

    Example:
        >>> from lhy_lightning import ExactMatch
        >>> match = ExactMatch()
        >>> match.update(["a b", "c"], ["a b", "d"])
        >>> match.compute().item()
        0.5
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    right: Tensor
    rows: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("right", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("rows", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, hypotheses: Sequence[str], references: Sequence[str]) -> None:
        """Adds translations and their references, N each.

        Raises:
            ValueError: not as many references as hypotheses.
        """
        check_pairs(hypotheses, references)
        self.right += sum(map(str.__eq__, hypotheses, references))
        self.rows += len(hypotheses)

    def compute(self) -> Tensor:
        """The share, scalar float32; 0 where nothing was added."""
        return self.right / self.rows.clamp(min=1)


def check_pairs(hypotheses: Sequence[Any], references: Sequence[Any]) -> None:
    """One reference for each hypothesis, and a batch of either, not a single string."""
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise ValueError("hypotheses and references are lists of strings, not one string.")
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses for {len(references)} references")
