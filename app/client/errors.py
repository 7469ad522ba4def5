"""What a client raises.

ClientError
├── ApiError            the service refused: status, code, detail, field, value
│   ├── InvalidRequest      422, 400, 413: the request is at fault
│   ├── Unauthenticated     401: no key, or none that is known
│   ├── Forbidden           403: the key may not do this
│   ├── NotFound            404
│   ├── Conflict            409, 412: the state of things does not allow it
│   ├── TooManyRequests     429
│   └── Unavailable         503: the same request may succeed later
├── ServiceUnreachable  no answer came
├── UnexpectedAnswer    an answer came that is none of this service's
├── JobUnsuccessful     a job that was waited for failed, was rejected or cancelled
└── WaitTimeout         a job did not end in time
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import httpx
from pydantic import ValidationError

from app.domain.contract import Job, Problem
from app.domain.problems import FieldError, ValidationProblem

EXCERPT = 200
"""Characters shown of an answer that is no problem of ours."""


class ClientError(Exception):
    """Base of the tree."""


class ApiError(ClientError):
    """The service's refusal.

    Attributes:
        problem: the whole of it.
        retry_after: seconds after which it may be sent again; None: not said.
        request_id: what the service's log calls the request; None: not said.
    """

    def __init__(self, problem: Problem, retry_after: float | None = None, request_id: str | None = None) -> None:
        super().__init__(f"{problem.code}: {problem.detail}" + (f" ({problem.field})" if problem.field else ""))
        self.problem = problem
        self.retry_after = retry_after
        self.request_id = request_id

    @property
    def status(self) -> int:
        """Of HTTP."""
        return self.problem.status

    @property
    def code(self) -> str:
        """Stable, for programs; the API's description lists them."""
        return self.problem.code

    @property
    def detail(self) -> str:
        """One sentence for a person."""
        return self.problem.detail

    @property
    def field(self) -> str | None:
        """Dotted path of the field at fault (``facts.3.prompt``)."""
        return self.problem.field

    @property
    def value(self) -> Any:
        """What stood there, shortened."""
        return self.problem.value

    @property
    def errors(self) -> tuple[FieldError, ...]:
        """All that is wrong with a request that does not have the right form, or the first part of it."""
        return self.problem.errors if isinstance(self.problem, ValidationProblem) else ()


class InvalidRequest(ApiError):
    """The request is at fault; sending it again will not help."""


class Unauthenticated(ApiError):
    """The service wants a key, and got none that it knows."""


class Forbidden(ApiError):
    """The key may not do this."""


class NotFound(ApiError):
    """What was asked for is not there."""


class Conflict(ApiError):
    """The state of the job, the model or its edit log does not allow what was asked."""


class TooManyRequests(ApiError):
    """More than the service takes in so short a time."""


class Unavailable(ApiError):
    """Something the service needs is away, or a queue is full; the same request may succeed later."""


class ServiceUnreachable(ClientError):
    """No answer came: nobody listens there, or the connection broke."""


class UnexpectedAnswer(ClientError):
    """An answer that is not this service's, or of a version of it that this client does not know."""


class JobUnsuccessful(ClientError):
    """A job that was waited for did not succeed; ``job`` says why."""

    def __init__(self, job: Job) -> None:
        why = job.error.detail if job.error else (job.report.rejected if job.report else None)
        super().__init__(f"job {job.id} was {job.status}" + (f": {why}" if why else ""))
        self.job = job


class WaitTimeout(ClientError, TimeoutError):
    """The job did not end in time; it goes on, and can be waited for again."""


BY_STATUS: Mapping[int, type[ApiError]] = MappingProxyType(
    {
        400: InvalidRequest,
        401: Unauthenticated,
        403: Forbidden,
        404: NotFound,
        405: NotFound,
        409: Conflict,
        412: Conflict,
        413: InvalidRequest,
        422: InvalidRequest,
        429: TooManyRequests,
        503: Unavailable,
    }
)


def error_of(response: httpx.Response) -> ApiError:
    """The error that a response tells of; its body has been read."""
    problem = _problem(response)
    kind = BY_STATUS.get(response.status_code, ApiError)
    return kind(problem, seconds(response.headers.get("Retry-After")), response.headers.get("X-Request-ID"))


def _problem(response: httpx.Response) -> Problem:
    for form in (ValidationProblem, Problem):
        with suppress(ValidationError):
            return form.model_validate_json(response.content)
    known = _phrase(response.status_code)  # it is a proxy's, for instance
    code = known.lower().replace(" ", "_")
    return Problem(title=known, status=response.status_code, code=code, detail=response.text[:EXCERPT] or known)


def seconds(header: str | None) -> float | None:
    """What ``Retry-After`` says, if it is a number of seconds."""
    return float(header) if header is not None and header.isdecimal() else None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"
