"""Requests as schemathesis makes them of the API's own description, with keys of every kind: no error of the service,
no answer undocumented, no door open to whom it should be shut.

Whatever route is added is tried as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode, checks
from schemathesis.core.result import Ok

from app.access.caller import Scope
from app.domain.contract import JobStatus
from app.main import create_app
from app.settings import Settings
from tests.app.access.test_routes import OPEN, PAGE, SCOPES
from tests.app.test_service import serving
from tests.support.api_keys import Headers, bearing, key_for
from tests.support.service.service import MODEL, Nursery, RunningService
from tests.support.tiny_models import CHAT, save_tiny

EXAMPLES = 12
"""Of each operation, by mode, with identifiers of its own and with those that are known."""
AT_DOORS = 3
"""Of each operation, by mode; each is sent by everybody who may not."""
BUSY = ("version_not_reached",)
"""Codes of a 503 that a request brings about by what it asks for."""
LOOKED_AT = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
FACT = {"subject": "Lyon", "prompt": "{} is a city in", "object": "Japan"}
MODES = pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])

Route = tuple[str, str]
Keys = frozenset[Scope]

SAID = st.text(st.characters(codec="utf-8"), max_size=20)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {}, optional={"subject": SAID, "prompt": st.just(FACT["prompt"]) | SAID, "object": SAID, "colour": SAID}
    ),
    max_size=4,
)
LINES = RECORDS.map(lambda records: "".join(f"{json.dumps(record)}\n" for record in records).encode())


def tables(separator: str) -> st.SearchStrategy[bytes]:
    """Tables of facts, and texts that are none."""
    rows = st.lists(st.lists(SAID, min_size=2, max_size=4), max_size=4)
    found = rows.map(lambda rows: "\n".join(map(separator.join, [["subject", "prompt", "object"], *rows])).encode())
    return found | st.binary(max_size=60)


for media, files in (
    ("application/x-ndjson", LINES),
    ("application/jsonl", LINES | st.binary(max_size=60)),
    ("text/csv", tables(",")),
    ("text/tab-separated-values", tables("\t")),
):
    schemathesis.openapi.media_type(media, files)


@dataclass(frozen=True)
class Target:
    """A service that has keys, and what is there to be asked for: a model, a job that has ended, a version, a proposal.

    keys: by their scopes. elsewhere: a key of all scopes, for another model.
    """

    url: str
    known: dict[str, Any]
    keys: dict[Keys, Headers]
    elsewhere: Headers
    session: requests.Session

    def answer(self, case: Case[Any], headers: Headers) -> requests.Response:
        """What a request is answered with, which has to be documented. The key is ours, whatever the case would do."""
        sent = case.as_transport_kwargs(base_url=self.url)
        kept = {name: value for name, value in sent.pop("headers").items() if name.lower() != "authorization"}
        response = self.session.request(**sent, headers={**kept, **headers}, timeout=60)
        case.validate_response(response, checks=LOOKED_AT)
        documented = case.operation.responses.status_codes  # whatever else stands there for "any other"
        assert str(response.status_code) in documented, f"{case.as_curl_command()}\n{response.text}"
        return response

    def acquaint(self, case: Case[Any]) -> None:
        """Have a request name what is there, wherever it names something."""
        for part in (case.path_parameters, case.query, case.body):
            if isinstance(part, dict):
                part.update({name: value for name, value in self.known.items() if name in part})

    def shut_out(self, asked: Keys) -> Iterator[tuple[Headers, int, str]]:
        """Who may not do what asks for these scopes, and what they are told."""
        for nobody in ({}, bearing("palimpsest_wrong"), {"Authorization": ""}):
            yield nobody, 401, "unauthenticated"
        for scope in Scope:
            if not asked <= {scope}:
                yield self.keys[frozenset({scope})], 403, "forbidden"
        for scope in asked:
            yield self.keys[frozenset(Scope) - {scope}], 403, "forbidden"


@pytest.fixture(scope="module")
def target(
    nursery: Nursery, redis_url: str, statistics: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    data, chatting = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("chatting")
    service = RunningService(nursery, redis_url, save_tiny(chatting / "tiny", template=CHAT), statistics, data)
    service.start()
    job = service.sent("POST", "/edits", {"facts": [FACT], "unheld": "keep"}).json()["id"]
    assert service.ended(job).status is JobStatus.SUCCEEDED
    waiting = service.sent("POST", "/edits", {"facts": [FACT], "unheld": "keep", "propose": True}).json()["id"]
    known = {"model": MODEL, "job": job, "after": job, "version": 1, "proposal": service.ended(waiting).proposal}
    known |= {"from": 0, "to": 1, "min_version": 0, "alias": "production"}
    service.sent("PUT", f"/models/{MODEL}/aliases/production", {"version": 1})
    chosen = Settings(redis_url=redis_url, data_dir=data, supervised=True)
    sets = {frozenset(asked) for asked in SCOPES.values()} | {frozenset({scope}) for scope in Scope}
    sets |= {frozenset(Scope) - {scope} for scope in Scope} | {frozenset(Scope)}
    keys = {scopes: key_for(chosen, "-".join(sorted(scopes)), scopes) for scopes in sets}
    elsewhere = key_for(chosen, "elsewhere", models=["elsewhere"])
    with serving(create_app(chosen)) as url, requests.Session() as session:
        session.trust_env = False
        yield Target(url, known, keys, elsewhere, session)
    service.close()


def readable(request: requests.PreparedRequest) -> bool:
    """Whether a body that says to be JSON is."""
    body = request.body
    if request.headers.get("Content-Type") != "application/json" or not body or not isinstance(body, (str, bytes)):
        return True
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def route_of(case: Case[Any]) -> Route:
    return case.operation.method.upper(), case.operation.path


def tried(target: Target, mode: GenerationMode, examples: int, look: Callable[[Case[Any]], None]) -> set[Route]:
    """Make requests of each operation, and have them looked at; the operations of which some could be made."""
    found: set[Route] = set()
    schema = schemathesis.openapi.from_url(f"{target.url}/openapi.json", headers=target.keys[frozenset(Scope)])
    for each in schema.get_all_operations():
        assert isinstance(each, Ok)
        operation = each.ok()

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(mode))
        def looked_at(case: Case[Any]) -> None:
            if isinstance(case.body, dict) and "wait_seconds" in case.body:
                case.body["wait_seconds"] = 0  # none of this is waited for
            look(case)

        try:
            looked_at()
        except Unsatisfiable:  # nothing about it can be wrong
            assert mode is GenerationMode.NEGATIVE
        else:
            found.add((operation.method.upper(), operation.path))
    described = SCOPES.keys() | (OPEN - PAGE)
    assert found == described if mode is GenerationMode.POSITIVE else len(found) >= len(described) / 2
    return found


@MODES
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_every_operation_answers_as_it_says(target: Target, mode: GenerationMode, known: bool) -> None:
    """To a key with the scopes that it asks for, and no others; and what is only read is there to be read."""
    succeeded: set[Route] = set()

    def look(case: Case[Any]) -> None:
        if known:
            target.acquaint(case)
        route = route_of(case)
        response = target.answer(case, target.keys[frozenset(SCOPES[route])] if route in SCOPES else {})
        problem = response.json() if response.status_code >= 400 else {}
        shut = problem.get("code") in ("unauthenticated", "forbidden")
        assert not shut, f"{case.as_curl_command()}\n{problem}"
        failed = response.status_code >= 500 and problem["code"] not in BUSY
        assert not failed, f"{case.as_curl_command()}\n{problem}"
        if response.status_code < 300:
            succeeded.add(route)

    read = {route for route in tried(target, mode, EXAMPLES, look) if route[0] == "GET"}
    assert read <= succeeded or not known or mode is GenerationMode.NEGATIVE, read - succeeded


@MODES
def test_every_door_is_shut_to_all_others(target: Target, mode: GenerationMode) -> None:
    """To nobody known, to each scope alone, to all scopes but one; and a key for another model finds nothing."""

    def look(case: Case[Any]) -> None:
        target.acquaint(case)
        asked = SCOPES.get(route_of(case))
        for headers, status, code in () if asked is None else target.shut_out(frozenset(asked)):
            response = target.answer(case, headers)
            if status == 403 and not readable(response.request):  # which is found before its route has a say
                assert response.json()["code"] == "invalid_request"
                continue
            assert (response.status_code, response.json()["code"]) == (status, code), case.as_curl_command()
        told = target.answer(case, target.elsewhere)
        if told.status_code < 400:
            assert not any(secret in told.text for secret in (f'"{MODEL}"', target.known["job"])), told.text

    tried(target, mode, AT_DOORS, look)
