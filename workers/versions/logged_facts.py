"""A batch's facts on their way: as the caller sent them, as the edit log keeps them, as the engine takes them."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.contract import EditBatch
from app.domain.contract import Fact as SentFact
from app.domain.errors import PalimpsestError
from app.domain.manifest import LoggedFact
from workers.editing.batch import refuse_contradictions, slotted
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact
from workers.versions.chat_facts import Wording, wording

FACT_FIELD_PARTS = 3
"""``facts``, the fact's index, and the field's name."""


def logged_facts(batch: EditBatch, words: ModelText) -> tuple[LoggedFact, ...]:
    """The batch's facts as the log keeps them: every prompt with exactly one slot, chats in the model's own template.

    Raises:
        RequestError: the subject cannot be found in a prompt, a chat cannot be rendered, or two facts contradict each
            other; the field names the fact's index.
    """
    worded = [_worded(index, sent, words) for index, sent in enumerate(batch.facts)]
    pairs = zip(worded, batch.facts, strict=True)
    facts = slotted([Fact(sent.subject, each.prompt, sent.object, sent.stop) for each, sent in pairs])
    refuse_contradictions(facts)
    kept = {"subject", "object", "previous", "id", "stop"}
    return tuple(
        LoggedFact(
            prompt=fact.prompt,
            paraphrases=each.paraphrases,
            neighbours=each.neighbours,
            **sent.model_dump(include=kept),
        )
        for fact, each, sent in zip(facts, worded, batch.facts, strict=True)
    )


def as_facts(facts: Sequence[LoggedFact]) -> list[Fact]:
    """The same facts in the engine's terms."""
    return [Fact(fact.subject, fact.prompt, fact.object, fact.stop) for fact in facts]


def as_sent(error: PalimpsestError, batch: EditBatch) -> PalimpsestError:
    """The error with its field as the caller named it: a prompt that was made of a relation is the relation."""
    parts = (error.field or "").split(".")
    if len(parts) == FACT_FIELD_PARTS and parts[2] == "prompt":
        sent = batch.facts[int(parts[1])]
        name = "relation" if sent.relation is not None else "messages" if sent.messages is not None else "prompt"
        error.field = f"facts.{parts[1]}.{name}"
    return error


def _worded(index: int, sent: SentFact, words: ModelText) -> Wording:
    try:
        return wording(sent, words)
    except PalimpsestError as error:
        raise error.at(f"facts.{index}") from None
