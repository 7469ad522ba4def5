"""Whether a server holds what it was given: its log-probabilities beside the worker's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.contract import FactKey
from app.domain.errors import EngineFailed
from workers.engines.engine import Contents, Engine, Ids
from workers.engines.questions import Wanted, mean

LEAST_SHARE = 0.5
"""Of the worker's change against the base model, so much must be the server's as well. A server that answers from the
base has 0 of it, one that answers from the version about 1, whatever the tolerance is."""

NOISE = 4.0
"""A change counts as one if it is so many times as large as the server's largest difference on the base model."""

FLOOR = 1e-3
"""Nats: below it no change counts."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a server said to one text: mean log-probability a token, in nats; ``greedy`` as in ``Wanted``."""

    log_probability: float
    greedy: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """What a proof has found. error: the largest difference, in nats; NaN where an answer is none.

    problem: why it is none; None if it holds. held, lost: facts that the worker gives, and those of them that the
    server does not.
    """

    error: float
    problem: str | None
    held: int = 0
    lost: tuple[FactKey, ...] = ()


def fitting(wanted: Sequence[Wanted], contents: Contents) -> list[Wanted]:
    """The texts that the server takes, with the one token that it adds.

    Raises:
        EngineFailed: it takes none of them.
    """
    found = [each for each in wanted if contents.window is None or len(each.ids) < contents.window]
    if not found:
        raise EngineFailed(f"no text that would be asked fits into the server's window of {contents.window} tokens")
    return found


def prove_base(engine: Engine, contents: Contents, wanted: Sequence[Wanted], tolerance: float) -> Finding:
    """Whether the server's base model is the worker's version 0."""
    asked = fitting(wanted, contents)
    answers = _answers(engine, contents.base_name, asked)
    error = _largest([each.base for each in asked], answers)
    if error <= tolerance:
        return Finding(error, None)
    return Finding(error, f"its base model is not ours: a log-probability is off by {error:.3g} nats")


def prove(
    engine: Engine,
    contents: Contents,
    name: str,
    wanted: Sequence[Wanted],
    tolerance: float,
    *,
    approximate: bool = False,
) -> Finding:
    """Whether what the server has under a name is the version that ``wanted`` is of.

    Args:
        approximate: it is a best approximation: what it is off by is told, not judged; but it must not be the base.
    """
    asked = fitting(wanted, contents)
    answers = _answers(engine, name, asked)
    base = _answers(engine, contents.base_name, asked)
    error = _largest([each.expected for each in asked], answers)
    given = [
        (each.fact, answer.greedy)
        for each, answer in zip(asked, answers, strict=True)
        if each.fact is not None and each.greedy
    ]
    lost = tuple(fact for fact, greedy in given if not greedy)
    problem = _as_base(asked, answers, base, approximate=approximate)
    if math.isnan(error):
        problem = "its answers are no numbers"
    elif problem is None and not approximate and not error <= tolerance:
        problem = f"a log-probability is off by {error:.3g} nats, where {tolerance:.3g} are allowed"
    return Finding(error, problem, len(given), lost)


def _as_base(
    asked: Sequence[Wanted], answers: Sequence[Answered], base: Sequence[Answered], *, approximate: bool
) -> str | None:
    """Why what the server has cannot be told from its base model; None if it can, or if the version changes nothing.

    A change counts where it is beyond what the server is off by on its base model. Of a version, the part of the
    worker's change that the server shows must be large enough: <server's, worker's> / <worker's, worker's>. An
    approximation may lose most of it, but must change something.
    """
    noise = _largest([each.base for each in asked], base)
    if math.isnan(noise):
        return "it does not answer from its base model"
    bound = max(NOISE * noise, FLOOR)
    changes = [each.expected - each.base for each in asked]
    counting = [index for index, change in enumerate(changes) if abs(change) > bound]
    if not counting:
        return None
    moved = [answer.log_probability - before.log_probability for answer, before in zip(answers, base, strict=True)]
    if approximate:
        largest = max(map(abs, moved))
        return None if largest > bound else f"it answers as its base model does, within {largest:.2g} nats"
    share = sum(moved[index] * changes[index] for index in counting) / sum(changes[index] ** 2 for index in counting)
    return None if share >= LEAST_SHARE else f"it answers as its base model does: {share:.0%} of the change is there"


def _answers(engine: Engine, name: str, asked: Sequence[Wanted]) -> list[Answered]:
    texts: list[Ids] = [each.ids for each in asked]
    scored = engine.scores(name, texts)
    return [
        Answered(mean(found.log_probabilities[each.first - 1 :]), all(found.likeliest[each.first - 1 :]))
        for each, found in zip(asked, scored, strict=True)
    ]


def _largest(expected: Sequence[float], answers: Sequence[Answered]) -> float:
    """The largest difference, or NaN if any is."""
    found = [abs(one - other.log_probability) for one, other in zip(expected, answers, strict=True)]
    return math.nan if any(map(math.isnan, found)) else max(found, default=0.0)
