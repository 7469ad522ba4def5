"""Requests to the front end, and its answers as they are on the wire."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from fastapi.testclient import TestClient


def posted(
    client: TestClient, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """What a POST is answered with."""
    response = client.post(path, json=body, headers=headers)
    return httpx.Response(response.status_code, headers=dict(response.headers), content=response.content)
