"""Every public module at its smallest, with its networks built: for tests of what holds for all of them."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import lhy_lightning
from lhy_lightning import VQVAE
from lhy_lightning.core.plain_values import plain
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer
from lhy_lightning.data.tokenizers.text_tokenizer import TextTokenizer
from lhy_lightning.training.checkpoints import class_path
from lhy_lightning.training.module import CourseModule
from tests.public_names import MODULES

SENTENCES = ["a b c", "b c d", "c d e"]
SIZES: dict[str, Any] = {"image_size": (8, 8), "channels": 1}
CODES: dict[str, Any] = {"codebook_size": 4, "dim": 2, "width": 4, "residual_width": 2, "downsamplings": 1}
DOMAINS: dict[str, Any] = {**SIZES, "num_classes": 3, "width": 4, "label_hidden": (8,), "projection": "none"}
BERT: dict[str, Any] = {"layers": 1, "width": 8, "heads": 2, "feedforward": 8, "max_length": 16}
GANS: dict[str, Any] = {**SIZES, "width": 2, "plot_every_n_steps": 0}
TRANSLATORS: dict[str, Any] = {"layers": 1, "width": 8, "heads": 2, "feedforward": 8, "embedding": 8}


@cache
def pieces() -> str:
    return EncoderTokenizer.train(SENTENCES, vocabulary_size=40).to_json()


@cache
def words() -> str:
    return TextTokenizer.train(SENTENCES, kind="word", vocab_size=10).to_json()


def vqvae_config() -> str:
    module = VQVAE(**CODES, **SIZES)
    return json.dumps({"class_path": class_path(VQVAE), **plain(dict(module.hparams))})


SETTINGS: dict[str, Callable[[], dict[str, Any]]] = {
    **dict.fromkeys(
        ("CDAN", "DANN", "DIRTT", "MCC", "MCD", "MomentMatching", "SourceOnly", "VADA"), lambda: DOMAINS
    ),
    "DomainGeneralization": lambda: {**DOMAINS, "source_domains": 2},
    **dict.fromkeys(("GAN", "SNGAN", "WGAN", "WGANGP"), lambda: {**GANS, "latent_dim": 2}),
    "Pix2Pix": lambda: {
        "image_size": (16, 16), "input_channels": 1, "target_channels": 1, "width": 2, "discriminator_width": 2,
        "discriminator_layers": 1, "plot_every_n_steps": 0,
    },
    "CycleGAN": lambda: {**GANS, "blocks": 1, "downsamplings": 1, "discriminator_width": 2, "discriminator_layers": 1},
    "VQVAE": lambda: {**CODES, **SIZES},
    "AutoEncoder": lambda: {**SIZES, "latent_dim": 2, "width": 4, "downsamplings": 1},
    "AnomalyDetector": lambda: {**SIZES, "latent_dim": 2, "width": 4, "downsamplings": 1},
    "CodePrior": lambda: {"vqvae_config": vqvae_config(), "width": 8, "layers": 1, "heads": 2},
    "BertClassifier": lambda: {
        **BERT, "tokenizer": pieces(), "class_names": ("a", "b"), "regression": False, "pairs": False,
    },
    "BertTagger": lambda: {**BERT, "tokenizer": pieces(), "tag_names": ("O", "B-x", "I-x")},
    "BertQuestionAnswering": lambda: {
        **BERT, "tokenizer": pieces(), "max_question_length": 4, "window": 8, "window_overlap": 2, "metric": "squad",
    },
    **dict.fromkeys(
        ("ImageClassifier", "FixMatchClassifier", "PseudoLabelClassifier"),
        lambda: {**SIZES, "num_classes": 3, "depth": 8, "width": 2},
    ),
    **dict.fromkeys(
        ("Translator", "BleuTranslator"),
        lambda: {**TRANSLATORS, "source_tokenizer": words(), "source_lang": "en", "target_lang": "de"},
    ),
    "ScheduledSamplingTranslator": lambda: {
        **TRANSLATORS, "source_tokenizer": words(), "source_lang": "en", "target_lang": "de", "sampling_steps": 5,
    },
}  # fmt: skip


def public_modules() -> list[str]:
    return [*MODULES]


def smallest(name: str) -> CourseModule:
    """A new public module of that name."""
    module: CourseModule = getattr(lhy_lightning, name)(**SETTINGS[name]())
    return module
