"""What CounterFact's records tell beside the fact: ids of relation and new object, and prompts for free text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.contract import ImportFormat
from app.domain.imports.formats import parsed
from app.domain.imports.records import Record
from app.domain.imports.text_source import TextSource


@dataclass(frozen=True, slots=True)
class Rewrite:
    """relation, target: ids; None where the record has none, and a target's text where it has no id."""

    relation: str | None = None
    target: str | None = None
    generation: tuple[str, ...] = ()

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Rewrite:
        """From a record; what is not there, or no text, is left out."""
        asked = fields.get("requested_rewrite")
        rewrite: Mapping[str, Any] = asked if isinstance(asked, Mapping) else {}
        target = rewrite.get("target_new")
        if isinstance(target, Mapping):
            target = target.get("id") or target.get("str")
        prompts = fields.get("generation_prompts")
        texts = tuple(filter(None, map(_text, prompts))) if isinstance(prompts, list) else ()
        return cls(_text(rewrite.get("relation_id")), _text(target), texts)


NOTHING = Rewrite()


def rewrites(data: bytes, form: ImportFormat) -> dict[int, Rewrite]:
    """By the record's index; of a file in another form than CounterFact's there are none.

    Raises:
        UnreadableFile: as ``read`` does.
    """
    if form is not ImportFormat.COUNTERFACT:
        return {}
    _, records = parsed(TextSource(data), form)
    return {index: Rewrite.of(record.fields) for index, _, record in records if isinstance(record, Record)}


def _text(given: object) -> str | None:
    return given if isinstance(given, str) and given.strip() else None
