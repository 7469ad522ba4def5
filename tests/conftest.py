"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from app.local.embedded_redis import embedded_redis

# Examples are judged by what they give, never by how long a busy machine takes for them.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis server, one for the whole run."""
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url
