"""Waiting until a version is in service."""

from __future__ import annotations

import asyncio
import time

from app.domain.contract import Question
from app.domain.errors import VersionNotReached
from workers.serving.dependencies import Held

VERSION_POLL_S = 0.02


async def reached(host: Held, request: Question) -> None:
    """Wait until the version that the request wants is in service, as long as the request allows.

    Raises:
        VersionNotReached: it did not come in time.
    """
    deadline = time.monotonic() + request.wait_seconds
    while host.version < request.min_version:
        if time.monotonic() >= deadline:
            detail = f"version {request.min_version} was not in service after {request.wait_seconds:g} s"
            raise VersionNotReached(f"{detail}; it is {host.version}", field="min_version", value=request.min_version)
        await asyncio.sleep(VERSION_POLL_S)
