"""What `lhy predict` writes of texts and of tagged sentences: `predictions.csv`."""

from typing import Any

import torch
from lightning.pytorch import LightningModule

from lhy_lightning.callbacks.prediction_file import PredictionFile
from lhy_lightning.core.atomic_files import csv_text
from lhy_lightning.data.texts.encoded_texts import without_surrogates


class TextPredictionsCsv(PredictionFile):
    """`predictions.csv`: the text, or both, then class, probability and the next classes with theirs, or a number."""

    filename = "predictions.csv"

    def inputs(self, datamodule: Any) -> list[str]:
        first: list[str] = datamodule.texts("predict")[0]
        return first

    def rows(self, outputs: Any) -> list[tuple[Any, ...]]:
        found = outputs["probabilities"] if "probabilities" in outputs else outputs["number"]
        return list(zip(outputs["index"].tolist(), found.float().tolist(), strict=True))

    def text(self, pl_module: LightningModule, inputs: list[str], rows: list[tuple[Any, ...]]) -> str:
        second = pl_module.trainer.datamodule.texts("predict")[1]  # type: ignore[attr-defined]
        texts = (
            [[text] for text in inputs] if second is None else [list(pair) for pair in zip(inputs, second, strict=True)]
        )
        columns = ["text"] if second is None else ["text", "text_pair"]
        names = pl_module.labels()  # type: ignore[operator]
        if not names:
            table: list[list[Any]] = [[*columns, "number"]]
            table += [[*text, f"{number:.6f}"] for text, (_, number) in zip(texts, rows, strict=True)]
            return without_surrogates(csv_text(table))
        top = min(5, len(names))
        table = [[*columns, "class", "probability"]]
        table[0] += [name for place in range(2, top + 1) for name in (f"class_{place}", f"probability_{place}")]
        values, classes = torch.tensor([found for _, found in rows]).view(-1, len(names)).topk(top, dim=1)
        for text, numbers, chances in zip(texts, classes.tolist(), values.tolist(), strict=True):
            pairs = zip(numbers, chances, strict=True)
            table.append([*text, *(cell for number, p in pairs for cell in (names[number], f"{p:.6f}"))])
        return without_surrogates(csv_text(table))


class TagsCsv(PredictionFile):
    """`predictions.csv`: a line for each word: number of the sentence, number of the word in it, word and tag."""

    filename = "predictions.csv"

    def inputs(self, datamodule: Any) -> list[str]:
        sentences = datamodule.sentences("predict")
        return [" ".join(sentences[sentence][start:end]) for sentence, start, end in datamodule.parts("predict")]

    def rows(self, outputs: Any) -> list[tuple[Any, ...]]:
        return list(zip(outputs["index"].tolist(), outputs["tags"], strict=True))

    def counted(self, rows: list[tuple[Any, ...]]) -> str:
        return f"{sum(len(tags) for _, tags in rows)} rows, one for each word"

    def text(self, pl_module: LightningModule, inputs: list[str], rows: list[tuple[Any, ...]]) -> str:
        data = pl_module.trainer.datamodule  # type: ignore[attr-defined]
        sentences = data.sentences("predict")
        table: list[list[Any]] = [["sentence", "word", "form", "tag"]]
        for (sentence, start, end), (_, tags) in zip(data.parts("predict"), rows, strict=True):
            words = zip(range(start, end), sentences[sentence][start:end], tags, strict=True)
            table += [[sentence, place, word, tag] for place, word, tag in words]
        return without_surrogates(csv_text(table))
