"""A batch's facts on their way: as the caller sent them, as the edit log keeps them, as the engine takes them."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.contract import EditBatch
from app.domain.errors import EditError
from app.domain.manifest import LoggedFact
from workers.editing.knowledge import refuse_contradictions
from workers.editing.lookup import with_slot
from workers.editing.types import Fact

FACT_FIELD_PARTS = 3
"""``facts``, the fact's index, and the field's name."""


def logged_facts(batch: EditBatch) -> tuple[LoggedFact, ...]:
    """The batch's facts as the log keeps them: every prompt with exactly one slot.

    Raises:
        RequestError: the subject cannot be found in a prompt, or two facts contradict each other; the field names the
            fact's index.
    """
    found = []
    for index, fact in enumerate(batch.facts):
        try:
            prompt = with_slot(fact.subject, fact.template)
        except EditError as error:
            raise error.at(f"facts.{index}") from None
        rest = fact.model_dump(include={"subject", "object", "previous", "id", "paraphrases", "neighbours"})
        found.append(LoggedFact(prompt=prompt, **rest))
    refuse_contradictions(as_facts(found))
    return tuple(found)


def as_facts(facts: Sequence[LoggedFact]) -> list[Fact]:
    """The same facts in the engine's terms."""
    return [Fact(fact.subject, fact.prompt, fact.object) for fact in facts]


def as_sent(error: EditError, batch: EditBatch) -> EditError:
    """The error with its field as the caller named it: a prompt that was made of a relation is the relation."""
    parts = (error.field or "").split(".")
    if len(parts) == FACT_FIELD_PARTS and parts[2] == "prompt" and batch.facts[int(parts[1])].relation is not None:
        error.field = f"facts.{parts[1]}.relation"
    return error
