"""Several trained translators as one: the mean of their probabilities, token by token."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from torch import nn

from lhy_lightning.checkpoints import load_modules
from lhy_lightning.seq2seq.ensemble import Ensemble
from lhy_lightning.seq2seq.translator import Translator, decode


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
        return cls(load_modules(paths, Translator))

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """As `Translator.predict_step`."""
        members: list[Translator] = list(self.members)  # type: ignore[arg-type]
        first = members[0]
        decoder = Ensemble([member.translation_network for member in members])
        found = decode(first, decoder, [member.encode(batch) for member in members], None, 1, False)
        return first.predictions(batch, found)
