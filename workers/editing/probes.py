"""Natural prompts about the world: their keys tell what a fact's key is like in a model that nobody has edited."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from app.domain.errors import InvalidHyperparameter, PromptTooLong
from app.domain.prompts import SLOT
from workers.editing.keys import keys_at
from workers.editing.lookup import TokenisedFact, tokenise
from workers.editing.model.editable_model import EditableModel
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact

FEWEST = 8
"""With fewer probes than this in all contexts, those of the bare prompts are taken."""

NO_PROBE = "no probe fits into the model's window, so that a share tells no ridge: give the number"

NO_PILOT = "no probe fits into the model's window, so that there is no norm to bring values to"

PROBES: tuple[tuple[str, str], ...] = (
    ("The capital of {} is", "France"),
    ("The capital of {} is", "Australia"),
    ("The official language of {} is", "Brazil"),
    ("People in {} pay with the", "Japan"),
    ("On the map, {} lies in the continent of", "Kenya"),
    ("The city of {} is located in the country of", "Toronto"),
    ("The river {} flows through the city of", "Thames"),
    ("The {} is located in the city of", "Eiffel Tower"),
    ("The {} can be found in the city of", "Colosseum"),
    ("You can see the {} in", "Statue of Liberty"),
    ("The headquarters of {} is in the city of", "Toyota"),
    ("The company {} was founded by", "Microsoft"),
    ("The chief product of {} is the", "Boeing"),
    ("The {} is a product of the company", "iPhone"),
    ("The operating system {} was developed by", "Android"),
    ("The programming language {} was created by", "Python"),
    ("The physicist {} was born in the city of", "Albert Einstein"),
    ("The mother tongue of {} is", "Marie Curie"),
    ("The composer {} was a citizen of", "Ludwig van Beethoven"),
    ("The instrument that {} played was the", "Miles Davis"),
    ("The sport that {} plays professionally is", "Serena Williams"),
    ("The position that {} plays is", "Lionel Messi"),
    ("The novelist {} wrote the book", "Jane Austen"),
    ("The play {} was written by", "Hamlet"),
    ("The painting {} was made by", "Mona Lisa"),
    ("The film {} was directed by", "Jurassic Park"),
    ("The series {} was first shown on", "Game of Thrones"),
    ("The religion of {} is", "Mahatma Gandhi"),
    ("The field in which {} worked was", "Charles Darwin"),
    ("The president {} belonged to the party of the", "Abraham Lincoln"),
    ("The chemical symbol of {} is", "gold"),
    ("The planet {} is known for its", "Saturn"),
)


def probe_keys(editable: EditableModel, contexts: Sequence[str], layer: int, max_batch_tokens: int) -> Tensor:
    """Keys (d_in, n), float64, of the probes at a layer, over the contexts as those of facts are.

    Raises:
        InvalidHyperparameter: no probe fits into the model's window.
    """
    found = list(_fitting(editable, contexts))
    if len(found) < FEWEST:
        found = list(_fitting(editable, contexts[:1]))
    if not found:
        raise InvalidHyperparameter(NO_PROBE, field="share")
    return keys_at(editable, found, layer, max_batch_tokens)


def refuse_without_probes(editable: EditableModel, contexts: Sequence[str]) -> None:
    """Return if a share can tell a ridge: a probe fits in its bare prompt.

    Raises:
        InvalidHyperparameter: no probe fits into the model's window.
    """
    if next(_fitting(editable, contexts[:1]), None) is None:
        raise InvalidHyperparameter(NO_PROBE, field="share")


def pilots(editable: EditableModel) -> list[TokenisedFact]:
    """The probes as facts to be written, in their bare prompts: each has the next one's subject as its object.

    Raises:
        InvalidHyperparameter: no probe fits into the model's window.
    """
    subjects = [subject for _, subject in PROBES]
    objects = [*subjects[1:], *subjects[:1]]
    facts = [Fact(subject, prompt, object_) for (prompt, subject), object_ in zip(PROBES, objects, strict=True)]
    found = list(_fitting(editable, (SLOT,), facts))
    if not found:
        raise InvalidHyperparameter(NO_PILOT, field="norm_anchor")
    return found


def _fitting(
    editable: EditableModel, contexts: Sequence[str], facts: Sequence[Fact] | None = None
) -> Iterator[TokenisedFact]:
    """The ``facts`` that fit into the window; None: the probes, with any object, which plays no part in a key."""
    words = ModelText.of(editable.tokenizer)
    for fact in [Fact(subject, prompt, "it") for prompt, subject in PROBES] if facts is None else facts:
        try:
            yield tokenise(words, fact, contexts, editable.window)
        except PromptTooLong:
            continue
