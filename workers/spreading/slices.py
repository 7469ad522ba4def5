"""Slices as they cross the queue: what is to be computed, of which version, and for which facts. JSON, and checked.

No text of a fact is in one that asks for targets, keys or standings: their facts are token ids. Nothing in a slice is a
name that is imported, or a path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, cast

from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from app.domain.contract import Standing
from app.domain.contract.values import Record
from app.domain.errors import RequestError
from app.domain.manifest import LoggedFact
from workers.editing.groups import Group
from workers.editing.lookup import Row, TokenisedFact
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.types import Fact
from workers.evaluation.batch_report import Measurement

MOST_ROWS = 1_000_000
"""So many rows a slice at most: what is beyond it was not written by a leader."""

UNTOLD = Fact("", "{}", "")
"""Stands for a fact's text, which a slice does not need."""


class TargetsWanted(Record):
    """Targets at ``layer`` of these groups, by the preset, which says the method."""

    kind: Literal["targets"] = "targets"
    layer: Annotated[int, Field(ge=0)]
    preset: dict[str, Any]
    facts: Annotated[tuple[TokenisedFact, ...], Field(min_length=1)]
    groups: Annotated[tuple[Group, ...], Field(min_length=1)]


class KeysWanted(Record):
    """Keys at these layers of the groups' leaders."""

    kind: Literal["keys"] = "keys"
    layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    max_batch_tokens: Annotated[int, Field(ge=1)]
    facts: Annotated[tuple[TokenisedFact, ...], Field(min_length=1)]
    groups: Annotated[tuple[Group, ...], Field(min_length=1)]


class StandingsWanted(Record):
    """How the object of each row stands after its prompt: token ids of both."""

    kind: Literal["standings"] = "standings"
    rows: Annotated[tuple[tuple[tuple[int, ...], tuple[int, ...]], ...], Field(min_length=1, max_length=MOST_ROWS)]


class MeasureWanted(Record):
    """How these facts, their paraphrases and neighbours stand; ``before``: how they stood before the edit."""

    kind: Literal["measure"] = "measure"
    facts: Annotated[tuple[LoggedFact, ...], Field(min_length=1)]
    before: Measurement | None = None


Wanted = TargetsWanted | KeysWanted | StandingsWanted | MeasureWanted


class Slice(Record):
    """One slice: it is computed on ``version`` of the model, in ``dtype``, with the spread's updates added."""

    spread: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    index: Annotated[int, Field(ge=0)]
    version: Annotated[int, Field(ge=0)]
    dtype: str
    wanted: Annotated[Wanted, Field(discriminator="kind")]


MEASUREMENT = TypeAdapter(Measurement)
STANDINGS = TypeAdapter(list[Standing])


def read_measurement(data: bytes) -> Measurement:
    """A measurement as a helper answered it.

    Raises:
        RequestError: it is none.
    """
    try:
        return MEASUREMENT.validate_json(data)
    except ValidationError as error:
        faults = error.error_count()
        raise RequestError(f"the answer is no measurement: {faults} faults") from None


def read_standings(data: bytes, count: int) -> list[Standing]:
    """The standings of so many rows, as a helper answered them.

    Raises:
        RequestError: they are none, or of another number.
    """
    try:
        found = STANDINGS.validate_json(data)
    except ValidationError as error:
        faults = error.error_count()
        raise RequestError(f"the answer has no standings: {faults} faults") from None
    if len(found) != count:
        raise RequestError(f"{count} standings were asked for, and {len(found)} came")
    return found


def read_slice(text: str) -> Slice:
    """A slice as it was queued.

    Raises:
        RequestError: it is malformed; says where.
    """
    try:
        return Slice.model_validate_json(text)
    except ValidationError as error:
        place = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, place["loc"])) or None
        raise RequestError(f"the queued slice is not valid: {place['msg']}", field=field) from None


def facts_of(
    facts: Sequence[TokenisedFact], groups: Sequence[Group]
) -> tuple[tuple[TokenisedFact, ...], tuple[Group, ...]]:
    """The facts of some groups, without their texts, and the groups as they are numbered among these."""
    chosen = tuple(replace(facts[i], fact=UNTOLD, warnings=(), contexts=()) for group in groups for i in group.members)
    made, start = [], 0
    for group in groups:
        made.append(Group(tuple(range(start, start + len(group.members)))))
        start += len(group.members)
    return chosen, tuple(made)


def refuse_foreign(editable: EditableModel, wanted: TargetsWanted | KeysWanted) -> None:
    """Refuse tokens and indices that this model cannot have: on a GPU they would end the process.

    Raises:
        RequestError: says what is out of its range.
    """
    words = _words(editable)
    for fact in wanted.facts:
        if not fact.within:
            raise RequestError("a fact of the slice has no prompt")
        for each in fact.continued:
            _check(each.row, words)
            if not each.object or not all(0 <= token < words for token in each.object):
                raise RequestError("an object of the slice has no tokens, or tokens that the model has not")
            if len(each.row.ids) + len(each.object) > editable.window:
                raise RequestError("a prompt of the slice and its object do not fit into the model's window")
        _check(fact.essence, words)
    members = [index for group in wanted.groups for index in group.members]
    if sorted(members) != list(range(len(wanted.facts))) or not all(group.members for group in wanted.groups):
        raise RequestError("the groups of the slice are not a partition of its facts")
    if sum(len(fact.rows) for fact in wanted.facts) > MOST_ROWS:
        raise RequestError("the slice has too many rows")


def refuse_foreign_rows(editable: EditableModel, wanted: StandingsWanted) -> None:
    """Refuse tokens that this model cannot have, and rows that do not fit into its window.

    Raises:
        RequestError: says what is out of its range.
    """
    words = _words(editable)
    for prompt, text in wanted.rows:
        if not prompt or not text or not all(0 <= token < words for token in (*prompt, *text)):
            raise RequestError("a row of the slice has no tokens, or tokens that the model has not")
        if len(prompt) + len(text) > editable.window:
            raise RequestError("a row of the slice does not fit into the model's window")


def _words(editable: EditableModel) -> int:
    """So many token ids there are."""
    return len(cast("Tensor", editable.model.get_input_embeddings().weight))


def _check(row: Row, words: int) -> None:
    if not 0 <= row.lookup < len(row.ids) or not all(0 <= token < words for token in row.ids):
        raise RequestError("a row of the slice has tokens that the model has not, or no lookup token")


def preset_of(values: dict[str, Any]) -> Preset:
    """The preset that a slice carries.

    Raises:
        InvalidHyperparameter: it is none.
    """
    layers = values.get("layers")
    first = tuple(layers) if isinstance(layers, list | tuple) and layers else (0,)
    return Preset((0,)).with_overrides({**values, "layers": first})
