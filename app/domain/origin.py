"""Where the work at hand comes from: the request and the job that every log line of it names.

What crosses from the front end to a worker, in a request's headers and in a queued job, is what ``handed_on`` gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from secrets import token_hex

REQUEST_ID = "x-request-id"
TRACE_PARENT = "traceparent"
"""Of W3C Trace Context."""

FORMS: Mapping[str, re.Pattern[str]] = {
    REQUEST_ID: re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"),
    TRACE_PARENT: re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"),
}
"""What a value may look like; another is not taken over, since it would stand in our log and in our headers."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request that is being answered, or that a job came with."""
job_id: ContextVar[str | None] = ContextVar("job_id", default=None)
"""The job that is being done."""
trace_parent: ContextVar[str | None] = ContextVar("trace_parent", default=None)
"""The span of the request that is being answered; None where nothing is traced."""


def begin(given: str | None) -> str:
    """Give the rest of this context a request's id: a caller's own, or a new one if that has not the form."""
    known = given if given is not None and FORMS[REQUEST_ID].fullmatch(given) else token_hex(8)
    request_id.set(known)
    return known


def handed_on() -> dict[str, str]:
    """What a worker is to be told of the work at hand."""
    told = {REQUEST_ID: request_id.get(), TRACE_PARENT: trace_parent.get()}
    return {name: value for name, value in told.items() if value is not None}


def taken_over(told: Mapping[str, object]) -> dict[str, str]:
    """What of that is well formed; all else is dropped."""
    found = {name: told.get(name) for name in FORMS}
    return {name: text for name, text in found.items() if isinstance(text, str) and FORMS[name].fullmatch(text)}


def adopt(told: Mapping[str, object]) -> None:
    """Let the rest of this context be work that was handed over, also what a server logs after the answer."""
    for variable, value in _values(told).items():
        variable.set(value)


@contextmanager
def coming_from(told: Mapping[str, object], job: str | None = None) -> Iterator[None]:
    """Work that was handed over: until the block ends, its log lines name the request and the job."""
    with ExitStack() as stack:
        for variable, value in {**_values(told), job_id: job}.items():
            stack.callback(variable.reset, variable.set(value))
        yield


def _values(told: Mapping[str, object]) -> dict[ContextVar[str | None], str | None]:
    known = taken_over(told)
    return {request_id: known.get(REQUEST_ID), trace_parent: known.get(TRACE_PARENT)}
