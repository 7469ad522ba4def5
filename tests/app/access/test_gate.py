"""The gate: whoever brings no valid key is answered with 401, whatever they ask for and however they write it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from starlette.websockets import WebSocketDisconnect

from app.access.caller import Scope
from app.access.keys import KeyFolder
from app.main import create_app
from app.settings import Settings
from tests.app.test_service import serving
from tests.support.api_keys import Headers, bearing, key_for


def refused(answer: Any) -> bool:
    """Whether a response is the gate's own, all of it as documented."""
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == 'Bearer realm="palimpsest"'
    return bool(answer.request.method == "HEAD") or answer.json()["code"] == "unauthenticated"


class TestAKey:
    def test_lets_its_owner_in(self, client: TestClient, owner: Headers) -> None:
        assert client.get("/jobs", headers=owner).json()["jobs"] == []

    def test_is_looked_for_whatever_the_spelling_of_its_scheme(self, client: TestClient, owner: Headers) -> None:
        key = owner["Authorization"].partition(" ")[2]
        for value in (f"bearer {key}", f"BEARER {key}", f"Bearer   {key} "):
            assert client.get("/jobs", headers={"Authorization": value}).status_code == 200

    def test_that_is_made_while_the_service_runs_is_good_within_a_second(
        self, client: TestClient, settings: Settings
    ) -> None:
        assert refused(client.get("/jobs"))
        late = key_for(settings, "late")
        assert soon(lambda: client.get("/jobs", headers=late).status_code == 200)

    def test_that_is_revoked_is_good_for_a_second_at_most(
        self, client: TestClient, settings: Settings, owner: Headers
    ) -> None:
        assert client.get("/jobs", headers=owner).status_code == 200
        KeyFolder(settings.keys_dir).revoke("owner")
        assert soon(lambda: client.get("/jobs", headers=owner).status_code == 401)
        assert "revoked" in client.get("/jobs", headers=owner).json()["detail"]
        assert refused(client.get("/jobs"))  # the last key is gone, and the service is not open for that

    def test_that_has_expired_is_good_for_nothing(self, client: TestClient, settings: Settings) -> None:
        old = key_for(settings, "old", expires=datetime.now(UTC) - timedelta(seconds=1))
        assert soon(lambda: "expired" in client.get("/jobs", headers=old).json()["detail"])
        assert refused(client.get("/jobs", headers=old))

    def test_expires_without_a_change_on_disk(self, settings: Settings, owner: Headers, redis: Redis) -> None:
        brief = key_for(settings, "brief", expires=datetime.now(UTC) + timedelta(seconds=1))
        with TestClient(create_app(settings)) as client:
            assert client.get("/jobs", headers=brief).status_code == 200
            assert soon(lambda: client.get("/jobs", headers=brief).status_code == 401)

    def test_stands_in_no_log_line(self, client: TestClient, owner: Headers, caplog: pytest.LogCaptureFixture) -> None:
        client.get("/jobs", headers=owner)
        client.get("/jobs", headers=bearing("palimpsest_wrong"))
        assert owner["Authorization"].partition(" ")[2] not in caplog.text
        assert "palimpsest_wrong" not in caplog.text


def soon(holds: Callable[[], bool], seconds: float = 2.0) -> bool:
    """Whether it holds within a time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


WRONG: list[tuple[str, list[bytes]]] = [
    ("nothing", []),
    ("an empty header", [b""]),
    ("a scheme alone", [b"Bearer"]),
    ("a scheme and a space", [b"Bearer "]),
    ("an empty key in quotes", [b'Bearer ""']),
    ("an unknown key", [b"Bearer palimpsest_" + b"A" * 43]),
    ("another scheme", [b"Basic KEY"]),
    ("no scheme", [b"KEY"]),
    ("a key and more", [b"Bearer KEY,KEY"]),
    ("two keys", [b"Bearer KEY KEY"]),
    ("a key cut short", [b"Bearer KE"]),
    ("a key with a zero byte", [b"Bearer KEY\x00"]),
    ("bytes that are no text", [b"Bearer \xff\xfe\x80"]),
    ("another script", ["Bearer palimpsest_ключ".encode()]),
    ("another script's dash", ["Bearer palimpsest–".encode()]),
    ("a long key", [b"Bearer " + b"A" * 1025]),
    ("a very long key", [b"Bearer " + b"A" * 1_000_000]),
    ("the header twice", [b"Bearer KEY", b"Bearer KEY"]),
    ("a wrong one first", [b"Bearer wrong", b"Bearer KEY"]),
    ("a wrong one last", [b"Bearer KEY", b"Bearer wrong"]),
    ("a format string", [b"Bearer %s%s{0}{}"]),
    ("a star", [b"Bearer *"]),
]


@pytest.mark.parametrize(("what", "values"), WRONG, ids=[what for what, _ in WRONG])
def test_a_wrong_header_lets_nobody_in(client: TestClient, owner: Headers, what: str, values: list[bytes]) -> None:
    key = owner["Authorization"].partition(" ")[2].encode()
    headers = [(b"Authorization", value.replace(b"KEY", key).replace(b"KE", key[:-1])) for value in values]
    answer = client.get("/jobs", headers=headers)
    assert refused(answer), what


@pytest.mark.parametrize("where", ["?key=KEY", "?access_token=KEY", "?api_key=KEY"])
def test_a_key_in_the_address_is_none(client: TestClient, owner: Headers, where: str) -> None:
    """Addresses stand in logs and histories."""
    assert refused(client.get("/jobs" + where.replace("KEY", owner["Authorization"].partition(" ")[2])))


def test_a_key_in_a_cookie_is_none(client: TestClient, owner: Headers) -> None:
    """A browser would send it for any page that asks."""
    key = owner["Authorization"].partition(" ")[2]
    assert refused(client.get("/jobs", headers={"Cookie": f"key={key}; Authorization=Bearer {key}"}))


PATHS = [
    "/jobs/",
    "//jobs",
    "/./jobs",
    "/healthz/",
    "//healthz",
    "/healthz/../jobs",
    "/healthz/jobs",
    "/healthz;/jobs",
    "/HEALTHZ",
    "/%68ealthz/../jobs",
    "/healthz%2f..%2fjobs",
    "/healthz%00",
    "/healthz%0a",
    "/%2e/jobs",
    "/jobs%20",
    "/j%6fbs",
    "/page",
    "/pages/x",
    "/nowhere",
    "/models/../jobs",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/docs/oauth2-redirect",
    "/metrics",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "TRACE", "PROPFIND"])
def test_no_spelling_of_a_path_gets_past(client: TestClient, path: str, method: str) -> None:
    request = client.build_request(method, "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    assert refused(client.send(request, follow_redirects=False))


def test_a_preflight_needs_a_key_and_allows_no_page_from_elsewhere(client: TestClient, owner: Headers) -> None:
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    assert refused(client.options("/edits", headers=asked))
    for headers in (asked, {**asked, **owner}):
        assert "access-control-allow-origin" not in client.options("/edits", headers=headers).headers


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_what_is_open_needs_no_key(client: TestClient, path: str, headers: Headers) -> None:
    answer = client.get(path, headers=headers)
    assert answer.status_code != 401
    assert "atlas" not in answer.text


@pytest.mark.parametrize("path", ["/page/../jobs", "/page/..%2fjobs", "/page/%2e%2e/jobs", "/page//jobs", "/page/jobs"])
def test_the_open_folder_leads_nowhere_else(client: TestClient, path: str) -> None:
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    assert client.send(request, follow_redirects=False).status_code in (401, 404)


def test_there_is_no_way_in_by_websocket(client: TestClient, owner: Headers) -> None:
    for path in ("/jobs", "/healthz", "/page/live"):
        with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect(path, headers=owner):
            pass
        assert closed.value.code == 1008


@pytest.mark.parametrize(
    "head",
    [
        "POST /edits HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 4000000",
        "POST /edits HTTP/1.1\r\nTransfer-Encoding: chunked",
        "OPTIONS * HTTP/1.1",
        "GET http://localhost/jobs HTTP/1.1",
        "GET http://localhost/healthz/../jobs HTTP/1.1",
        "GET /healthz?/../jobs#/jobs HTTP/1.1",
    ],
)
def test_the_answer_comes_before_a_body_is_read(settings: Settings, owner: Headers, redis: Redis, head: str) -> None:
    with serving(create_app(settings)) as url:
        port = urlsplit(url).port
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(f"{head}\r\nHost: localhost\r\n\r\n".encode())  # and nothing more
            status = connection.recv(1000).split(b" ")[1]
    assert status == (b"200" if "/healthz?" in head else b"401")


def test_unreadable_keys_let_nobody_in(settings: Settings, owner: Headers, redis: Redis) -> None:
    with TestClient(create_app(settings)) as client:
        assert client.get("/jobs", headers=owner).status_code == 200
        Path(settings.keys_dir / "owner.json").unlink()
        Path(settings.keys_dir / "owner.json").mkdir()
        assert soon(lambda: client.get("/jobs", headers=owner).status_code == 503)
        assert client.get("/jobs").status_code == 503
        assert client.get("/healthz").status_code == 200


def test_a_damaged_key_is_told_of_once_and_opens_nothing(
    settings: Settings, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    settings.keys_dir.mkdir()
    (settings.keys_dir / "bad.json").write_text("{")
    with TestClient(create_app(settings)) as client:
        assert refused(client.get("/jobs"))
        time.sleep(1.1)
        assert refused(client.get("/jobs"))
    assert caplog.text.count("good for nothing: ('bad',)") == 1


def test_two_front_ends_share_the_keys(settings: Settings, owner: Headers, redis: Redis) -> None:
    with TestClient(create_app(settings)) as one, TestClient(create_app(settings)) as other:
        late = key_for(settings, "late", [Scope.QUERY])
        for client in (one, other):
            assert soon(lambda client=client: client.get("/jobs", headers=late).status_code == 200)  # type: ignore[misc]
        KeyFolder(settings.keys_dir).revoke("late")
        for client in (one, other):
            assert soon(lambda client=client: client.get("/jobs", headers=late).status_code == 401)  # type: ignore[misc]
