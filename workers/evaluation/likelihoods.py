"""How likely objects are, a token: what CounterFact's scores compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workers.editing.model.editable_model import EditableModel
from workers.editing.text.model_text import ModelText
from workers.questions.scoring import mean_log_probabilities, object_row, standings_of_rows

Asked = tuple[str, str]
"""A prompt and an object."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """An object after a prompt. nll: mean over its tokens, in nats; rank: the worst one of any of them."""

    nll: float
    rank: int


def mean_nlls(editable: EditableModel, asked: Sequence[Asked]) -> list[Likelihood]:
    """The mean NLL of each object's tokens after its prompt, teacher forced.

    Raises:
        EmptyText, PromptTooLong: with the field ``pairs.{i}``.
    """
    words = ModelText.of(editable.tokenizer)
    rows = [object_row(words, *pair, editable.window, f"pairs.{index}") for index, pair in enumerate(asked)]
    found = standings_of_rows(editable.model, rows)
    means = mean_log_probabilities(editable.model, rows)
    return [Likelihood(-mean, standing.rank) for mean, standing in zip(means, found, strict=True)]
