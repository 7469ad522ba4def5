"""A data file on its way to the service: read here, however large it is, and sent in parts that the service takes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import MappingProxyType

from app.client.calls import Call, import_facts
from app.client.errors import ApiError
from app.domain.contract import ImportFormat, ImportReport, Problem, UnusableRecord
from app.domain.imports.reading import ReadFact, Reading, read, reasons

MOST_FACTS = 1000
MOST_BYTES = 3_000_000
SHOWN = 20
SAMPLED = 3

Told = Callable[[int, int], None]
"""Hears at first, and after each part, how many facts the service has answered for, and of how many."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some facts of a file, as JSON lines, and the records that they come from."""

    content: bytes
    facts: tuple[ReadFact, ...]

    def placed(self, unusable: UnusableRecord) -> UnusableRecord:
        """What the service says of a record of this part, with its place in the file."""
        origin = self.facts[unusable.record]
        return unusable.model_copy(update={"record": origin.index, "line": origin.line})


def opened(source: str | Path | bytes, named: ImportFormat, *, chat: bool) -> Reading:
    """What a file holds; ``bytes`` are its contents.

    Raises:
        RequestError: nothing can be read of it. OSError: it is not there.
    """
    return read(source if isinstance(source, bytes) else Path(source).read_bytes(), named, chat=chat)


def parts(facts: Sequence[ReadFact]) -> Iterator[Part]:
    """All facts, in parts."""
    lines: list[bytes] = []
    begin, size = 0, 0
    for at, each in enumerate(facts):
        line = each.fact.model_dump_json(exclude_unset=True).encode() + b"\n"
        if lines and (len(lines) == MOST_FACTS or size + len(line) > MOST_BYTES):
            yield Part(b"".join(lines), tuple(facts[begin:at]))
            lines, begin, size = [], at, 0
        lines.append(line)
        size += len(line)
    if lines:
        yield Part(b"".join(lines), tuple(facts[begin:]))


class Sending:
    """A file's facts as they are sent, and what is said of them."""

    def __init__(
        self,
        reading: Reading,
        limit: int | None,
        *,
        dry_run: bool,
        key: str | None = None,
        told: Told | None = None,
        options: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """``key``: of an import that may have been broken off: what was queued under it is not queued again."""
        self._reading = reading
        self._key = key or token_hex(16)
        self._params = {"format": "facts", "dry_run": dry_run or None, **options}
        self._told = told
        self._facts = reading.facts[:limit]
        self._dry_run = dry_run
        self._answers: list[tuple[Part, ImportReport]] = []
        self._stopped: Problem | None = None

    def parts(self) -> Iterator[Part]:
        """What is to be sent, until the service takes no more."""
        self._tell()
        for part in parts(self._facts):
            if self._stopped is not None:
                return
            yield part

    def call(self, part: Part) -> Call[ImportReport]:
        """The request for a part. Its Idempotency-Key is the same whenever the file is sent under the same key."""
        key = hashlib.sha256(f"{self._key}\n".encode() + part.content).hexdigest()
        return import_facts(part.content, self._params, key)

    def answered(self, part: Part, told: ImportReport) -> None:
        """Note what the service said of a part."""
        self._answers.append((part, told))
        self._stopped = told.stopped
        self._tell()

    def refused(self, error: ApiError) -> None:
        """Note that the service took nothing of a part.

        Raises:
            ApiError: the error, where nothing was taken before.
        """
        if not any(told.jobs for _, told in self._answers):
            raise error
        self._stopped = error.problem

    def _tell(self) -> None:
        if self._told is not None:
            self._told(sum(len(part.facts) for part, _ in self._answers), len(self._facts))

    def report(self) -> ImportReport:
        """What came of the whole file."""
        told = [told for _, told in self._answers]
        refused = [part.placed(each) for part, told in self._answers for each in told.first_unusable]
        unusable = sorted((*self._reading.unusable, *refused), key=lambda each: each.record)
        counted = Counter(reasons(self._reading.unusable))
        for each in told:
            counted.update(each.reasons)
        lost, out = sum(each.unusable for each in told), {each.record for each in refused}
        return ImportReport(
            model=next((each.model for each in told), None),
            format=self._reading.format,
            dry_run=self._dry_run,
            checked=bool(told) and all(each.checked for each in told),
            records=self._reading.records,
            usable=len(self._reading.facts) - lost,
            unusable=len(self._reading.unusable) + lost,
            reasons=dict(counted.most_common()),
            first_unusable=tuple(unusable[:SHOWN]),
            beyond_limit=len(self._reading.facts) - len(self._facts),
            sample=tuple(each.fact for each in self._facts if each.index not in out)[:SAMPLED],
            queued=sum(each.queued for each in told),
            jobs=tuple(job for each in told for job in each.jobs),
            stopped=self._stopped,
        )
