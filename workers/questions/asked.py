"""Which rows each kind of request is made of."""

from __future__ import annotations

from app.domain.contract import Generate, Query
from workers.questions.rows import GenerateQuestion, Live, ProbeQuestion, Question
from workers.questions.scores import ScoreQuestion, ScoreRequest


def question_of(live: Live, request: Query | Generate | ScoreRequest) -> Question:
    """The request as rows.

    Raises:
        EmptyText, PromptTooLong, RequestError: the field says where.
    """
    if isinstance(request, Query):
        return ProbeQuestion.of(live, request.prompts)
    if isinstance(request, ScoreRequest):
        return ScoreQuestion.of(live, request)
    return GenerateQuestion.of(live, request)
