"""A batch's facts on their way: as the caller sent them, as the edit log keeps them, as the engine takes them."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.contract import EditBatch
from app.domain.contract import Fact as SentFact
from app.domain.errors import PalimpsestError
from app.domain.manifest import LoggedFact, LoggedNeighbour
from workers.editing.batch import refuse_contradictions
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact
from workers.versions.chat_facts import wording


def logged_facts(batch: EditBatch, words: ModelText) -> tuple[LoggedFact, ...]:
    """The batch's facts as the log keeps them.

    Raises:
        RequestError: as ``as_logged`` says, or two facts contradict each other; the field names the fact's index.
    """
    facts = as_logged(batch.facts, words)
    refuse_contradictions(as_facts(facts))
    return facts


def as_logged(sent: Sequence[SentFact], words: ModelText) -> tuple[LoggedFact, ...]:
    """Facts as the log keeps them: all that is written has exactly one slot, chats are in the model's own template.

    Raises:
        RequestError: the subject cannot be found in a prompt, or a chat cannot be rendered; the field names the fact's
            index.
    """
    return tuple(_logged(index, each, words) for index, each in enumerate(sent))


def as_facts(facts: Sequence[LoggedFact]) -> list[Fact]:
    """The same facts in the engine's terms."""
    return [
        Fact(fact.subject, fact.prompt, fact.object, fact.stop, tuple(fact.paraphrases[index] for index in fact.taught))
        for fact in facts
    ]


def as_sent(error: PalimpsestError, sent: Sequence[SentFact]) -> PalimpsestError:
    """The error with its field as the caller named it.

    A prompt that was made of a relation is the relation; what is taught is one of the paraphrases.
    """
    match (error.field or "").split("."):
        case ["facts", index, "prompt"]:
            fact = sent[int(index)]
            name = "relation" if fact.relation is not None else "messages" if fact.messages is not None else "prompt"
            error.field = f"facts.{index}.{name}"
        case ["facts", index, "taught", place]:
            error.field = f"facts.{index}.paraphrases.{sent[int(index)].taught[int(place)]}.prompt"
    return error


def _logged(index: int, sent: SentFact, words: ModelText) -> LoggedFact:
    try:
        worded = wording(sent, words)
    except PalimpsestError as error:
        raise error.at(f"facts.{index}") from None
    return LoggedFact(
        prompt=worded.prompt,
        paraphrases=worded.paraphrases,
        taught=sent.taught,
        neighbours=tuple(LoggedNeighbour(**each.model_dump()) for each in worded.neighbours),
        **sent.model_dump(include={"subject", "object", "previous", "id", "stop"}),
    )
