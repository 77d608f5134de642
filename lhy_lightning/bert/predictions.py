"""What `lhy predict` writes of answered questions: everything about them, and the answers by the questions' ids."""

import json
from typing import Any

from lightning.pytorch import LightningModule

from lhy_lightning.callbacks.prediction_file import PredictionFile
from lhy_lightning.data.texts.encoded_texts import without_surrogates


class AnswerFile(PredictionFile):
    """A file of one entry a question; a subclass says what the file looks like."""

    def inputs(self, datamodule: Any) -> list[str]:
        return [question.text for question in datamodule.opened("predict").questions.questions]

    def rows(self, outputs: Any) -> list[tuple[Any, ...]]:
        answers = [answer.to_dict() for answer in outputs["answers"]]
        return list(zip(outputs["index"].tolist(), answers, strict=True))

    def text(self, pl_module: LightningModule, inputs: list[str], rows: list[tuple[Any, ...]]) -> str:
        questions = pl_module.trainer.datamodule.opened("predict").questions.questions  # type: ignore[attr-defined]
        return without_surrogates(self.content([question.id for question in questions], inputs, [a for _, a in rows]))

    def content(self, ids: list[str], questions: list[str], answers: list[dict[str, Any]]) -> str:
        """The file, from the questions' ids and texts, and what `Answered.to_dict` gives of each."""
        raise NotImplementedError


class AnswersJson(AnswerFile):
    """`predictions.json`: for every question its id, the answer, where that stands, its score and the n-best spans."""

    filename = "predictions.json"

    def content(self, ids: list[str], questions: list[str], answers: list[dict[str, Any]]) -> str:
        rows = [
            {"id": name, "question": question, **_renamed(answer)}
            for name, question, answer in zip(ids, questions, answers, strict=True)
        ]
        return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


def _renamed(answer: dict[str, Any]) -> dict[str, Any]:
    return {"answer" if name == "text" else name: value for name, value in answer.items()}


class AnswersById(AnswerFile):
    """`answers.json`: {id: answer}, what the official scripts of SQuAD, CMRC and DRCD evaluate."""

    filename = "answers.json"

    def content(self, ids: list[str], questions: list[str], answers: list[dict[str, Any]]) -> str:
        return json.dumps({name: a["text"] for name, a in zip(ids, answers, strict=True)}, ensure_ascii=False, indent=1)
