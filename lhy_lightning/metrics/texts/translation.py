"""What a translation is judged by: BLEU and chrF against the untouched references, and how many are exactly right."""

from collections.abc import Sequence

from torch import Tensor, nn

from lhy_lightning.metrics.texts.bleu import CorpusBleu, CorpusChrF, ExactMatch, default_tokenize


class TranslationMetrics(nn.Module):
    """BLEU, chrF and exact matches of a split, over all ranks.

    Args:
        language: of the target; it chooses sacrebleu's tokenization.
    """

    def __init__(self, language: str) -> None:
        super().__init__()
        tokenize = default_tokenize(language)
        self.bleu, self.bleu_homework = CorpusBleu(tokenize=tokenize), CorpusBleu(tokenize=tokenize)
        self.chrf, self.exact_match = CorpusChrF(), ExactMatch()
        self.updated = False

    @property
    def signature(self) -> str:
        """Sacrebleu's own description of how BLEU is computed, to be given beside every figure."""
        return self.bleu.signature

    def update(self, translations: Sequence[str], references: Sequence[str], rebuilt: Sequence[str]) -> None:
        """Adds sentences.

        Args:
            translations: what the network wrote.
            references: lines of the target file as they are there: what BLEU is defined on.
            rebuilt: the same put together from cleaned token ids, as the homework's own script does; it hides what
                cleaning and vocabulary lose.
        """
        self.updated = True
        self.bleu.update(list(translations), list(references))
        self.chrf.update(list(translations), list(references))
        self.exact_match.update(list(translations), list(references))
        self.bleu_homework.update(list(translations), list(rebuilt))

    def compute(self) -> dict[str, Tensor]:
        """`bleu`, `chrf`, `bleu_homework` in 0 … 100 and `exact_match` in 0 … 1; empty without references."""
        if not self.updated:
            return {}
        return {
            "bleu": self.bleu.compute(),
            "chrf": self.chrf.compute(),
            "bleu_homework": self.bleu_homework.compute(),
            "exact_match": self.exact_match.compute(),
        }

    def reset(self) -> None:
        """Forgets all sentences."""
        self.updated = False
        for metric in (self.bleu, self.bleu_homework, self.chrf, self.exact_match):
            metric.reset()
