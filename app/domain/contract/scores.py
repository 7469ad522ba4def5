"""Log-probabilities of texts, token by token: by these another server is told to hold the same version."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from app.domain.contract.proposal_ids import AnyVersion
from app.domain.contract.questions import Question
from app.domain.contract.values import Reply, Request

MOST_ROWS = 256
"""Texts in one request, held-out ones among them."""


class ScoredText(Request):
    """A text whose tokens are scored from the second on; with an ``object``, those of the object alone.

    Prompts have no bound of length: the log has those of chats in the model's own template.
    """

    prompt: Annotated[str, Field(min_length=1)]
    object: Annotated[str, Field(min_length=1)] | None = None
    stop: bool = Field(False, description="The object includes the end of the turn.")


class Score(Question):
    """Texts to be scored by one version."""

    texts: tuple[ScoredText, ...] = ()
    held_out: Annotated[int, Field(ge=0, le=64)] = Field(
        0, description="So many of the texts on which the worker measures what edits do to other text, if it has any."
    )

    @model_validator(mode="after")
    def _few(self) -> Score:
        if not 1 <= len(self.texts) + self.held_out <= MOST_ROWS:
            raise ValueError(f"a request has 1 to {MOST_ROWS} texts")
        return self


class TokenScores(Reply):
    """One text as the model reads it. ``log_probabilities``: of its tokens from ``first`` on, in nats."""

    ids: tuple[int, ...]
    first: int
    log_probabilities: tuple[float, ...]
    greedy: bool = Field(description="Each of these tokens is the one that greedy decoding gives.")


class Scores(Reply):
    """All from one version's weights."""

    model: str
    version: AnyVersion
    texts: tuple[TokenScores, ...]
    held_out: tuple[TokenScores, ...] = ()
