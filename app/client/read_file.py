"""A data file that was read: its facts lie in a temporary file, and what is to be told of it is counted."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from app.domain.contract import Fact, ImportFormat, UnusableRecord
from app.domain.imports.reading import ReadRecord, read_records
from app.domain.imports.text_source import TextSource

IN_MEMORY = 1_000_000
"""Bytes of facts that need no file."""
SHOWN = 20
"""Records that cannot be used, of which it is kept why."""


@dataclass(frozen=True, slots=True)
class FactLine:
    """A fact as a line of JSON, and the record that it comes from."""

    index: int
    line: int | None
    text: bytes

    @property
    def fact(self) -> Fact:
        """The fact itself."""
        return Fact.model_validate_json(self.text)


class ReadFile:
    """The facts of a file, however many: in memory are counts, the first that cannot be used, and a digest a fact.

    Args:
        source: where it is; ``bytes`` are its contents.
        chat: the prompts are a user's turns, and the objects begin replies.

    Raises:
        RequestError: nothing can be read of it. OSError: it is not there, or the facts cannot be written down.
    """

    def __init__(self, source: str | Path | bytes, named: ImportFormat, *, chat: bool) -> None:
        text = TextSource(source if isinstance(source, bytes) else Path(source))
        self.format, found = read_records(text, named, chat=chat)
        self.records = self.usable = self.unusable = 0
        self.reasons = Counter[str]()
        self.first_unusable: list[UnusableRecord] = []
        self._facts = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed by ``close``
        try:
            self._take(found)
        except BaseException:  # whatever it is: leave no file, and raise it again
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the facts."""
        self._facts.close()

    def facts(self, limit: int | None = None) -> Iterator[FactLine]:
        """The facts in the file's order, at most so many; one iteration at a time."""
        self._facts.seek(0)
        for written in islice(self._facts, limit):
            index, line, text = written.split(b" ", 2)
            yield FactLine(int(index), int(line) or None, text)

    def _take(self, records: Iterable[ReadRecord]) -> None:
        for each in records:
            self.records += bool(each.facts or each.unusable)
            self.usable += len(each.facts)
            self.unusable += len(each.unusable)
            self.reasons.update(why.code for why in each.unusable)
            self.first_unusable += each.unusable[: SHOWN - len(self.first_unusable)]
            for fact in each.facts:
                text = fact.fact.model_dump_json(exclude_unset=True)
                self._facts.write(f"{fact.index} {fact.line or 0} {text}\n".encode())
