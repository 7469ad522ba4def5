"""A batch's facts on their way: as the caller sent them, as the edit log keeps them, as the engine takes them."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.contract import EditBatch
from app.domain.errors import PalimpsestError
from app.domain.manifest import LoggedFact
from workers.editing.batch import refuse_contradictions, slotted
from workers.editing.types import Fact

FACT_FIELD_PARTS = 3
"""``facts``, the fact's index, and the field's name."""


def logged_facts(batch: EditBatch) -> tuple[LoggedFact, ...]:
    """The batch's facts as the log keeps them: every prompt with exactly one slot.

    Raises:
        RequestError: the subject cannot be found in a prompt, or two facts contradict each other; the field names the
            fact's index.
    """
    facts = slotted([Fact(fact.subject, fact.template, fact.object) for fact in batch.facts])
    refuse_contradictions(facts)
    kept = {"subject", "object", "previous", "id", "paraphrases", "neighbours"}
    return tuple(
        LoggedFact(prompt=fact.prompt, **sent.model_dump(include=kept))
        for fact, sent in zip(facts, batch.facts, strict=True)
    )


def as_facts(facts: Sequence[LoggedFact]) -> list[Fact]:
    """The same facts in the engine's terms."""
    return [Fact(fact.subject, fact.prompt, fact.object) for fact in facts]


def as_sent(error: PalimpsestError, batch: EditBatch) -> PalimpsestError:
    """The error with its field as the caller named it: a prompt that was made of a relation is the relation."""
    parts = (error.field or "").split(".")
    if len(parts) == FACT_FIELD_PARTS and parts[2] == "prompt" and batch.facts[int(parts[1])].relation is not None:
        error.field = f"facts.{parts[1]}.relation"
    return error
