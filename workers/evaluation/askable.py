"""Whether what a batch is measured by can be asked at all: found out before the batch is queued."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.manifest import LoggedFact
from app.domain.prompts import filled
from workers.editing.text.model_text import ModelText
from workers.questions.scoring import object_row


def refuse_unaskable(words: ModelText, facts: Sequence[LoggedFact], limit: int) -> None:
    """Tokenise every paraphrase, with the object, and every neighbour, with all that it will be compared with.

    Args:
        limit: the longest row in tokens.

    Raises:
        EmptyText, PromptTooLong, RequestError: with the field ``facts.{i}.paraphrases.{j}`` or ``neighbours``.
    """
    for index, fact in enumerate(facts):
        for place, text in enumerate(fact.paraphrases):
            field = f"facts.{index}.paraphrases.{place}"
            object_row(words, filled(text, fact.subject), fact.object, limit, field)
        for place, each in enumerate(fact.neighbours):
            field, text = f"facts.{index}.neighbours.{place}", filled(each.prompt, fact.subject)
            for answer in (fact.object, *each.expected):
                object_row(words, text, answer, limit, field)
