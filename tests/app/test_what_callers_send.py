"""What a caller sends is data: never a path, an address, code or a format string; and bodies are JSON alone."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from redis import Redis

from app.main import create_app
from app.settings import Settings
from tests.support.histories import LYON, begin, commit
from tests.support.worker_end import WorkerEnd

ROOT = Path(__file__).parents[2]
FACTS = {"facts": [{"subject": "Lyon", "relation": "lies in", "object": "Japan"}]}
BODIES: dict[str, Any] = {
    "/edits": FACTS,
    "/query": {"prompts": [{"prompt": "Lyon is in"}]},
    "/generate": {"prompts": ["Lyon is in"]},
    "/models": {"model": "atlas-llama"},
    "/v1/completions": {"model": "atlas", "prompt": "Lyon is in"},
    "/v1/chat/completions": {"model": "atlas", "messages": [{"role": "user", "content": "Where is Lyon?"}]},
    "/models/{model}/rollback": {"to": 0},
    "/models/{model}/revert": {"facts": [{"version": 1, "index": 0}]},
    "/models/{model}/exports": {"format": "peft"},
    "/models/{model}/aliases/{alias}": {"version": 1},
}
"""A good body for each route that takes one."""
PUT = {"/models/{model}/aliases/{alias}"}
"""Those of them that are not posted to."""

NO_NAMES = [
    "..",
    "../atlas",
    "..%2f..%2fatlas",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "atlas%2f..%2fatlas",
    "atlas%00",
    "atlas%0a",
    "%0aatlas",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "file:%2f%2f%2fetc",
    "http:%2f%2f169.254.169.254",
    ".atlas",
    "-atlas",
    "atlas ",
    "atl%61s%20",
    "~",
    "$HOME",
    "%25s",
    "{model}",
    "{0.__class__}",
    "a" * 121,
    "%ff%fe",
    "%E2%80%AE",
]


def standing(folder: Path) -> set[str]:
    """All that lies in a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def data(settings: Settings, worker: WorkerEnd) -> Path:
    """The data directory, in which `atlas` has a version."""
    commit(begin(settings), "job1", LYON)
    return settings.data_dir


OPENAI = "/v1/"


def wrong(path: str) -> int:
    """The status of a request that is at fault: where OpenAI's clients ask, the one that OpenAI has for it."""
    return 400 if path.startswith(OPENAI) else 422


def with_bodies(settings: Settings) -> Iterator[str]:
    for route in iter_route_contexts(create_app(settings).routes):
        if getattr(route, "body_field", None) is not None:
            yield str(route.path)


THERE = {"model": "atlas", "job": "job1", "version": "1", "proposal": "proposed-00000001", "alias": "production"}
NAMED = [
    (method.upper(), path, parameter)
    for path, operations in create_app(Settings(redis_url="redis://127.0.0.1:1")).openapi()["paths"].items()
    for method in operations
    for parameter in THERE
    if f"{{{parameter}}}" in path
]
"""Every route with a name in its path, and that name."""


def test_every_route_with_a_body_is_tried_here(settings: Settings) -> None:
    assert set(with_bodies(settings)) == BODIES.keys()


NO_JSON = [
    None,
    "text/plain",
    "text/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/xml",
    "application/x-yaml",
    "application/octet-stream",
    "application/x-python-pickle",
    "text/plain; application/json",
    "*/*",
]


@pytest.mark.parametrize("path", BODIES)
def test_a_body_is_json_and_says_so(client: TestClient, data: Path, worker: WorkerEnd, path: str) -> None:
    """What a web page can send without asking first has another type."""
    before, place, body = standing(data), path.format(**THERE), json.dumps(BODIES[path]).encode()
    method = "PUT" if path in PUT else "POST"
    for kind in NO_JSON:
        answer = client.request(method, place, content=body, headers={} if kind is None else {"Content-Type": kind})
        assert (answer.status_code, answer.headers["content-type"]) == (wrong(path), "application/problem+json"), kind
        assert ("error" in answer.json()) == path.startswith(OPENAI)
    assert (worker.asked, standing(data)) == ([], before)


@pytest.mark.parametrize("name", NO_NAMES)
def test_no_name_in_a_path_leads_out(
    client: TestClient, data: Path, worker: WorkerEnd, redis: Redis, name: str
) -> None:
    before, keys = standing(data), set(redis.keys("*"))
    for method, path, parameter in NAMED:
        place = path
        for other in THERE.keys() - {parameter}:
            place = place.replace(f"{{{other}}}", THERE[other])
        place = place.replace(f"{{{parameter}}}", name)
        request = client.build_request(method, "/", json=BODIES.get(path))
        request.url = request.url.copy_with(raw_path=f"{place}?from=0&to=1".replace(" ", "%20").encode())
        answer = client.send(request, follow_redirects=False)
        steps_up = request.url.path in ("/", "/models/atlas")  # whoever sends `..` goes there
        assert answer.status_code in (wrong(path), 404, 405) or steps_up, (method, path)
    assert (worker.asked, standing(data), set(redis.keys("*"))) == ([], before, keys)


@pytest.mark.parametrize(
    "name", ["..", "../atlas", "/etc/passwd", "http://169.254.169.254", "a/b", "atlas\n", "a\x00", "%s", ""]
)
def test_no_name_in_a_body_leads_out(client: TestClient, data: Path, worker: WorkerEnd, name: str) -> None:
    before = standing(data)
    for path, body in (("/edits", FACTS), ("/query", BODIES["/query"]), ("/generate", BODIES["/generate"])):
        assert client.post(path, json={**body, "model": name}).status_code == 422
    for path in (path for path in BODIES if path.startswith(OPENAI)):
        assert client.post(path, json={**BODIES[path], "model": name}).status_code == (404 if name else 400)
    assert client.post("/models", json={**BODIES["/models"], "name": name}).status_code == 422
    json_file = {"Content-Type": "application/json"}
    imported = client.post("/edits/import", content=json.dumps(FACTS), headers=json_file, params={"model": name})
    assert imported.status_code == 422
    assert client.post("/query", json={"job": name}).status_code == 422
    assert client.post("/query", json={**BODIES["/query"], "version": name}).status_code == 422
    for path in ("merged/../..", "/tmp", name):
        assert client.post("/models/atlas/exports", json={"format": path}).status_code == 422
    assert client.get("/jobs", params={"model": name}).status_code == 422
    assert (worker.asked, standing(data)) == ([], before)


FORMATS = "%s %(levelname)s {0} {self.__class__} ${HOME} $(id) `id` <b> \\x41 '; DROP --"


def test_texts_stay_as_they_are(client: TestClient, data: Path, worker: WorkerEnd, settings: Settings) -> None:
    """In the check by a worker, in the journal, and in the answer to a wrong one."""
    fact = {"subject": FORMATS, "prompt": f"Of {{}} it is said: {FORMATS.replace('{0}', '')}", "object": FORMATS}
    job = client.post("/edits", json={"facts": [fact]}).json()
    [(path, body)] = worker.asked
    assert path == "/check"
    assert json.loads(body)["facts"][0] | fact == json.loads(body)["facts"][0]
    [written] = (settings.accepted_dir / "atlas").glob(f"*{job['id']}.json")
    kept = json.loads(written.read_text())["change"]["facts"][0]
    assert kept | fact == kept
    wrong = client.post("/edits", json={"facts": [{**fact, "object": {FORMATS: 1}}]})
    assert wrong.status_code == 422
    assert wrong.json()["value"] == {FORMATS: 1}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call in the code, and where it is."""
    for path in sorted([*(ROOT / "app").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:80]}", node


def test_only_texts_of_ours_are_templates() -> None:
    for place, call in calls():
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("format", "format_map"):
            receiver = ast.unparse(call.func.value)
            assert isinstance(call.func.value, ast.Constant) or receiver.isupper() or receiver == "super()", place


RUNS_CODE = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "pickle.load",
    "pickle.loads",
    "marshal.loads",
    "torch.load",
    "yaml.load",
    "yaml.unsafe_load",
    "import_module",
    "importlib.import_module",
}


def test_nothing_runs_data_as_code() -> None:
    for place, call in calls():
        assert ast.unparse(call.func) not in RUNS_CODE, place
        given = {word.arg: word.value for word in call.keywords}
        assert "shell" not in given, place
        remote = given.get("trust_remote_code")
        assert remote is None or (isinstance(remote, ast.Constant) and remote.value is False), place
