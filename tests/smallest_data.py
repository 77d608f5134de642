"""A few embedded rows for each public module, which it learns its sizes from: for tests that fit all of them."""

from collections.abc import Callable
from typing import Any

import lhy_lightning
from lhy_lightning import (
    AnomalyDataModule,
    DomainDataModule,
    ImageDataModule,
    PairedImageDataModule,
    QuestionAnsweringDataModule,
    TaggingDataModule,
    TextDataModule,
    TranslationDataModule,
    UnpairedImageDataModule,
)
from lhy_lightning.data.base import CourseDataModule
from lhy_lightning.training.module import CourseModule
from tests.smallest_modules import SETTINGS

FROM_DATA = {
    "image_size", "channels", "num_classes", "tokenizer", "class_names", "regression", "pairs", "tag_names", "metric",
    "max_question_length", "window", "window_overlap", "max_length", "source_tokenizer", "source_lang", "target_lang",
    "input_channels", "target_channels", "source_domains",
}  # fmt: skip
DIGITS: dict[str, Any] = {"source": "embedded:digits", "batch_size": 8, "eval_batch_size": 64}
DOMAINS: dict[str, Any] = {"source": "embedded:plain_digits", "target": "embedded:photo_digits", "batch_size": 8}
SOURCES = ["embedded:plain_digits", "embedded:digits"]  # one has colours

DATA: dict[str, Callable[[], CourseDataModule]] = {
    **dict.fromkeys(
        ("CDAN", "DANN", "DIRTT", "MCC", "MCD", "MomentMatching", "SourceOnly", "VADA"),
        lambda: DomainDataModule(**DOMAINS, image_size=8),
    ),
    "DomainGeneralization": lambda: DomainDataModule(
        **{**DOMAINS, "source": SOURCES}, target_batch_size=0, image_size=8, channels=1
    ),
    **dict.fromkeys(
        ("GAN", "SNGAN", "WGAN", "WGANGP", "VQVAE", "AutoEncoder", "CodePrior", "ImageClassifier"),
        lambda: ImageDataModule(**DIGITS),
    ),
    **dict.fromkeys(
        ("FixMatchClassifier", "PseudoLabelClassifier"),
        lambda: ImageDataModule(**DIGITS, labelled_per_class=20, unlabelled_per_batch=8),
    ),
    "AnomalyDetector": lambda: AnomalyDataModule(**DIGITS, normal_class="3"),
    "Pix2Pix": lambda: PairedImageDataModule(batch_size=4),
    "CycleGAN": lambda: UnpairedImageDataModule(batch_size=4),
    "BertClassifier": lambda: TextDataModule(batch_size=4, vocab_size=300, max_length=16),
    "BertTagger": lambda: TaggingDataModule(batch_size=4, vocab_size=300, max_length=16),
    "BertQuestionAnswering": lambda: QuestionAnsweringDataModule(
        batch_size=4, vocab_size=300, max_length=32, max_question_length=10, window_overlap=6
    ),
    **dict.fromkeys(
        ("Translator", "BleuTranslator", "ScheduledSamplingTranslator"),
        lambda: TranslationDataModule(target_lang="zh", vocab_size=300, max_tokens=256),
    ),
}


def module_and_data(name: str, **settings: Any) -> tuple[CourseModule, CourseDataModule]:
    """A public module at its smallest, and data for it."""
    own = {key: value for key, value in SETTINGS[name]().items() if key not in FROM_DATA}
    module: CourseModule = getattr(lhy_lightning, name)(**{**own, **settings})
    return module, DATA[name]()
