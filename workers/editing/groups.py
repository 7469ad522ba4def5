"""Facts that share one key are edited as one: one δ, one target, one column of every solve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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


def group_leaders(facts: Sequence[TokenisedFact], groups: Sequence[Group]) -> list[TokenisedFact]:
    """Of each group the fact whose key and output are the group's: its first, with the taught prompts of all members.

    A key hangs on what stands up to the lookup token alone: taught prompts that agree so far, with each other or with
    the fact's own, are one.
    """
    return [_leader([facts[index] for index in group.members]) for group in groups]


def _leader(members: Sequence[TokenisedFact]) -> TokenisedFact:
    first = members[0]
    own = {row.stem for row in first.prompts}
    by_stem = {each.row.stem: each for fact in members for each in fact.taught if each.row.stem not in own}
    return replace(first, taught=tuple(by_stem.values()))
