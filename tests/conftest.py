"""What all tests share."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from app.local.embedded_redis import embedded_redis
from tests.support.marks import PROCESSES, ProcessWatch, put_marks

# Examples are judged by what they give, never by how long a busy machine takes for them.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

_WATCH = ProcessWatch()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """``make quick`` leaves tests out by their marks."""
    put_marks(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """No process for a test without the mark, nor for its fixtures."""
    _WATCH.unmarked = None if item.get_closest_marker(PROCESSES) else item.nodeid
    try:
        return (yield)
    finally:
        _WATCH.unmarked = None


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis server, one for the whole run."""
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url
