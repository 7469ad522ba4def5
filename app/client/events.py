"""What a job's event stream says: server-sent events, read as they come."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

import httpx
from pydantic import ValidationError

from app.client.errors import UnexpectedAnswer, error_of
from app.domain.contract import Job, Progress

Kind = Literal["status", "progress", "end"]

LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")  # a return at the very end may be half of an end of line


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One thing that happened to a job. ``job`` is there of `status` and `end`, ``progress`` of `progress`."""

    kind: Kind
    job: Job | None = None
    progress: Progress | None = None

    @property
    def share(self) -> float | None:
        """Rough share of the job that is done, if this event tells it."""
        told = self.progress or (self.job.progress if self.job else None)
        return told.share if told else None


class EventStream:
    """Takes the bytes of a stream, gives the events that are whole, and remembers where to go on."""

    def __init__(self) -> None:
        self.last_id: str | None = None
        self._rest = b""
        self._kind, self._data = "", list[str]()

    def headers(self) -> dict[str, str]:
        """What to ask with, so that nothing is told twice. Forgets half an event of a broken connection."""
        self._rest, self._kind, self._data = b"", "", []
        return {} if self.last_id is None else {"Last-Event-ID": self.last_id}

    def feed(self, chunk: bytes) -> Iterator[JobEvent]:
        """The events that end in this chunk.

        Raises:
            UnexpectedAnswer: one is not as this client knows it.
        """
        *lines, self._rest = LINE_END.split(self._rest + chunk)
        for line in lines:
            if line:
                self._field(line.decode(errors="replace"))
            elif (event := self._event()) is not None:
                yield event

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
        elif name == "id":
            self.last_id = value

    def _event(self) -> JobEvent | None:
        kind, text = self._kind, "\n".join(self._data)
        self._kind, self._data = "", []
        try:
            if kind == "progress":
                return JobEvent("progress", progress=Progress.model_validate_json(text))
            if kind == "status" or kind == "end":  # noqa: PLR1714 - mypy narrows a literal by ==
                return JobEvent("end" if kind == "end" else "status", job=Job.model_validate_json(text))
        except ValidationError:
            raise UnexpectedAnswer(f"an event {kind} whose data are not as known") from None
        return None  # a kind that a later service may have


def streams(response: httpx.Response) -> bool:
    """Whether the service tells events; False: it has no such route, and the job has to be asked for.

    Raises:
        ApiError: it refuses. The body of a refusal must have been read.
    """
    if response.is_success:
        return str(response.headers.get("Content-Type", "")).startswith("text/event-stream")
    error = error_of(response)
    if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED) and error.code != "unknown_job":
        return False
    raise error
