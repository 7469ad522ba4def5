"""Jobs of a model that are known to stand in its queue: nobody needs to ask Redis for them again in the same era."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class _Era:
    token: str
    entries: set[str] = field(default_factory=set)


class StandingJobs:
    """What one front end knows of the current era, in which Redis loses nothing. Safe in several threads.

    Jobs go by their entries in the journal, since those are listed at every submission: a thousand are told apart in a
    moment. An era that is over by now does no harm: nothing can be queued in it any more.
    """

    def __init__(self) -> None:
        self._eras: dict[str, _Era] = {}

    def era(self, model: str) -> str | None:
        """The era that jobs of the model were last seen in."""
        known = self._eras.get(model)
        return None if known is None else known.token

    def begin(self, model: str, era: str) -> None:
        """Know of no job in this era, so that each is looked for again; those that have ended are forgotten by it."""
        self._eras[model] = _Era(era)

    def note(self, model: str, era: str, entries: Iterable[str]) -> None:
        """The jobs of these entries were seen in the queue, or put there, in that era."""
        known = self._eras.get(model)
        if known is None or known.token != era:
            known = self._eras[model] = _Era(era)
        known.entries.update(entries)

    def others(self, model: str, era: str, entries: Iterable[str]) -> set[str]:
        """Those entries of whose jobs nothing is known in that era."""
        known = self._eras.get(model)
        return set(entries) if known is None or known.token != era else set(entries) - known.entries
