"""A neighbour of a fact: a prompt whose answer must not change, and the answers that count as right, where known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from app.domain.contract.values import Request, Text, prompt_alone


def _flat(given: Any) -> Any:
    """The answers as one list: data sets have a list of aliases for each; None, as they have it too, is no answer."""
    if given is None:
        return ()
    return tuple(_each(given)) if isinstance(given, list | tuple) else given


def _each(given: list[Any] | tuple[Any, ...]) -> Iterator[Any]:
    for item in given:
        if isinstance(item, list | tuple):
            yield from _each(item)
        else:
            yield item


class Neighbour(Request):
    """A prompt near a fact, and what it should be answered with. ``ground_truth`` is another name of ``expected``."""

    prompt: Text
    expected: Annotated[tuple[Text, ...], BeforeValidator(_flat)] = Field(
        (),
        max_length=50,
        validation_alias=AliasChoices("expected", "ground_truth"),
        description="Any of them counts as right; by default what the model answers before the edit.",
    )


AnyNeighbour = Annotated[Neighbour, BeforeValidator(prompt_alone, json_schema_input_type=Text | Neighbour)]
"""A neighbour; may be given as its prompt alone."""
