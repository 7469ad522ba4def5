"""What must hold of a batch before it is edited: a slot in each prompt, no contradiction, room in the window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from app.domain.errors import ContradictoryFacts, PalimpsestError
from app.domain.places import Place
from app.domain.prompts import SLOT
from workers.editing.lookup import TokenisedFact, tokenise
from workers.editing.model.editable_model import EditableModel
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact

MadeT = TypeVar("MadeT")


def refuse_contradictions(facts: Sequence[Fact]) -> None:
    """Refuse a batch that says two things of one place; saying the same thing twice is no contradiction.

    A taught prompt says its fact's object of a place too.

    Raises:
        ContradictoryFacts: with the indices of both facts.
    """
    first: dict[Place, int] = {}
    for index, fact in enumerate(facts):
        for place in fact.places:
            earlier = first.setdefault(place, index)
            if facts[earlier].object.split() != fact.object.split():
                detail = f"facts {earlier} and {index} give the same subject and prompt different objects"
                raise ContradictoryFacts(detail, field=f"facts.{index}.object", value=[earlier, index])


def undisputed(companions: Sequence[Fact], facts: Sequence[Fact]) -> list[Fact]:
    """The companions, oldest first as they come, without the taught prompts of which something else was said since.

    That is: by ``facts``, by another companion's own prompt, or by what a later companion was taught.
    """
    said = {fact.place: fact.object.split() for fact in companions}
    said |= {place: fact.object.split() for fact in facts for place in fact.places}
    found = []
    for fact in reversed(companions):
        own = fact.object.split()
        taught = [
            prompt for prompt, place in zip(fact.taught, fact.places[1:], strict=True) if said.get(place, own) == own
        ]
        found.append(replace(fact, taught=tuple(taught)))
        said |= {Place.of(fact.subject, prompt): own for prompt in taught}
    return found[::-1]


def tokenise_batch(editable: EditableModel, facts: Sequence[Fact], contexts: Sequence[str]) -> list[TokenisedFact]:
    """Tokenise every fact; an error names the fact's index (``facts.3.prompt``)."""
    words = ModelText.of(editable.tokenizer)
    return _of_each(facts, lambda fact: tokenise(words, fact, contexts, editable.window))


def refuse_untokenised(words: ModelText, facts: Sequence[Fact], window: int) -> None:
    """Refuse what ``tokenise_batch`` refuses, at a part of its cost: no context is looked at.

    What is refused of a fact is refused of its prompts alone; a context that does not suit it is left out.

    Raises:
        RequestError: as ``tokenise`` says; the field names the fact's index.
    """
    _of_each(facts, lambda fact: tokenise(words, fact, (SLOT,), window))


def _of_each(facts: Sequence[Fact], make: Callable[[Fact], MadeT]) -> list[MadeT]:
    """What is made of each fact; an error names the fact's index."""
    found = []
    for index, fact in enumerate(facts):
        try:
            found.append(make(fact))
        except PalimpsestError as error:
            raise error.at(f"facts.{index}") from None
    return found
