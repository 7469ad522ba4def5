"""Facts that share one key are edited as one: one δ, one target, one column of every solve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workers.editing.lookup import TokenisedFact


@dataclass(frozen=True, slots=True)
class Group:
    """Facts that share one key and so one target: indices into the batch."""

    members: tuple[int, ...]


def group_by_key(facts: Sequence[TokenisedFact], *, strict: bool) -> list[Group]:
    """Facts whose tokens up to the lookup token are the same share a group; under ``strict`` every fact is alone.

    Differs from MEMIT's code: because one key cannot map to two values, least squares would average their targets.
    """
    groups: dict[object, list[int]] = {}
    for index, fact in enumerate(facts):
        groups.setdefault(index if strict else fact.prompts[0].stem, []).append(index)
    return [Group(tuple(members)) for members in groups.values()]
