"""Every public data module gives the batches of its contract, in training, evaluation and prediction."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from lhy_lightning import DomainDataModule, ImageDataModule, TranslationDataModule
from lhy_lightning.data import batches
from lhy_lightning.data.base import CourseDataModule
from lhy_lightning.training.checks.batch_contract import Contract
from tests.public_names import DATA_MODULES
from tests.smallest_data import DATA, DIGITS, DOMAINS, SOURCES

Given = dict[str, list[dict[str, Any]]]


def pseudo_labelled() -> CourseDataModule:
    data = ImageDataModule(**DIGITS, labelled_per_class=20, unlabelled_per_batch=6, unlabelled="pseudo")
    data.setup("fit")
    data.set_pseudo_labels(torch.arange(9), torch.arange(9) % 3)
    return data


CONTRACTS: dict[str, tuple[Callable[[], CourseDataModule], Any, Any]] = {  # data, training batches, all others
    "ImageDataModule": (DATA["ImageClassifier"], batches.ImageBatch, batches.ImageBatch),
    "AnomalyDataModule": (DATA["AnomalyDetector"], batches.ImageBatch, batches.ImageBatch),
    "PairedImageDataModule": (DATA["Pix2Pix"], batches.PairedImageBatch, batches.PairedImageBatch),
    "UnpairedImageDataModule": (DATA["CycleGAN"], batches.UnpairedImageBatch, batches.UnpairedImageBatch),
    "DomainDataModule": (DATA["DANN"], batches.DomainBatch, batches.EvaluatedDomainBatch),
    "TextDataModule": (DATA["BertClassifier"], batches.TextBatch, batches.TextBatch),
    "TaggingDataModule": (DATA["BertTagger"], batches.TagBatch, batches.TagBatch),
    "QuestionAnsweringDataModule": (DATA["BertQuestionAnswering"], batches.QuestionBatch, batches.AnswerBatch),
    "TranslationDataModule": (DATA["Translator"], batches.TranslationBatch, batches.TranslationBatch),
    "mixed": (lambda: ImageDataModule(**DIGITS, mixup=0.4), batches.MixedImageBatch, batches.ImageBatch),
    "two views": (
        lambda: ImageDataModule(**DIGITS, labelled_per_class=20, unlabelled_per_batch=6, unlabelled="weak_strong"),
        batches.WeakStrongBatch,
        batches.ImageBatch,
    ),
    "pseudo-labels": (pseudo_labelled, batches.PseudoLabelBatch, batches.ImageBatch),
    "several sources": (DATA["DomainGeneralization"], batches.DomainBatch, batches.EvaluatedDomainBatch),
    "labelled target": (
        lambda: DomainDataModule(
            **{**DOMAINS, "source": SOURCES}, image_size=8, channels=3, train_on="target", target_labelled=True
        ),
        batches.ImageBatch,
        batches.EvaluatedDomainBatch,
    ),
    "copied words": (
        lambda: TranslationDataModule(target_lang="zh", tokenizer="word", copying=True, max_tokens=256),
        batches.TranslationBatch,
        batches.TranslationBatch,
    ),
}

OFTEN_ABSENT = {"pseudo-labels": "pseudo_label", "several sources": "source_domain", "copied words": "copy_targets"}


class Recorder(LightningModule):
    """Keeps the first batches that its steps get."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.given: Given = {}

    def take(self, batch: dict[str, Any]) -> None:
        self.given.setdefault(str(self.trainer.state.stage.dataloader_prefix), []).append(batch)  # type: ignore[union-attr]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.take(batch)
        return self.weight**2

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.take(batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.take(batch)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.take(batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def given_by(data: CourseDataModule, folder: Path) -> Given:
    """The first two batches of each loader by stage."""
    recorder = Recorder()
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=folder, num_sanity_val_steps=0, limit_train_batches=2,
        limit_val_batches=2, limit_test_batches=2, limit_predict_batches=2,
    )  # fmt: skip
    trainer.fit(recorder, datamodule=data)
    trainer.test(recorder, datamodule=data, verbose=False)
    trainer.predict(recorder, datamodule=data, return_predictions=False)
    return recorder.given


def test_every_public_data_module_has_contracts() -> None:
    assert set(DATA_MODULES) <= set(CONTRACTS)


@pytest.mark.parametrize("name", CONTRACTS)
def test_batches_have_exactly_the_keys_dtypes_and_axes_of_their_contract(name: str, tmp_path: Path) -> None:
    make, trained, others = CONTRACTS[name]
    given = given_by(make(), tmp_path)
    assert list(given) == ["train", "val", "test", "predict"]
    assert OFTEN_ABSENT.get(name, next(iter(given["train"][0]))) in given["train"][0]
    for stage, found in given.items():
        contract = Contract.of(trained if stage == "train" else others)
        for batch in found:
            contract.check(batch, sizes={}, dtype=torch.float32)
            assert set(batch) <= set(contract.specs), stage
            numbered = {key for key in contract.specs if key.startswith("index")}
            assert not numbered & set(batch) if stage == "train" else numbered & set(batch), stage
            assert all(isinstance(batch[key], Tensor) for key, spec in contract.specs.items() if spec and key in batch)


def test_each_contract_says_what_every_one_of_its_tensors_is() -> None:
    for name in ("ImageBatch", *{contract.__name__ for _, *both in CONTRACTS.values() for contract in both}):
        specs = Contract.of(getattr(batches, name)).specs
        assert {key for key, spec in specs.items() if spec is None} <= {"unknown_words", "chunks"}, name
