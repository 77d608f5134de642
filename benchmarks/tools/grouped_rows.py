"""Rows of like length together in `transformers`' Trainer: the setting has one name up to 5.0 and another after it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from transformers import TrainingArguments


def order_of_rows(*, by_length: bool) -> dict[str, Any]:
    """The argument of `TrainingArguments` for rows grouped by length, or at random."""
    if any(field.name == "train_sampling_strategy" for field in fields(TrainingArguments)):
        return {"train_sampling_strategy": "group_by_length" if by_length else "random"}
    return {"group_by_length": by_length}
