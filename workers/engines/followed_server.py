"""One server on its way to the newest version: loaded, proven, only then counted; older ones unloaded after that."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from app.domain.contract import Approximation
from app.domain.errors import EngineFailed, EngineUnreachable, PalimpsestError, RankTooHigh
from app.domain.failpoints import Point, failpoint
from workers.engines.adapters import Adapter, Adapters, cut_to, served_name, served_version
from workers.engines.engine import Contents, Engine
from workers.engines.proof import Finding, prove, prove_base
from workers.engines.questions import Questions
from workers.engines.standing import Standing, words_of
from workers.engines.target import Target

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms servers follow.

    tolerance: nats by which a log-probability may differ. approximate: serve the best approximation where a version's
    rank is too high. most_rank: of an adapter on any server, where that is known before a server says so.
    """

    model: str
    tolerance: float
    approximate: bool = False
    most_rank: int | None = None


class FollowedServer:
    """Brings one server toward a target, a step at a time. One thread steps; any may read ``standing.card()``."""

    def __init__(self, engine: Engine, adapters: Adapters, questions: Questions, terms: Terms) -> None:
        self._engine, self._adapters, self._questions, self._terms = engine, adapters, questions, terms
        self._started = datetime.now(UTC)
        self.standing = Standing(engine.url, terms.most_rank)

    def step(self, target: Target) -> bool:
        """Do the most important thing that is left to do; True if it was done and more may be."""
        standing = self.standing
        try:
            contents = self._engine.contents()
            self._notice_restart(contents)
            if 0 not in standing.proven and not self._base_is_ours(contents):
                return False
            moved = self._brought_one(target, contents) or self._unloaded_one(target, contents)
        except EngineFailed as error:
            standing.stuck("unreachable", error.detail)
            return False
        except (PalimpsestError, OSError) as error:  # of a worker, or of the log
            standing.stuck("behind", words_of(error))
            return False
        standing.judge(target.head)
        if target.head in standing.proven:
            standing.known = set(standing.proven) | set(self._loaded(contents))
        return moved

    @property
    def wanted(self) -> frozenset[int]:
        """Versions whose adapters the server may read again at any time."""
        return frozenset(self.standing.proven) | frozenset(self.standing.known)

    def _notice_restart(self, contents: Contents) -> None:
        """A server that lacks what it had has begun anew; so may one that was away and has nothing of ours now."""
        standing = self.standing
        gone = [each for each in standing.proven if each and self._name(each) not in contents.adapters]
        back = bool(standing.troubles) and standing.state == "unreachable" and not self._loaded(contents)
        if gone or back or (standing.base_name is not None and contents.base_name != standing.base_name):
            logger.warning("server %s began anew", self._engine.url, extra={"model": self._terms.model})
            standing.forget()
        standing.base_name = contents.base_name
        standing.known |= set(self._loaded(contents))

    def _base_is_ours(self, contents: Contents) -> bool:
        """Ask the base model; nothing is loaded on a server whose base is not ours."""
        trouble = self.standing.troubles.get(0)
        if trouble is not None and trouble.waits:
            return False
        finding = prove_base(self._engine, contents, self._questions.of(0), self._terms.tolerance)
        self.standing.base_error = finding.error
        if finding.problem is None:
            self.standing.held(0, finding.error)
            return True
        self.standing.proofs_failed += 1
        self.standing.failed(0, finding.problem)
        self.standing.stuck("refused", finding.problem)
        return False

    # --- bringing ----------------------------------------------------------------------------

    def _brought_one(self, target: Target, contents: Contents) -> bool:
        """Bring the most important version that is missing and may be tried; whether one was brought."""
        standing = self.standing
        for version in self._candidates(target):
            trouble = standing.troubles.get(version)
            if version in standing.proven or (trouble is not None and trouble.waits):
                continue
            try:
                self._bring(version, contents)
            except EngineUnreachable:
                raise
            except (PalimpsestError, OSError) as error:
                words = words_of(error)
                standing.failed(version, words)
                logger.warning(
                    "not served at %s: %s",
                    self._engine.url,
                    words,
                    extra={"model": self._terms.model, "version": version},
                )
            else:
                if version in standing.proven:
                    self._told(version, target)
                return True
        return False

    def _candidates(self, target: Target) -> Iterator[int]:
        """The target's versions; where none of them can be served, the newest older one that the server had."""
        yield from target.order
        standing = self.standing
        if not any(version in standing.proven for version in target.order):
            older = [each for each in standing.known if 0 < each < target.head and each not in target.order]
            yield from sorted(older, reverse=True)[:1]

    def _bring(self, version: int, contents: Contents) -> None:
        """Load a version unless it is there, and prove it; what is not proven is unloaded.

        Raises:
            EngineFailed, ModelUnavailable, DamagedVersion, CompactedVersion, OSError: it cannot be brought now.
        """
        name = self._name(version)
        self._questions.of(version)  # first: what cannot be proven is not loaded
        if name in contents.adapters:  # loaded by a follower before this one, of which the rank may be news
            self.standing.most_rank = cut_to(contents.adapters[name]) or self.standing.most_rank
        adapter = self._adapter(version)
        if name not in contents.adapters:
            adapter = self._loaded_within_rank(name, version, adapter)
        wanted = self._questions.of(version, every_fact=adapter.note.cut)
        finding = prove(self._engine, contents, name, wanted, self._terms.tolerance, approximate=adapter.note.cut)
        failpoint(Point.FOLLOW_PROOF_AFTER)
        if finding.problem is None:
            self._keep(version, adapter, finding)
        else:
            self._give_up(version, finding.problem)

    def _adapter(self, version: int) -> Adapter:
        """The adapter, cut to the server's rank where that may be.

        Raises:
            RankTooHigh: it may not.
        """
        adapter = self._adapters.of(version, self.standing.most_rank)
        if adapter.note.cut and not self._terms.approximate:
            note = adapter.note
            raise RankTooHigh(
                f"it needs rank {note.needed}, and the server takes {note.rank}; the best approximation leaves out "
                f"{note.left_out:.2%} of the change. Start the server with a higher --max-lora-rank, or follow with "
                "--approximate"
            )
        return adapter

    def _loaded_within_rank(self, name: str, version: int, adapter: Adapter) -> Adapter:
        """Load an adapter; if the server says that its rank is too high, the one of the rank that it says."""
        failpoint(Point.FOLLOW_LOAD_BEFORE)
        try:
            self._engine.load(name, adapter.path)
        except RankTooHigh as error:
            limit = error.value
            if not isinstance(limit, int) or not 0 < limit < adapter.note.rank:
                raise
            self.standing.most_rank = limit
            adapter = self._adapter(version)
            self._engine.load(name, adapter.path)
        failpoint(Point.FOLLOW_LOAD_AFTER)
        return adapter

    def _keep(self, version: int, adapter: Adapter, finding: Finding) -> None:
        note = adapter.note
        if note.cut:
            told = Approximation(
                version=version,
                rank=note.rank,
                needed=note.needed,
                error=note.left_out,
                facts_held=finding.held,
                facts_lost=finding.lost,
            )
            self.standing.approximations = {**self.standing.approximations, version: told}
        self.standing.held(version, finding.error)

    def _give_up(self, version: int, problem: str) -> None:
        """Unload what is not the version. Its name is not given again: the server may have cached answers under it."""
        self.standing.proofs_failed += 1
        self.standing.failed(version, problem, for_good=True)
        logger.error(
            "version not proven at %s: %s",
            self._engine.url,
            problem,
            extra={"model": self._terms.model, "version": version},
        )
        self._adapters.discard(version)  # whatever it is: the next one is written from the log
        self._let_go(version)

    def _told(self, version: int, target: Target) -> None:
        if version == target.head and target.committed is not None and target.committed >= self._started:
            self.standing.seconds_to_proven = max(0.0, (datetime.now(UTC) - target.committed).total_seconds())
        logger.info("proven at %s", self._engine.url, extra={"model": self._terms.model, "version": version})

    # --- unloading ---------------------------------------------------------------------------

    def _unloaded_one(self, target: Target, contents: Contents) -> bool:
        """Unload a version that is not wanted any more; whether one was. Without a newer one proven, none is."""
        standing = self.standing
        newest = standing.newest
        if newest is None:
            return False
        for version in self._loaded(contents):
            failed = version in standing.troubles and standing.troubles[version].until is None
            if failed or (version not in target.order and version != newest):
                standing.lost(version)
                standing.known.discard(version)
                return self._let_go(version)
        return False

    def _let_go(self, version: int) -> bool:
        """Unload a version; if the server refuses, the next look at it sees the version again."""
        failpoint(Point.FOLLOW_UNLOAD_BEFORE)
        try:
            self._engine.unload(self._name(version))
        except EngineUnreachable:
            raise
        except EngineFailed as error:
            logger.warning("not unloaded at %s: %s", self._engine.url, error.detail, extra={"version": version})
            return False
        failpoint(Point.FOLLOW_UNLOAD_AFTER)
        return True

    def _loaded(self, contents: Contents) -> list[int]:
        found = (served_version(self._terms.model, name) for name in contents.adapters)
        return sorted(version for version in found if version is not None)

    def _name(self, version: int) -> str:
        return served_name(self._terms.model, version)
