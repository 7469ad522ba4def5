"""Every route of the front end: shut without a key unless it is listed as open, and for the scopes it says alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from redis import Redis
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from app.access.caller import Scope
from app.access.requires import refuse_undeclared, requirements, requires, undeclared
from app.main import create_app
from app.settings import Settings
from tests.support.api_keys import Headers, key_for
from tests.support.histories import LYON, begin, commit
from tests.support.worker_end import WorkerEnd

PAGE = {(method, path) for method in ("GET", "HEAD") for path in ("/", "/page/{name:path}")}
OPEN = {("GET", "/healthz"), ("GET", "/readyz")} | PAGE

ANY_KEY = {(method, path) for method in ("GET", "HEAD") for path in ("/docs", "/redoc", "/openapi.json")} | {
    ("GET", "/docs/oauth2-redirect"),
    ("HEAD", "/docs/oauth2-redirect"),
}
"""The application's description of itself."""

SCOPES: dict[tuple[str, str], set[Scope]] = {
    ("POST", "/edits"): {Scope.EDIT},
    ("POST", "/edits/import"): {Scope.EDIT},
    ("DELETE", "/edits/{job}"): {Scope.PUBLISH},
    ("GET", "/jobs"): {Scope.QUERY},
    ("GET", "/jobs/{job}"): {Scope.QUERY},
    ("GET", "/jobs/{job}/events"): {Scope.QUERY},
    ("POST", "/jobs/{job}/cancel"): {Scope.EDIT},
    ("POST", "/query"): {Scope.QUERY},
    ("POST", "/generate"): {Scope.QUERY},
    ("GET", "/v1/models"): {Scope.QUERY},
    ("GET", "/v1/models/{model}"): {Scope.QUERY},
    ("POST", "/v1/completions"): {Scope.QUERY},
    ("POST", "/v1/chat/completions"): {Scope.QUERY},
    ("GET", "/models"): {Scope.QUERY},
    ("POST", "/models"): {Scope.QUERY, Scope.ADMIN},
    ("DELETE", "/models/{model}"): {Scope.QUERY, Scope.ADMIN},
    ("GET", "/models/{model}/proposals"): {Scope.QUERY},
    ("GET", "/models/{model}/proposals/{proposal}"): {Scope.QUERY},
    ("POST", "/models/{model}/proposals/{proposal}/publish"): {Scope.QUERY, Scope.PUBLISH},
    ("POST", "/models/{model}/proposals/{proposal}/drop"): {Scope.QUERY, Scope.PUBLISH},
    ("GET", "/models/{model}/aliases"): {Scope.QUERY},
    ("GET", "/models/{model}/aliases/{alias}"): {Scope.QUERY},
    ("PUT", "/models/{model}/aliases/{alias}"): {Scope.QUERY, Scope.PUBLISH},
    ("DELETE", "/models/{model}/aliases/{alias}"): {Scope.QUERY, Scope.PUBLISH},
    ("GET", "/models/{model}/serving"): {Scope.QUERY},
    ("GET", "/models/{model}/versions"): {Scope.QUERY},
    ("GET", "/models/{model}/versions/diff"): {Scope.QUERY},
    ("GET", "/models/{model}/versions/{version}"): {Scope.QUERY},
    ("GET", "/models/{model}/facts"): {Scope.QUERY},
    ("POST", "/models/{model}/rollback"): {Scope.PUBLISH},
    ("POST", "/models/{model}/revert"): {Scope.PUBLISH},
    ("POST", "/models/{model}/exports"): {Scope.ADMIN},
    ("GET", "/metrics"): {Scope.QUERY},
}
"""What each route asks for: a new route has to be put here."""


def routes(settings: Settings) -> Iterator[tuple[str, str]]:
    """Method and path template of every route that there is."""
    for route in iter_route_contexts(create_app(settings).routes):
        for method in sorted(route.methods or {"GET"}):
            yield method, str(route.path)


def filled(path: str) -> str:
    return (
        path.replace("{model}", "atlas")
        .replace("{job}", "job1")
        .replace("{version}", "1")
        .replace("{proposal}", "proposed-00000001")
        .replace("{alias}", "production")
    )


def test_every_route_is_listed_here(settings: Settings) -> None:
    assert set(routes(settings)) == OPEN | ANY_KEY | SCOPES.keys()


def test_every_route_but_the_open_ones_is_shut_without_a_key(client: TestClient, settings: Settings) -> None:
    for method, path in routes(settings):
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            answer = client.request(method, filled(path), headers=headers, follow_redirects=False)
            assert (answer.status_code == 401) == ((method, path) not in OPEN), (method, path)


def test_every_route_is_open_to_the_scopes_that_it_asks_for_and_to_no_others(
    settings: Settings, redis: Redis, worker: WorkerEnd
) -> None:
    """Every set of scopes at every route: 16 keys, none of which another one implies."""
    commit(begin(settings), "job1", LYON)
    sets = [frozenset(scope for bit, scope in enumerate(Scope) if number >> bit & 1) for number in range(16)]
    keys = {scopes: key_for(settings, "-".join(sorted(scopes)) or "none", scopes) for scopes in sets}
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        for (method, path), asked in SCOPES.items():
            for scopes, headers in keys.items():
                answer = client.request(method, filled(path), headers=headers)
                assert answer.status_code not in (401, 500, 405), (method, path, answer.text)
                assert (answer.status_code == 403) == (not asked <= scopes), (method, path, scopes)
                if answer.status_code == 403:
                    assert answer.json()["code"] == "forbidden"
                    assert answer.json()["value"] in asked - scopes
        for method, path in ANY_KEY:
            assert client.request(method, path, headers=keys[frozenset()]).status_code == 200, path


def test_what_a_key_may_not_do_is_refused_before_the_body_is_looked_at(
    settings: Settings, redis: Redis, worker: WorkerEnd
) -> None:
    reader = key_for(settings, "reader", [Scope.QUERY])
    with TestClient(create_app(settings)) as client:
        answer = client.post("/edits", json={"facts": "wrong"}, headers=reader)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert worker.asked == []


def test_the_description_says_that_a_key_is_needed(client: TestClient, owner: Headers) -> None:
    described = client.get("/openapi.json", headers=owner).json()
    assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for method, path in SCOPES:
        operation = described["paths"][path][method.lower()]
        assert operation["security"] == [{"key": []}]
        assert {"401", "403"} <= operation["responses"].keys()


class TestARouteThatSaysNothing:
    @pytest.fixture
    def app(self, settings: Settings) -> FastAPI:
        app = create_app(settings)
        assert list(undeclared(app)) == []
        return app

    def test_keeps_the_application_from_starting(self, app: FastAPI) -> None:
        @app.get("/forgotten")
        def forgotten() -> None: ...

        with pytest.raises(RuntimeError, match="forgotten"):
            refuse_undeclared(app)

    def test_is_found_in_a_router_in_a_router(self, app: FastAPI) -> None:
        inner, outer = APIRouter(), APIRouter(prefix="/outer")
        inner.get("/inner")(lambda: None)
        outer.include_router(inner, prefix="/deep")
        app.include_router(outer)
        assert list(undeclared(app)) == ["/outer/deep/inner"]

    def test_is_not_one_whose_router_says_it(self, app: FastAPI) -> None:
        inner, outer = APIRouter(), APIRouter(dependencies=[requires(Scope.ADMIN)])
        inner.get("/inner", dependencies=[requires(Scope.EDIT)])(lambda: None)
        outer.include_router(inner)
        app.include_router(outer)
        assert list(undeclared(app)) == []
        [found] = [route for route in iter_route_contexts(app.routes) if route.path == "/inner"]
        assert [each.scope for each in requirements(found)] == [Scope.ADMIN, Scope.EDIT]

    def test_may_be_any_kind_of_route(self, app: FastAPI) -> None:
        app.routes.append(Route("/plain", PlainTextResponse("?")))
        app.mount("/files", PlainTextResponse("?"))
        app.mount("/pages", PlainTextResponse("?"))
        app.routes.append(Mount("/", PlainTextResponse("?")))
        app.add_api_websocket_route("/live", lambda: None)
        assert sorted(undeclared(app)) == ["/", "/files/", "/live", "/pages/", "/plain"]

    def test_is_none_of_the_pages_files(self, app: FastAPI) -> None:
        app.mount("/page", StaticFiles(directory="/"))
        app.get("/")(lambda: None)
        assert list(undeclared(app)) == []

    def test_answers_nobody_even_so(self, settings: Settings, redis: Redis, owner: Headers) -> None:
        """The gate asks for a key where nobody has thought of it."""
        app = create_app(settings)
        app.get("/forgotten")(lambda: "?")
        with TestClient(app) as client:
            assert client.get("/forgotten").status_code == 401
