"""A data file on its way to the service: sent in parts that the service takes, none of which is kept."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from secrets import token_hex
from types import MappingProxyType

from app.client.calls import Call, import_facts
from app.client.errors import ApiError
from app.client.read_file import SHOWN, FactLine, ReadFile
from app.domain.contract import ImportReport, Job, Problem, UnusableRecord

MOST_FACTS = 1000
MOST_BYTES = 3_000_000
SAMPLED = 3

Told = Callable[[int, int], None]
"""Hears at first, and after each part, how many facts the service has answered for, and of how many."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some facts of a file, as JSON lines, and of each the record and the line that it comes from."""

    content: bytes
    places: tuple[tuple[int, int | None], ...]

    def placed(self, unusable: UnusableRecord) -> UnusableRecord:
        """What the service says of a record of this part, with its place in the file."""
        index, line = self.places[unusable.record]
        return unusable.model_copy(update={"record": index, "line": line})


def parts(facts: Iterable[FactLine]) -> Iterator[Part]:
    """All facts, in parts."""
    lines: list[bytes] = []
    places: list[tuple[int, int | None]] = []
    size = 0
    for each in facts:
        if lines and (len(lines) == MOST_FACTS or size + len(each.text) > MOST_BYTES):
            yield Part(b"".join(lines), tuple(places))
            lines, places, size = [], [], 0
        lines.append(each.text)
        places.append((each.index, each.line))
        size += len(each.text)
    if lines:
        yield Part(b"".join(lines), tuple(places))


class _Told:
    """What the service has said of the parts, summed up; of each job without its report, which may be long."""

    def __init__(self) -> None:
        self.model: str | None = None
        self.checked = True
        self.facts = self.unusable = self.queued = 0
        self.reasons = Counter[str]()
        self.first_unusable: list[UnusableRecord] = []
        self.jobs: list[Job] = []
        self.stopped: Problem | None = None

    def add(self, part: Part, told: ImportReport) -> None:
        """Take in one answer."""
        self.model = self.model or told.model
        self.checked = self.checked and told.checked
        self.facts += len(part.places)
        self.unusable += told.unusable
        self.queued += told.queued
        self.reasons.update(told.reasons)
        refused = sorted((part.placed(each) for each in told.first_unusable), key=lambda each: each.record)
        self.first_unusable += refused[: SHOWN - len(self.first_unusable)]  # the file's order: none before comes later
        self.jobs += (job.brief for job in told.jobs)
        self.stopped = told.stopped


class Sending:
    """A file's facts as they are sent, and what is said of them."""

    def __init__(
        self,
        file: ReadFile,
        limit: int | None,
        *,
        dry_run: bool,
        key: str | None = None,
        told: Told | None = None,
        options: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """``key``: of an import that may have been broken off: what was queued under it is not queued again."""
        self._file = file
        self._key = key or token_hex(16)
        self._params = {"format": "facts", "dry_run": dry_run or None, **options}
        self._listener = told
        self._limit = limit
        self._facts = file.usable if limit is None else min(limit, file.usable)
        self._dry_run = dry_run
        self._told = _Told()

    def parts(self) -> Iterator[Part]:
        """What is to be sent, until the service takes no more."""
        self._tell()
        for part in parts(self._file.facts(self._limit)):
            if self._told.stopped is not None:
                return
            yield part

    def call(self, part: Part) -> Call[ImportReport]:
        """The request for a part. Its Idempotency-Key is the same whenever the file is sent under the same key."""
        key = hashlib.sha256(f"{self._key}\n".encode() + part.content).hexdigest()
        return import_facts(part.content, self._params, key)

    def answered(self, part: Part, told: ImportReport) -> None:
        """Note what the service said of a part."""
        self._told.add(part, told)
        self._tell()

    def refused(self, error: ApiError) -> None:
        """Note that the service took nothing of a part.

        Raises:
            ApiError: the error, where nothing was taken before.
        """
        if not self._told.jobs:
            raise error
        self._told.stopped = error.problem

    def _tell(self) -> None:
        if self._listener is not None:
            self._listener(self._told.facts, self._facts)

    def report(self) -> ImportReport:
        """What came of the whole file."""
        file, told = self._file, self._told
        unusable = sorted((*file.first_unusable, *told.first_unusable), key=lambda each: each.record)
        out = {each.record for each in told.first_unusable}
        sample = (each.fact for each in file.facts(self._limit) if each.index not in out)
        return ImportReport(
            model=told.model,
            format=file.format,
            dry_run=self._dry_run,
            checked=bool(told.facts) and told.checked,
            records=file.records,
            usable=file.usable - told.unusable,
            unusable=file.unusable + told.unusable,
            reasons=dict((file.reasons + told.reasons).most_common()),
            first_unusable=tuple(unusable[:SHOWN]),
            beyond_limit=file.usable - self._facts,
            sample=tuple(islice(sample, SAMPLED)),
            queued=told.queued,
            jobs=tuple(told.jobs),
            stopped=told.stopped,
        )
