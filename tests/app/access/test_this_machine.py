"""While no key exists: programs on this machine are answered, and nobody else, not even by way of its browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.access.caller import Scope
from app.access.openness import refuse_open
from app.domain.addresses import is_loopback
from app.domain.errors import Forbidden
from app.main import create_app
from app.settings import Settings
from tests.support.api_keys import Headers, key_for


@pytest.mark.parametrize(
    ("host", "reached_from_here_alone"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("127.1", False),  # some programs take it for 127.0.0.1; ours need not
        ("2130706433", False),
        ("127.0.0.1/8", False),
    ],
)
def test_which_addresses_are_reached_from_this_machine_alone(host: str, reached_from_here_alone: bool) -> None:
    assert is_loopback(host) == reached_from_here_alone


def asked(settings: Settings, host: str, address: str = "127.0.0.1", **headers: str) -> int:
    """The status of a request from there, of a service that has no key."""
    app = create_app(settings)
    with TestClient(app, base_url=f"http://{host}", client=(address, 5000), raise_server_exceptions=False) as sent:
        return sent.get("/jobs", headers={name.replace("_", "-"): value for name, value in headers.items()}).status_code


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "localhost", "[::1]:8000"])
def test_a_program_on_this_machine_is_answered(settings: Settings, redis: Redis, host: str) -> None:
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert asked(settings, host, address) == 200
    assert asked(settings, host, authorization="Bearer none") == 200  # clients that always send one


@pytest.mark.parametrize("address", ["10.0.0.7", "172.17.0.1", "::ffff:10.0.0.7", "fe80::1", "testclient", ""])
def test_another_machine_is_not(settings: Settings, redis: Redis, address: str) -> None:
    assert asked(settings, "127.0.0.1:8000", address) == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_for": "127.0.0.1"},
        {"forwarded": "for=127.0.0.1"},
        {"x_real_ip": "127.0.0.1"},
        {"via": "1.1 proxy"},
    ],
)
def test_a_proxy_on_this_machine_is_not(settings: Settings, redis: Redis, headers: Headers) -> None:
    assert asked(settings, "127.0.0.1:8000", **headers) == 401


@pytest.mark.parametrize("host", ["rebound.example.org", "rebound.example.org:8000", "10.0.0.7", "localhost.evil.org"])
def test_a_web_page_whose_name_leads_here_is_not(settings: Settings, redis: Redis, host: str) -> None:
    assert asked(settings, host) == 401


@pytest.mark.parametrize(
    "origin",
    [
        "https://elsewhere.example",
        "null",
        "http://localhost:3000",
        "http://127.0.0.1",
        "http://127.0.0.1:8000.evil.org",
    ],
)
def test_a_web_page_from_elsewhere_is_not(settings: Settings, redis: Redis, origin: str) -> None:
    assert asked(settings, "127.0.0.1:8000", origin=origin) == 401


def test_the_services_own_page_is(settings: Settings, redis: Redis) -> None:
    assert asked(settings, "127.0.0.1:8000", origin="http://127.0.0.1:8000") == 200


def test_it_is_said_in_the_log(settings: Settings, redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    asked(settings, "127.0.0.1")
    assert "no API key exists, so the service answers programs on this machine alone" in caplog.text
    caplog.clear()
    asked(settings.model_copy(update={"allow_open": True}), "127.0.0.1")
    assert "no API key exists, so the service answers whoever can reach it" in caplog.text
    caplog.clear()
    key_for(settings, "ci", [Scope.QUERY])
    asked(settings, "127.0.0.1")
    assert "no API key exists" not in caplog.text


@pytest.fixture
def open_to_all(settings: Settings, redis: Redis) -> Iterator[TestClient]:
    with TestClient(create_app(settings.model_copy(update={"allow_open": True}))) as client:
        yield client


def test_whoever_wants_it_open_may_have_it_so_until_there_is_a_key(settings: Settings, open_to_all: TestClient) -> None:
    assert open_to_all.get("/jobs").status_code == 200


def test_a_key_shuts_what_was_open(settings: Settings, redis: Redis) -> None:
    key_for(settings, "ci", [Scope.QUERY])
    assert asked(settings, "127.0.0.1:8000") == 401
    assert asked(settings.model_copy(update={"allow_open": True}), "127.0.0.1:8000") == 401


class TestListening:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org"])
    def test_elsewhere_needs_a_key(self, settings: Settings, host: str) -> None:
        with pytest.raises(Forbidden, match="palimpsest keys create"):
            refuse_open(host, settings)
        refuse_open(host, settings.model_copy(update={"allow_open": True}))
        key_for(settings, "ci", [Scope.QUERY])
        refuse_open(host, settings)

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
    def test_here_needs_none(self, settings: Settings, host: str) -> None:
        refuse_open(host, settings)
