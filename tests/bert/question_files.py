"""Small files of questions in homework 7's form, and settings of an encoder and windows for them."""

import json
import random
from pathlib import Path
from typing import Any

DATA: dict[str, Any] = {
    "max_length": 48, "max_question_length": 10, "window_overlap": 8, "batch_size": 8, "vocab_size": 300,
    "no_answer_share": 0.2,
}  # fmt: skip
MODEL: dict[str, Any] = {"layers": 1, "width": 16, "heads": 2, "feedforward": 32, "dropout": 0.0, "lr": 1e-2}

PLACES = ("台北", "東京", "加爾各答", "柏林，德國", "New York, USA", "café 😀")
NAMES = ("陸特", "威廉·瓊斯", "漢斯", "Ada")


def paragraph(chosen: random.Random) -> tuple[str, list[tuple[str, str]]]:
    """Sentences about where everybody went, and a question with its answer about each."""
    told, asked = [], []
    for name in NAMES:
        place = chosen.choice(PLACES)
        told.append(f"在{chosen.randint(1800, 1999)}年的{chosen.choice('春夏秋冬')}天，{name}去了{place}。")
        asked.append((f"{name}去了哪裡？", place))
    chosen.shuffle(told)
    return "".join(told), asked


def homework_split(seed: int, paragraphs: int, *, answers: bool = True) -> dict[str, Any]:
    chosen, rows, texts = random.Random(seed), [], []
    for number in range(paragraphs):
        text, asked = paragraph(chosen)
        texts.append(text)
        for question, answer in asked:
            start = text.index(question.removesuffix("哪裡？")) + len(question) - len("哪裡？")
            known = (answer, start, start + len(answer) - 1) if answers else (None, None, None)
            rows.append({"id": len(rows), "paragraph_id": number, "question_text": question,
                         **dict(zip(("answer_text", "answer_start", "answer_end"), known, strict=True))})  # fmt: skip
    return {"questions": rows, "paragraphs": texts}


def write_homework(folder: Path, *, train: int = 12, dev: int = 5, test: int = 3) -> Path:
    """`hw7_train.json`, `hw7_dev.json`, and `hw7_test.json` whose answers are null; four questions a paragraph."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, size) in enumerate((("train", train), ("dev", dev), ("test", test))):
        content = homework_split(seed, size, answers=name != "test")
        (folder / f"hw7_{name}.json").write_text(json.dumps(content, ensure_ascii=False), "utf8")
    return folder


def long_text(folder: Path) -> str:
    """All paragraphs of `hw7_dev.json` as one."""
    texts: list[str] = json.loads((folder / "hw7_dev.json").read_text("utf8"))["paragraphs"]
    return "\n".join(texts)
