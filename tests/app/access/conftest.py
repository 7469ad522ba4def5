"""A front end that lets in whoever has a key; and one that has no key, as a stranger meets it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.main import create_app
from app.settings import Settings
from tests.support.api_keys import Headers, key_for


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Shut, unless there is a key."""
    return settings.model_copy(update={"allow_open": False})


@pytest.fixture
def owner(settings: Settings) -> Headers:
    """The headers of a key that may do everything."""
    return key_for(settings, "owner")


@pytest.fixture
def client(settings: Settings, owner: Headers, redis: Redis) -> Iterator[TestClient]:
    """A client without a key, of a service that has one."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client
