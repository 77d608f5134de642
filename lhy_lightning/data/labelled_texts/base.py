"""What the data modules of labelled texts share, whether a label is of a text or of each of its words."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.base import ResumableLoader
from lhy_lightning.data.labelled_texts.records import LabelledText
from lhy_lightning.data.labelled_texts.tag_batches import TagBatches
from lhy_lightning.data.labelled_texts.tagged_files import TaggedText
from lhy_lightning.data.labelled_texts.text_batches import TextBatches
from lhy_lightning.data.sequences.length_batches import Filling, LengthEvalBatches, length_batches
from lhy_lightning.data.texts.base import SPLITS, SplitName
from lhy_lightning.data.texts.encoder_base import AllEncoderTextArguments, EncoderTextDataModule
from lhy_lightning.data.texts.row_splits import hold_out, predict_file, read_splits, shared_with_training, split_of
from lhy_lightning.data.texts.text_sources import Split

Text = TypeVar("Text", LabelledText, TaggedText)
Batches = TypeVar("Batches", TextBatches, TagBatches)


@dataclass(frozen=True)
class Rows(Generic[Text, Batches]):
    """One split, tokenised.

    Attributes:
        text: its rows.
        batches: makes its batches.
    """

    text: Text
    batches: Batches


class LabelledTextDataModule(EncoderTextDataModule, Generic[Text, Batches]):
    """Base of the data modules of labelled texts: what is read once, divided, and tokenised anew for another model.

    Args:
        source: see `EncoderTextDataModule`.
        arguments: as `EncoderTextDataModule`.

    Attributes:
        max_length: see the argument.
        has_test: whether there is a test split.
        test_labelled: whether it has labels.
    """

    unit: ClassVar[str] = "rows"
    """What messages call the rows."""

    def __init__(self, source: str, **arguments: Unpack[AllEncoderTextArguments]) -> None:
        super().__init__(source, **arguments)
        self.max_length: int = self._args.max_length
        self._source: dict[Split, Text] | None = None
        self._texts: dict[Split, Text] | None = None
        self._rows: dict[SplitName, Rows[Text, Batches]] = {}
        self._made_by: tuple[str, tuple[str, ...] | None] | None = None

    # --- what a subclass says --------------------------------------------------------------------------------------

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """Names of the labels, in order; None where they are not known, or numbers."""
        raise NotImplementedError

    @property
    def test_labelled(self) -> bool:
        raise NotImplementedError

    def learn(self, known: Mapping[str, Any]) -> None:
        """Sets what the labels are called, from the model's hyperparameters or else the training rows."""
        raise NotImplementedError

    def open_source(self, source: str) -> dict[Split, Text]:
        """The splits of a source."""
        raise NotImplementedError

    def open_to_predict(self, path: Path) -> Text:
        """The rows of a file that is to be predicted."""
        raise NotImplementedError

    def taken(self, texts: dict[Split, Text]) -> dict[Split, Text]:
        """What of the splits that the sources hand out is used."""
        raise NotImplementedError

    def trained_on(self, train: Text) -> Text:
        """What of the training rows is used."""
        return train

    def together(self, text: Text) -> tuple[list[str], list[str] | None]:
        """The strings of rows by which they belong on one side of a division, one or two each."""
        raise NotImplementedError

    def compared(self, text: Text) -> Iterable[Hashable]:
        """What of each row is compared with the training rows'."""
        raise NotImplementedError

    def check_all(self) -> None:
        """Finds what can be seen in the files before training, in every split, and tells of the labels."""
        raise NotImplementedError

    def tokenise(self, name: SplitName, text: Text) -> Rows[Text, Batches]:
        """A split as batches; says what is in it."""
        raise NotImplementedError

    def groups(self, batches: Batches) -> np.ndarray | None:
        """(N,) numbers of rows; those of one number are on one rank in evaluation. None for each by itself."""
        return None

    # --- setup -----------------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Reads and tokenises what the stage needs; without a trainer, call it yourself.

        Raises:
            ValueError: a label that no training row has, in whichever split, or one label for all training rows.
        """
        module = getattr(self.trainer, "lightning_module", None)
        self.learn(getattr(module, "hparams", {}))
        if stage in (None, "fit"):
            self.check_all()
        self.tokenizer = self._choice.choose(module, self.training_texts, self._folder)
        made_by = (self.tokenizer.to_json(), self.label_names)
        if made_by != self._made_by:
            self._rows.clear()
            self._made_by = made_by
        for name in SPLITS[stage or "fit"]:
            self._open(name)
        self.say(self._reading.source)

    def _undivided(self) -> dict[Split, Text]:
        """The splits as the sources hand them out."""
        if self._source is None:
            self._source = self.taken(read_splits(self.open_source, self._reading))
        return self._source

    def _read(self) -> dict[Split, Text]:
        if self._texts is None:
            self._texts = self._divided(self._undivided())
        return self._texts

    def _divided(self, texts: dict[Split, Text]) -> dict[Split, Text]:
        """Holds out what the source does not bring, and counts what training shares with the other splits."""
        if "train" not in texts:
            return texts
        texts = hold_out({**texts, "train": self.trained_on(texts["train"])}, self.together, self._reading)
        shared = shared_with_training(texts, self.compared)
        self._summary += [f"{count:,} {role} {self.unit} also occur in training." for role, count in shared]
        return texts

    @property
    def has_test(self) -> bool:
        return "test" in self._read()

    def _split(self, name: SplitName) -> Text:
        if name == "predict":
            if self.predict_source is not None:
                return self.open_to_predict(predict_file(self.predict_source))
            name = "test"
        return split_of(self._read(), name, self._reading.source)

    def _open(self, name: SplitName) -> Rows[Text, Batches]:
        if name not in self._rows:
            self._rows[name] = self.tokenise(name, self._split(name))
        return self._rows[name]

    # --- loaders ---------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> ResumableLoader[dict[str, Tensor]]:
        batches = self._open("train").batches
        sampler = length_batches(batches.lengths, **asdict(self.settings_of(Filling)))
        return self.train_loader(batches, sampler, num_workers=self._args.num_workers)

    def evaluation_loader(self, name: SplitName) -> DataLoader[dict[str, Tensor]]:
        given, batches = self._args, self._open(name).batches
        sampler = LengthEvalBatches(
            batches.lengths,
            given.eval_batch_size,
            pad_to_multiple=given.pad_to_multiple,
            groups=self.groups(batches),
            split=name,
        )
        return self.loader(batches, sampler, num_workers=given.num_workers)
