"""A typed client of the service, sync and async; `from palimpsest import Client` gives the same.

It needs neither torch nor a web framework.
"""

from __future__ import annotations

from app.client.async_client import AsyncClient
from app.client.client import DEFAULT_URL, Client
from app.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    Forbidden,
    InvalidRequest,
    JobUnsuccessful,
    NotFound,
    ServiceUnreachable,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
    WaitTimeout,
)
from app.client.events import JobEvent
from app.client.handles import AsyncJobHandle, JobHandle

__all__ = [
    "DEFAULT_URL",
    "ApiError",
    "AsyncClient",
    "AsyncJobHandle",
    "Client",
    "ClientError",
    "Conflict",
    "Forbidden",
    "InvalidRequest",
    "JobEvent",
    "JobHandle",
    "JobUnsuccessful",
    "NotFound",
    "ServiceUnreachable",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedAnswer",
    "WaitTimeout",
]
