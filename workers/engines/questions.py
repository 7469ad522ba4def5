"""What is asked of a version before it counts, and what the worker says to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from app.domain.contract import FactKey, Score, ScoredText, TokenScores
from app.domain.errors import RequestError
from app.domain.history.lineage import HeldFact
from app.domain.log.reader import LogReader
from app.domain.prompts import filled
from workers.engines.engine import Ids
from workers.engines.worker import Worker

OWN_FACTS, OTHER_FACTS, GONE_FACTS, NEIGHBOURS, HELD_OUT = 128, 32, 32, 64, 16
"""The most that are asked: facts that the version wrote, the newest of the others in force, those in force before and
not any more, neighbours, and held-out texts."""

AT_ONCE = 128
"""Texts in one request to a worker."""

FILLING = "The people of the country"
"""Stands in each of the model's contexts: texts that no edit is about, also where none are held out."""

REMEMBERED = 64
"""Versions whose answers are kept."""

Kind = Literal["fact", "neighbour", "text"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A text that is asked, and which fact it is, if it is one in force."""

    kind: Kind
    text: ScoredText
    fact: FactKey | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A text with the worker's answers: mean log-probability a token, in nats, of the tokens from ``first`` on.

    expected: at the version; base: at version 0. greedy: greedy decoding gives all these tokens at the version.
    """

    kind: Kind
    ids: Ids
    first: int
    expected: float
    base: float
    greedy: bool
    fact: FactKey | None = None


class Questions:
    """What is asked of each version of one model. Any thread may ask; what was answered is remembered."""

    def __init__(self, log: LogReader, worker: Worker) -> None:
        self._log, self._worker = log, worker
        self._known: dict[tuple[int, str, bool], tuple[Wanted, ...]] = {}
        self._lock = threading.Lock()

    def of(self, version: int, *, every_fact: bool = False) -> tuple[Wanted, ...]:
        """The version's questions. ``every_fact``: all in force, to tell which an approximation loses.

        Raises:
            ModelUnavailable: no worker answers. UnknownVersion, DamagedVersion: the version cannot be read.
            Whatever else the worker raises.
        """
        key = version, self._log.digest(version), every_fact
        with self._lock:
            if key not in self._known:
                found = self._answered(version, list(self._asked(version, every_fact=every_fact)))
                while len(self._known) >= REMEMBERED:
                    del self._known[next(iter(self._known))]
                self._known[key] = found
            return self._known[key]

    def _asked(self, version: int, *, every_fact: bool) -> Iterator[Asked]:
        contexts = self._log.base().contexts
        for text in dict.fromkeys(filled(context, FILLING) for context in contexts):
            yield Asked("text", ScoredText(prompt=text))
        if version == 0:
            return
        history = self._log.history(version)
        facts = history.facts(version)
        own = [held for held in facts if held.key.version == version]
        others = [held for held in facts if held.key.version != version]
        keys = {held.key for held in facts}
        gone = [held for held in history.facts(version - 1) if held.key not in keys][:GONE_FACTS]
        chosen = facts if every_fact else (*own[:OWN_FACTS], *others[-OTHER_FACTS:])
        yield from (Asked("fact", _as_text(held), held.key) for held in chosen)
        yield from (Asked("fact", _as_text(held)) for held in gone)
        yield from list(_neighbours(own or others[-OTHER_FACTS:]))[:NEIGHBOURS]

    def _answered(self, version: int, asked: list[Asked]) -> tuple[Wanted, ...]:
        """Ask the worker at the version, and at version 0. A text that cannot be asked, too long a one, is left out."""
        while True:
            try:
                found, held_out = self._scores(version, asked)
            except RequestError as error:
                _leave_out(asked, error)
            else:
                break
        base, base_held_out = (found, held_out) if version == 0 else self._scores(0, asked)
        kinds: list[tuple[Kind, FactKey | None]] = [(each.kind, each.fact) for each in asked]
        kinds += [("text", None)] * len(held_out)
        pairs = zip(kinds, [*found, *held_out], [*base, *base_held_out], strict=True)
        return tuple(_wanted(kind, fact, here, there) for (kind, fact), here, there in pairs)

    def _scores(self, version: int, asked: Sequence[Asked]) -> tuple[list[TokenScores], list[TokenScores]]:
        texts: list[TokenScores] = []
        held_out: list[TokenScores] = []
        for at in range(0, len(asked), AT_ONCE):
            part = tuple(each.text for each in asked[at : at + AT_ONCE])
            try:
                reply = self._worker.scores(Score(texts=part, version=version, held_out=0 if at else HELD_OUT))
            except RequestError as error:
                error.value = _place(error, at)
                raise
            texts += reply.texts
            held_out += reply.held_out
        return texts, held_out


def _place(error: RequestError, at: int) -> int | None:
    """Which of all texts the worker refuses, of a request that begins with text ``at``."""
    _, _, index = (error.field or "").partition("texts.")
    digits = index.partition(".")[0]
    return at + int(digits) if digits.isdigit() else None


def _leave_out(asked: list[Asked], error: RequestError) -> None:
    """Take the refused text out; raises the error if it is of none."""
    if not isinstance(error.value, int) or error.value >= len(asked):
        raise error
    del asked[error.value]


def mean(log_probabilities: Sequence[float]) -> float:
    """Of at least one token."""
    return sum(log_probabilities) / len(log_probabilities)


def _as_text(held: HeldFact) -> ScoredText:
    fact = held.fact
    return ScoredText(prompt=filled(fact.prompt, fact.subject), object=fact.object, stop=fact.stop)


def _neighbours(facts: Sequence[HeldFact]) -> Iterator[Asked]:
    """Each with what is expected, else the object that may not spill over to it."""
    for held in facts:
        for each in held.fact.neighbours:
            wanted = next(iter(each.expected), None) or held.fact.object
            yield Asked("neighbour", ScoredText(prompt=each.prompt, object=wanted))


def _wanted(kind: Kind, fact: FactKey | None, here: TokenScores, there: TokenScores) -> Wanted:
    expected, base = mean(here.log_probabilities), mean(there.log_probabilities)
    return Wanted(kind, here.ids, here.first, expected, base, here.greedy, fact)
