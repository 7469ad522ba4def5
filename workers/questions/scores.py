"""Texts whose tokens are scored one by one, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from app.domain.contract import AnyVersion, ScoredText, Scores, TokenScores
from app.domain.errors import EmptyText
from workers.editing.model.anatomy import window
from workers.editing.text.model_text import ModelText
from workers.questions.decoding import Start
from workers.questions.prompt_tokens import prompt_ids
from workers.questions.rows import Found, Live
from workers.questions.scoring import Row, Scored, object_row


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Texts for one version, and rows of token ids of texts that are held out."""

    texts: tuple[ScoredText, ...]
    held_out: tuple[tuple[int, ...], ...]
    version: AnyVersion | None


@dataclass(frozen=True, slots=True)
class ScoreQuestion:
    """A row a text; the held-out ones come last."""

    objects: Sequence[Row]
    texts: int
    starts: Sequence[Start] = ()
    numbers: Sequence[Tensor] = ()

    @classmethod
    def of(cls, live: Live, request: ScoreRequest) -> Self:
        """Tokenise everything.

        Raises:
            EmptyText, PromptTooLong, RequestError: with the field ``texts.{i}``.
        """
        limit, words = window(live.model), ModelText.of(live.tokenizer)
        rows = [_row(words, text, limit, f"texts.{index}") for index, text in enumerate(request.texts)]
        held_out = [(list(ids[:1]), list(ids[1:limit])) for ids in request.held_out]
        return cls([*rows, *held_out], len(rows))

    def reply(self, model: str, version: AnyVersion, found: Found) -> Scores:
        """The scores of each text."""
        told = [_told(*pair) for pair in zip(self.objects, found.scored, strict=True)]
        return Scores(model=model, version=version, texts=tuple(told[: self.texts]), held_out=tuple(told[self.texts :]))


def _row(words: ModelText, text: ScoredText, limit: int, field: str) -> Row:
    if text.object is None:
        ids = prompt_ids(words, text.prompt, limit, field)
        if len(ids) < 2:  # noqa: PLR2004 - what stands before the first token that is scored
            raise EmptyText("a text of one token has none that follows on another", field=field, value=text.prompt)
        return ids[:1], ids[1:]
    prompt, wanted = object_row(words, text.prompt, text.object, limit, field)
    end = words.turn_end(rendered=words.chat.recognised(text.prompt)) if text.stop else None
    return prompt, wanted if end is None else [*wanted, end]


def _told(row: Row, scored: Scored) -> TokenScores:
    prompt, wanted = row
    return TokenScores(
        ids=(*prompt, *wanted),
        first=len(prompt),
        log_probabilities=scored.log_probabilities,
        greedy=scored.standing.rank == 1,
    )
