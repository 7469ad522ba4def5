"""How one server stands: what it has proven, what failed, and when that is tried again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.domain.contract import Approximation, EngineServer, ServerState
from app.domain.errors import PalimpsestError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0


def words_of(error: PalimpsestError | OSError) -> str:
    """An error in words; an OSError speaks of a file or an address, never of a fact."""
    return error.detail if isinstance(error, PalimpsestError) else str(error)


@dataclass(slots=True)
class Trouble:
    """Why a version is not served. ``until``: on the monotonic clock, when it is tried again; None: not before the
    server restarts, since its name was given to something that is not the version."""

    problem: str
    pause: float
    until: float | None

    @property
    def waits(self) -> bool:
        """Whether it is not time to try again."""
        return self.until is None or time.monotonic() < self.until


@dataclass(slots=True)
class Standing:
    """All that is known of one server. Written by its own thread; ``card`` may be called by any.

    proven: by version, the largest difference in nats. most_rank: of an adapter, as far as the server has told.
    known: versions that the server is known to have had, also before it restarted.
    """

    url: str
    most_rank: int | None = None
    state: ServerState = "unreachable"
    base_name: str | None = None
    base_error: float | None = None
    proven: dict[int, float] = field(default_factory=dict)
    approximations: dict[int, Approximation] = field(default_factory=dict)
    troubles: dict[int, Trouble] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)
    proofs_failed: int = 0
    seconds_to_proven: float | None = None
    problem: str | None = None
    checked: datetime = field(default_factory=lambda: datetime.now(UTC))

    def forget(self) -> None:
        """The server has begun anew: what it had is gone, and what failed may be tried again."""
        self.base_name = self.base_error = None
        self.proven, self.approximations, self.troubles = {}, {}, {}

    def failed(self, version: int, problem: str, *, for_good: bool = False) -> None:
        """A version could not be brought; each time the next trial is later."""
        before = self.troubles.get(version)
        pause = FIRST_PAUSE_S if before is None else min(2 * before.pause, LONGEST_PAUSE_S)
        self.troubles[version] = Trouble(problem, pause, None if for_good else time.monotonic() + pause)

    def held(self, version: int, error: float) -> None:
        """A version is proven."""
        self.proven = {**self.proven, version: error}
        self.known.add(version)
        self.troubles.pop(version, None)

    def lost(self, version: int) -> None:
        """A version is not there any more."""
        self.proven = {each: error for each, error in self.proven.items() if each != version}
        self.approximations = {each: told for each, told in self.approximations.items() if each != version}

    @property
    def newest(self) -> int | None:
        """The newest version that is proven, 0 not counted; None without any."""
        return max((version for version in self.proven if version), default=None)

    def judge(self, head: int) -> None:
        """Set the state of a server that answers and has our base."""
        self.state = "serving" if head in self.proven else "behind"
        trouble = self.troubles.get(head)
        self.problem = None if trouble is None else f"version {head}: {trouble.problem}"
        self.checked = datetime.now(UTC)

    def stuck(self, state: ServerState, problem: str) -> None:
        """The server cannot be asked, or may not be."""
        self.state, self.problem, self.checked = state, problem, datetime.now(UTC)

    def card(self) -> EngineServer:
        """What is told of it."""
        proven, told = self.proven, self.approximations
        newest = max(proven, default=None)
        return EngineServer(
            url=self.url,
            state=self.state,
            versions=tuple(sorted(proven)),
            base_name=self.base_name,
            largest_error=self.base_error if newest is None else proven[newest],
            approximations=tuple(told[version] for version in sorted(told)),
            proofs_failed=self.proofs_failed,
            seconds_to_proven=self.seconds_to_proven,
            problem=self.problem,
            checked=self.checked,
        )
