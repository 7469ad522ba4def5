"""Where the work at hand comes from: the request and the job that every log line of it names.

What crosses from the front end to a worker, in a request's headers and in a queued job, is what ``handed_on`` gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from secrets import token_hex

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

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
_SPANS = TraceContextTextMapPropagator()


def begin(given: str | None) -> str:
    """Give the rest of this context a request's id: a caller's own, or a new one if that has not the form."""
    known = given if given is not None and FORMS[REQUEST_ID].fullmatch(given) else token_hex(8)
    request_id.set(known)
    return known


def handed_on() -> dict[str, str]:
    """What a worker is to be told of the work at hand."""
    told = {REQUEST_ID: request_id.get()}
    known = {name: value for name, value in told.items() if value is not None}
    _SPANS.inject(known)  # the span at hand, if there is one
    return taken_over(known)


def taken_over(told: Mapping[str, object]) -> dict[str, str]:
    """What of that is well formed; all else is dropped."""
    found = {name: told.get(name) for name in FORMS}
    return {name: text for name, text in found.items() if isinstance(text, str) and FORMS[name].fullmatch(text)}


def adopt(told: Mapping[str, object]) -> None:
    """Let the rest of this context belong to the request that was handed over, also after its answer."""
    request_id.set(taken_over(told).get(REQUEST_ID))


@contextmanager
def coming_from(told: Mapping[str, object], job: str | None = None) -> Iterator[None]:
    """Work that was handed over: until the block ends, log lines name the request and the job, and spans are its."""
    known = taken_over(told)
    with ExitStack() as stack:
        for variable, value in ((request_id, known.get(REQUEST_ID)), (job_id, job)):
            stack.callback(variable.reset, variable.set(value))
        stack.callback(detach, attach(_SPANS.extract(known, Context())))
        yield
