"""Facts that are edited again, and facts whose subject is edited again: how they stand beside the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypeVar

from app.domain.places import Place
from app.domain.prompts import with_slot
from workers.experiments.answers import CaseAnswers, Kept
from workers.experiments.cases import Case
from workers.experiments.summary import Share, Summary

Each = TypeVar("Each")


def superseded(cases: Sequence[Case]) -> tuple[int, ...]:
    """Indices of the facts of which a later case says something else.

    Two cases are about one fact if their subject is one, and their relation where the data set names it, or else their
    prompt.
    """
    last = _last(cases)
    return tuple(
        index for index, case in enumerate(cases) if cases[last[_about(case)]].object.split() != case.object.split()
    )


def standing(found: Sequence[Each], without: Collection[int]) -> list[Each]:
    """Those whose index is not among ``without``."""
    left_out = frozenset(without)
    return [each for index, each in enumerate(found) if index not in left_out]


class Superseded(Kept):
    """Facts that were edited again.

    earlier: the earlier object is still given, to the token. later: the later object is the likelier one a token, each
    after the prompt that it was edited with.
    """

    earlier: Share
    later: Share


class Retention(Kept):
    """superseded, several: None where the data has no such facts.

    several, single: facts that stand whose subject has more than one such fact, and the other ones.
    """

    superseded: Superseded | None
    several: Summary | None
    single: Summary | None

    @classmethod
    def of(cls, cases: Sequence[Case], found: Sequence[CaseAnswers], unedited: Sequence[CaseAnswers]) -> Retention:
        """From all cases so far, and how they stand now."""
        without = superseded(cases)
        kept = [index for index in range(len(cases)) if index not in set(without)]
        facts = Counter(_subject(cases[index]) for index in kept)
        several = [index for index in kept if facts[_subject(cases[index])] > 1]
        single = [index for index in kept if facts[_subject(cases[index])] == 1]
        groups = [
            Summary.of([found[index] for index in group], [unedited[index] for index in group]) if group else None
            for group in (several, single)
        ]
        return cls(superseded=_superseded(cases, found, without), several=groups[0], single=groups[1])


def _superseded(cases: Sequence[Case], found: Sequence[CaseAnswers], without: Sequence[int]) -> Superseded | None:
    last = _last(cases)
    earlier = Share.of([found[index].own.exact for index in without])
    later = Share.of([found[last[_about(cases[index])]].own.nll < found[index].own.nll for index in without])
    return None if earlier is None or later is None else Superseded(earlier=earlier, later=later)


def _last(cases: Sequence[Case]) -> dict[Place, int]:
    """The last case about each fact."""
    return {_about(case): index for index, case in enumerate(cases)}


def _about(case: Case) -> Place:
    """What a case is about; a relation's id stands for all of its prompts."""
    subject = case.fact.subject
    return Place.of(subject, case.rewrite.relation or with_slot(subject, case.fact.template))


def _subject(case: Case) -> str:
    return Place.of(case.fact.subject, "").subject
