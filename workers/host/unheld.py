"""A fact holds, or it is not written: facts that do not hold are tried again with more effort, then leave the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.contract import Unheld
from app.domain.errors import NonFiniteUpdate
from workers.editing.efforts import AS_PRESET, Effort, Efforts
from workers.editing.types import Fact, Known
from workers.host.attempts import Attempt, Attempts

TRIES = (
    Effort(steps=2, clamp=1.5, weight=4.0),
    Effort(steps=2, rate=2.0, clamp=2.0, weight=16.0),
)
"""What a fact is given after the preset alone, one after another: first a descent that ends where it should and a
larger share of it, then one that goes further."""

SPARE = 4
BUDGET = 2
"""All tries of a batch together take at most as many gradient steps as so many first attempts at it would, and at
``SPARE`` facts more: so a small batch has enough, and a large one of which nothing holds comes to an end."""


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt at a fact."""

    effort: Effort
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Settled:
    """What a batch has come to.

    attempt: the last one, which the shadow has the weights of. tried: of each fact, what it was given, in order.
    rejected: why nothing of it is to be written; None: what the attempt has written is to stay.
    """

    attempt: Attempt
    tried: tuple[tuple[Try, ...], ...]
    rejected: str | None = None


def settle(attempts: Attempts, policy: Unheld) -> Settled:
    """Edit the batch as ``policy`` says. The same batch on the same weights comes to the same.

    keep: one attempt. reject: all facts hold after the tries, or the batch is rejected. drop: those that do not hold
    leave the batch, which is solved anew without them, until all that are left hold; if none is, it is rejected.

    Raises:
        PalimpsestError: the first attempt cannot be made. Whatever the observer raises.
    """
    every = tuple(range(len(attempts.facts)))
    first = attempts.make(every, {}, {})
    if policy == "keep":
        return Settled(first, _history(attempts.facts, [first]))
    made = _tried(attempts, first)
    tried, best = _history(attempts.facts, made), max(made, key=lambda attempt: attempt.held)
    if best.unheld and (policy == "reject" or len(best.unheld) == len(every)):
        return Settled(attempts.be_at(best), tried, _sentence(len(best.unheld), len(every)))
    current = best
    while current.unheld:
        left = [index for index in current.members if index not in current.unheld]
        if not left:
            detail = "no fact holds once those that did not hold have left the batch"
            return Settled(attempts.be_at(best), tried, detail)
        current = attempts.make(left, best.efforts, current.edited.found)
    return Settled(attempts.be_at(current), tried)


def _sentence(unheld: int, facts: int) -> str:
    if unheld == facts:
        return "the fact does not hold" if facts == 1 else f"none of the {facts} facts holds"
    return f"{unheld} of {facts} facts {'does' if unheld == 1 else 'do'} not hold"


def _tried(attempts: Attempts, first: Attempt) -> list[Attempt]:
    """The first attempt, and further ones as long as something does not hold that can be tried again."""
    made, left = [first], BUDGET * (len(attempts.facts) + SPARE)
    while True:
        current = made[-1]
        more, cost = _more(current, attempts.facts, left)
        if not more:
            return made
        efforts, left = {**current.efforts, **more}, left - cost
        known = _without(current.edited.found, more)
        try:
            made.append(attempts.make(current.members, efforts, known))
        except NonFiniteUpdate:  # the first attempt came to an end, so it is the effort that was too much
            return made


def _more(current: Attempt, facts: Sequence[Fact], left: int) -> tuple[dict[Fact, Effort], int]:
    """More effort for what does not hold, as far as the budget goes: what is nearest to holding first.

    Returns it with its cost, in facts as often as they take the preset's steps.
    """
    ranks = [(current.standings[index].rank, index, facts[index]) for index in current.unheld]
    ranks += [(0, place, known.fact) for place, known in enumerate(current.lost)]
    more: dict[Fact, Effort] = {}
    cost = 0
    for _, _, fact in sorted(ranks, key=lambda each: each[:2]):
        effort = _next(current.efforts, fact)
        if effort is not None and fact not in more and cost + effort.steps <= left:
            more[fact] = effort
            cost += effort.steps
    return more, cost


def _next(efforts: Efforts, fact: Fact) -> Effort | None:
    """What comes after the effort that a fact has had; None after the last."""
    levels = (AS_PRESET, *TRIES)
    level = levels.index(efforts.get(fact, AS_PRESET)) + 1
    return levels[level] if level < len(levels) else None


def _without(known: Known, facts: dict[Fact, Effort]) -> Known:
    """The targets of groups that none of the facts is in."""
    return {members: found for members, found in known.items() if facts.keys().isdisjoint(members)}


def _history(facts: Sequence[Fact], made: Sequence[Attempt]) -> tuple[tuple[Try, ...], ...]:
    """Of each fact the attempts at which it was given something new; the last state of each effort counts."""
    tried: list[list[Try]] = [[] for _ in facts]
    for attempt in made:
        for index in attempt.members:
            effort = attempt.efforts.get(facts[index], AS_PRESET)
            if tried[index] and tried[index][-1].effort == effort:
                tried[index][-1] = replace(tried[index][-1], attempt=attempt)
            else:
                tried[index].append(Try(effort, attempt))
    return tuple(map(tuple, tried))
