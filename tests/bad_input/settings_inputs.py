"""Settings that cannot mean anything: refused by the class that owns them, or as soon as the data is known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from lhy_lightning import (
    GAN,
    AnomalyDetector,
    AutoEncoder,
    DomainDataModule,
    ImageClassifier,
    ImageDataModule,
    QuestionAnsweringDataModule,
    TextDataModule,
    TranslationDataModule,
    Translator,
    UnpairedImageDataModule,
)
from tests.bad_input.case import BadInput, command, nothing, set_up, text


def made(cls: Callable[..., Any], **arguments: Any) -> Callable[[Path], None]:
    """The class alone: nothing is read."""

    def run(folder: Path) -> None:
        cls(**arguments)

    return run


def fitted(module: Callable[[], Any], data: Callable[[], Any]) -> Callable[[Path], None]:
    """One step of training, without loggers and checkpoints."""

    def run(folder: Path) -> None:
        quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = Trainer(
            accelerator="cpu", max_steps=1, limit_val_batches=0, enable_model_summary=False,
            default_root_dir=folder, **quiet,
        )  # fmt: skip
        trainer.fit(module(), datamodule=data())

    return run


def digits(**arguments: Any) -> ImageDataModule:
    return ImageDataModule(cache_dir="cache", cache_limit_gb=0, **arguments)


REFUSED: list[tuple[str, Callable[..., Any], dict[str, Any], str]] = [
    ("no hypothesis", Translator, {"beam": 0}, r"^beam=0: must be at least 1\.$"),
    ("no hypothesis in validation", Translator, {"val_beam_size": 0}, r"^val_beam_size=0: must be at least 1\.$"),
    ("a negative warm-up", Translator, {"warmup_steps": -1}, r"^warmup_steps=-1: must not be negative\.$"),
    ("no ratio of lengths", TranslationDataModule, {"max_ratio": 0}, r"^max_ratio=0: must be at least 1\.$"),
    ("a negative cache", ImageDataModule, {"cache_limit_gb": -1}, r"^cache_limit_gb=-1: must not be negative\.$"),
    ("black is white", ImageDataModule, {"value_range": (1, 1)}, "^value_range=.*black must be less than white"),
    ("no latent", AnomalyDetector, {"latent_dim": 0}, r"^latent_dim=0: must be at least 1\.$"),
    ("no layer", AutoEncoder, {"hidden": []}, r"^hidden=\(\): must be at least one number\.$"),
    ("a rate that trains nothing", ImageClassifier, {"lr": 0}, r"^lr=0: must be above 0\.$"),
    ("a rate that is no number", ImageClassifier, {"lr": float("nan")}, r"^lr=nan: must be above 0\.$"),
    ("pictures of a negative size", ImageDataModule, {"image_size": -8}, r"^image_size=-8: must be at least 1\.$"),
    ("all units dropped", ImageClassifier, {"dropout": 2}, r"^dropout=2: must be at least 0 and below 1\.$"),
    ("a network of no width", ImageClassifier, {"width": 0}, r"^width=0: must be at least 1\.$"),
    ("a GAN of no width", GAN, {"width": 0}, r"^width=0: must be at least 1\.$"),
    ("a negative number of workers", ImageDataModule, {"num_workers": -1}, "^num_workers=-1: must be at least 0 and "),
    ("an infinite fraction", ImageDataModule, {"val_fraction": float("inf")}, "^val_fraction=inf: must lie between 0"),
    ("a misspelt network", Translator, {"network": "gruu"}, "^network is one of transformer, gru, .*mean 'gru'"),
    ("a misspelt optimizer", GAN, {"optimizer": "adan"}, "^optimizer is one of .*did you mean 'adam'"),
    ("a text for a number", ImageClassifier, {"width": "8"}, "^width='8': must be a number"),
    ("half a layer", Translator, {"layers": 1.5}, r"^layers=1\.5: must be a whole number"),
]

LONG_QUESTION = "Which of the many words that stand in this paragraph is the one that comes before the number"
QUESTIONS = {
    "paragraphs": [
        {
            "context": f"The word {letter * 3} comes before {number}.",
            "qas": [
                {
                    "id": f"q{number}",
                    "question": f"{LONG_QUESTION} {number} and after nothing else at all?",
                    "answers": [{"text": letter * 3, "answer_start": 9}],
                }
            ],
        }
        for number, letter in enumerate("abcdefghijklmnopqrst")
    ]
}

INPUTS = [
    *(
        BadInput(f"{cls.__name__}: {what}", nothing, made(cls, **arguments), says, kind="settings")
        for what, cls, arguments, says in REFUSED
    ),
    BadInput(
        "a patch larger than the pictures",
        nothing,
        made(AnomalyDetector, patch=99, image_size=(8, 8), channels=1),
        "patch=99 is larger than pictures of 8 x 8: at most 7",
        kind="settings",
    ),
    BadInput(
        "fewer positions than a sentence has tokens",
        text("pairs.tsv", "".join(f"{n} abcdefghij klmnopqrs\t{n} abc\n" for n in range(10, 40))),
        fitted(
            lambda: Translator(max_positions=2, width=8, heads=1, layers=1, feedforward=8),
            lambda: TranslationDataModule(
                "pairs.tsv", tokenizer="character", vocab_size=60, source_lang="de", target_lang="en"
            ),
        ),
        r"max_positions=2: .* up to 2\d tokens .*--model.max_positions 2\d .*--data.max_length 1",
        kind="settings",
    ),
    BadInput(
        "batch normalization of one row",
        nothing,
        fitted(lambda: GAN(width=4, plot_every_n_steps=0), lambda: digits(batch_size=1)),
        "batch_size=1: batch normalization .*--data.batch_size to 2 or more",
        kind="settings",
    ),
    BadInput(
        "out of range on the command line",
        nothing,
        command("fit", "--config", "quickstart", "--model.width", "0"),
        r"^width=0: must be at least 1\.$",
        kind="settings",
    ),
    BadInput(
        "questions longer than the recipe's",
        text("own.json", json.dumps({"data": [QUESTIONS]})),
        set_up(
            QuestionAnsweringDataModule,
            "own.json",
            max_length=96,
            max_question_length=16,
            window_overlap=16,
            val_fraction=0.3,
        ),
        r"questions cut to 16 tokens \(longest \d+\)\. --data.max_question_length \d+ .*--data.max_length \d+",
        ends="counted",
        kind="settings",
    ),
    BadInput(
        "more loader processes than any machine has use for",
        nothing,
        set_up(ImageDataModule, num_workers=9999),
        r"^num_workers=9999: must be at least 0 and at most \d+, as each is a process of its own",
        kind="settings",
    ),
    *(
        BadInput(
            f"an empty {name} of {kind.__name__}",
            nothing,
            lambda folder, kind=kind, name=name: kind(**{name: ""}),
            rf"^{name} is empty: name a file, a folder or a hub id",
            kind="settings",
        )
        for kind, name in (
            (ImageDataModule, "source"),
            (DomainDataModule, "target"),
            (UnpairedImageDataModule, "source_b"),
            (TextDataModule, "predict_source"),
            (TranslationDataModule, "source"),
        )
    ),
]
