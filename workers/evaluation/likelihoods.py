"""How likely objects are, a token: what CounterFact's scores compare."""

from __future__ import annotations

from collections.abc import Sequence

from workers.editing.model.editable_model import EditableModel
from workers.editing.text.model_text import ModelText
from workers.questions.scoring import Scored, object_row, scored_rows

Asked = tuple[str, str]
"""A prompt and an object."""


def scored(editable: EditableModel, asked: Sequence[Asked]) -> list[Scored]:
    """Each object after its prompt, teacher forced.

    Raises:
        EmptyText, PromptTooLong: with the field ``pairs.{i}``.
    """
    words = ModelText.of(editable.tokenizer)
    rows = [object_row(words, *pair, editable.window, f"pairs.{index}") for index, pair in enumerate(asked)]
    return scored_rows(editable.model, rows)
