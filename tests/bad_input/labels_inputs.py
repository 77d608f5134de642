"""Data without labels, or of another topic, for every module that needs them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import lhy_lightning
from tests.bad_input.case import BadInput, fit, nothing, text


def pictures(*places: str, count: int = 6) -> Callable[[Path], None]:
    """Random pictures in the named folders."""

    def make(folder: Path) -> None:
        generator = np.random.default_rng(0)
        for place in places:
            (folder / place).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / place / f"{number}.png")

    return make


def array(folder: Path) -> None:
    np.save(folder / "pictures.npy", np.random.default_rng(0).integers(0, 255, (12, 8, 8), dtype=np.uint8))


def picture_table(header: str, cell: str) -> Callable[[Path], None]:
    """A csv that names pictures, with one more column."""

    def make(folder: Path) -> None:
        pictures("photos")(folder)
        rows = [f"{folder}/photos/{number}.png,{cell}" for number in range(6)]
        (folder / "photos.csv").write_text("\n".join([header, *rows]))

    return make


CLASSIFIERS = ("ImageClassifier", "FixMatchClassifier", "PseudoLabelClassifier")
ADAPTATION = ("DANN", "CDAN", "MCD", "MCC", "MomentMatching", "VADA", "DIRTT", "SourceOnly", "DomainGeneralization")
FORMS: list[tuple[str, Callable[[Path], None], str, str]] = [
    ("a flat folder", pictures("photos"), "photos", "6 pictures lie in one folder; put the pictures of each class"),
    ("one class folder", pictures("photos/cat"), "photos", r"one class folder \(cat\)"),
    ("a level too much", pictures("photos/in/cat", "photos/in/dog"), "photos", "one level lower: give .*photos/in"),
    ("a table without labels", picture_table("path,size", "3"), "photos.csv", "columns are path, size; name the one"),
    ("an empty column of labels", picture_table("path,label", ""), "photos.csv", "'label' is empty in all rows"),
    ("an array", array, "pictures.npy", "an array holds pictures alone"),
]
TEXTS: list[tuple[str, str, Callable[[Path], None], str, str]] = [
    (
        "BertClassifier",
        "TextDataModule",
        text("a.csv", "text\n" + "".join(f"text {number}\n" for number in range(20))),
        "a.csv",
        "has no labels: set --data",
    ),
    ("BertTagger", "TaggingDataModule", text("a.conllu", "1\ta\n2\tb\n\n" * 9), "a.conllu", r"tag|columns"),
]


def module(name: str) -> Any:
    return getattr(lhy_lightning, name)


INPUTS = [
    *[
        BadInput(
            f"{what} for {name}", make, fit(module(name), module("ImageDataModule"), source=source),
            f"{name} needs labelled pictures, the data has no labels.*{source}: .*{says}", kind="labels",
        )
        for name in CLASSIFIERS
        for what, make, source, says in (FORMS if name == "ImageClassifier" else FORMS[:1])
    ],
    BadInput(
        "a flat folder of which some rows are to be labelled", pictures("photos"),
        fit(module("FixMatchClassifier"), module("ImageDataModule"), source="photos", labelled_per_class=2),
        "labelled_per_class=2 counts labelled pictures. --data.source .*photos: its 6 pictures lie in one folder",
        kind="labels",
    ),
    BadInput(
        "a flat folder for a conditional GAN", pictures("photos"),
        fit(module("GAN"), module("ImageDataModule"), {"condition": "concat"}, source="photos"),
        "condition='concat' needs labelled pictures.*lie in one folder", kind="labels",
    ),
    *[
        BadInput(
            f"source pictures without labels for {name}", pictures("photos"),
            fit(module(name), module("DomainDataModule"), source="photos", target="{folder}/photos"),
            "source .*photos has no labels", kind="labels",
        )
        for name in ADAPTATION
    ],
    *[
        BadInput(
            f"no target rows for {name}", nothing,
            fit(module(name), module("DomainDataModule"), target_batch_size=0),
            f"{name} trains on target pictures too.*target_batch_size 0", kind="labels",
        )
        for name in ("DANN", "MomentMatching")
    ],
    *[
        BadInput(f"no labels for {name}", make, fit(module(name), module(data), source=source), says, kind="labels")
        for name, data, make, source, says in TEXTS
    ],
]  # fmt: skip
