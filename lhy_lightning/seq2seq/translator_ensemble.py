"""Several trained translators as one: the mean of their probabilities, token by token."""

from pathlib import Path
from typing import Any, Protocol, cast

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn

from lhy_lightning.decoding.ensemble import Ensemble
from lhy_lightning.decoding.interface import Memory, StepDecoder
from lhy_lightning.metrics.texts.translation import TranslationMetrics
from lhy_lightning.seq2seq.decode import Searching, decode
from lhy_lightning.training.checkpoints import load_modules


class Member(Searching, Protocol):
    """What an ensemble asks of a `Translator`."""

    test_scores: TranslationMetrics

    @property
    def translation_network(self) -> StepDecoder: ...

    def encode(self, batch: dict[str, Any]) -> Memory: ...

    def texts(self, rows: list[list[int]], batch: dict[str, Any]) -> list[str]: ...

    def predictions(self, batch: dict[str, Any], found: Any) -> dict[str, Any]: ...


class TranslatorEnsemble(LightningModule):
    """Translates with several translators of one vocabulary; the first one's settings search.

    Args:
        members: trained `Translator`s, in any mixture of networks.

    Raises:
        ValueError: no member, or members of different vocabularies.
    """

    def __init__(self, members: list[Any]) -> None:
        super().__init__()
        if not members:
            raise ValueError("an ensemble needs at least one translator.")
        for name in ("source_tokenizer", "target_tokenizer", "cleaning"):
            first, *others = (member.hparams[name] for member in members)
            if any(other != first for other in others):
                raise ValueError(
                    f"translators of one ensemble must have the same {name}: train them on the same data with the "
                    "same vocabulary settings, or start the others from the first (start_from)."
                )
        self.members = nn.ModuleList(members)
        self.save_hyperparameters(dict(members[0].hparams))

    @classmethod
    def from_checkpoints(cls, paths: list[Path]) -> "TranslatorEnsemble":
        """Loads each checkpoint with the class that made it."""
        return cls(load_modules(paths, "Translator"))

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """As `Translator.predict_step`."""
        return self.first.predictions(batch, self._decoded(batch))

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Adds a batch to BLEU, as `Translator.test_step`."""
        data, rows = self.trainer.datamodule, batch["index"].tolist()  # type: ignore[attr-defined]
        if (references := data.references("test")) is not None:
            texts = self.first.texts([best[0].ids for best in self._decoded(batch)], batch)
            rebuilt = data.cleaned_references("test")
            self.first.test_scores.update(texts, [references[row] for row in rows], [rebuilt[row] for row in rows])

    def on_test_epoch_end(self) -> None:
        figures = self.first.test_scores.compute()
        self.first.test_scores.reset()
        if not figures:
            rank_zero_warn("the test targets are missing or placeholders: there is no test/bleu.")
        named = {f"test/{name}": value.float().to(self.device) for name, value in figures.items()}
        self.log_dict(named, prog_bar=True)

    @property
    def first(self) -> Member:
        """The member whose settings search and whose vocabulary writes."""
        return cast(Member, self.members[0])

    def _decoded(self, batch: dict[str, Any]) -> Any:
        members: list[Any] = list(self.members)
        decoder = Ensemble([member.translation_network for member in members])
        return decode(self.first, decoder, [member.encode(batch) for member in members], None, 1, False)
