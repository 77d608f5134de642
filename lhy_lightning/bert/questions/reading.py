"""Questions and texts that are only in memory, made ready for an encoder: what a Python call answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lhy_lightning.bert.questions.answers import Answered, read_answers
from lhy_lightning.bert.questions.span_search import QuestionSpans
from lhy_lightning.core.messages import short
from lhy_lightning.data.questions.window_batches import EvaluationWindows, WindowMaker
from lhy_lightning.data.questions.windows import WindowSettings
from lhy_lightning.data.sequences.ragged import Ragged, ragged
from lhy_lightning.data.texts.encoded_texts import without_surrogates
from lhy_lightning.data.tokenizers.encoder_tokenizer import EncoderTokenizer


@dataclass(frozen=True)
class Reading:
    """Some questions and all the windows of the texts that they are about.

    Attributes:
        texts: as they were given; answers are cut out of them.
        paragraph: (N,) int64, which text each question is about.
        starts, ends: of the texts' tokens, in characters.
        batch: an `AnswerBatch`.
    """

    texts: Sequence[str]
    paragraph: np.ndarray
    starts: Ragged
    ends: Ragged
    batch: dict[str, Any]

    @classmethod
    def of(
        cls,
        questions: Sequence[str],
        texts: Sequence[str],
        paragraph: Sequence[int] | np.ndarray,
        tokenizer: EncoderTokenizer,
        settings: WindowSettings,
        *,
        at_once: int = 32,
    ) -> "Reading":
        """Tokenises everything once.

        Args:
            questions: N of them.
            texts: what they are about.
            paragraph: (N,) places in `texts`.
            tokenizer, settings: the encoder's.
            at_once: most windows that the encoder reads at once.
        """
        ids, starts, ends = tokenizer.encode_with_offsets([without_surrogates(text) for text in texts])
        asked = tokenizer.encode([without_surrogates(question) for question in questions])
        about = np.asarray(paragraph, dtype=np.int64)
        maker = WindowMaker(ragged(asked), ragged(ids), about, tokenizer, settings)
        batch: Any = EvaluationWindows(maker, at_once=at_once)[list(range(len(questions)))]
        return cls(texts, about, ragged(starts), ragged(ends), batch)

    def on(self, device: torch.device) -> dict[str, Any]:
        """The batch on a device."""
        return {name: v.to(device) if isinstance(v, torch.Tensor) else v for name, v in self.batch.items()}

    def read(self, found: QuestionSpans, *, null_threshold: float | None = None) -> list[Answered]:
        """Spans of tokens as answers."""
        return read_answers(found, self.texts, self.paragraph, self.starts, self.ends, null_threshold=null_threshold)


def questions_about(question: Any, text: Any) -> list[str]:
    """One question or several as a list, once they and the text are found to be texts with something to read.

    Raises:
        TypeError: one of them is no text.
        ValueError: one of them is empty.
    """
    several = isinstance(question, Iterable) and not isinstance(question, str | bytes | Mapping)
    questions = list(question) if several else [question]
    for place, one in enumerate(questions):
        named = f"question {place}" if several else "the question"
        if not isinstance(one, str):
            raise TypeError(f"{named} is {short(one)}, not text: give a question, or a list of questions.")
        if not one.strip():
            raise ValueError(f"{named} is empty.")
    if not isinstance(text, str):
        raise TypeError(f"the text is {short(text)}, not text: give one text, and call once for each of several.")
    if not text.strip():
        raise ValueError("the text is empty: there is nothing to find an answer in.")
    return questions
