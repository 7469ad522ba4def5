"""Listening to server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Heard:
    """One event."""

    name: str
    data: dict[str, Any]
    id: str | None


@contextmanager
def listening(http: httpx.Client, path: str, last: str | None = None) -> Iterator[Iterator[Heard]]:
    """The events of a stream, as they come, until the server ends it."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with http.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield heard_in(response.iter_lines())


def heard_in(lines: Iterator[str]) -> Iterator[Heard]:
    """The events that stand in these lines; comments are no events."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
        elif "data" in fields:
            yield Heard(fields["event"], json.loads(fields["data"]), fields.get("id"))
        fields = fields if line else {}
