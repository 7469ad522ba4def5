"""The compose file is one by the published schema, and what it names is there."""

from __future__ import annotations

import copy
import json
import re
from importlib.resources import files
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.support.dockerfiles import ROOT, all_of, environment

Compose = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> Compose:
    loaded: Compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """The Compose Specification's own schema, as the package check-jsonschema carries it."""
    published = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    rules = json.loads(published.read_text())
    Draft202012Validator.check_schema(rules)
    return Draft202012Validator(rules, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_it_is_valid_by_the_published_schema(compose: Compose, schema: Draft202012Validator) -> None:
    assert [error.message for error in schema.iter_errors(compose)] == []


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("services", "api", "healthchek"), {}),
        (("services", "api", "ports"), "8000:8000"),
        (("services", "worker", "depends_on", "redis", "condition"), "service_is_well"),
        (("services", "worker", "deploy", "resources", "reservations", "devices", 0, "count"), []),
        (("volume",), {}),
    ],
)
def test_the_schema_would_notice(
    compose: Compose, schema: Draft202012Validator, path: tuple[str | int, ...], wrong: object
) -> None:
    spoilt: Any = copy.deepcopy(compose)
    place = spoilt
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = wrong
    assert not schema.is_valid(spoilt)


def test_every_service_says_whether_it_is_healthy(compose: Compose) -> None:
    for service in compose["services"].values():
        if "healthcheck" not in service:
            image = service["build"]["dockerfile"].removeprefix("docker/").removesuffix(".Dockerfile")
            assert all_of(image, "HEALTHCHECK")


def test_nobody_starts_before_redis_is_healthy(compose: Compose) -> None:
    for name in ("api", "worker"):
        assert compose["services"][name]["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_redis_loses_nothing_and_lets_nobody_in_without_the_password(compose: Compose) -> None:
    config = compose["configs"]["redis"]["content"].splitlines()
    assert {"appendonly yes", "appendfsync always", 'save ""', "maxmemory-policy noeviction"} <= set(config)
    password = r"\$\{PALIMPSEST_REDIS_PASSWORD:\?[^}]+\}"  # compose refuses to start without it
    assert any(re.fullmatch(f"requirepass {password}", line) for line in config)
    assert "ports" not in compose["services"]["redis"]
    for name in ("api", "worker"):
        url = compose["services"][name]["environment"]["PALIMPSEST_REDIS_URL"]
        assert re.fullmatch(f"redis://:{password}@redis:6379/0", url)


def test_front_end_and_worker_know_each_other_by_one_secret(compose: Compose) -> None:
    secrets = {compose["services"][name]["environment"]["PALIMPSEST_WORKER_SECRET"] for name in ("api", "worker")}
    [secret] = secrets
    assert re.fullmatch(r"\$\{PALIMPSEST_WORKER_SECRET:\?[^}]+\}", secret)  # compose refuses to start without it


def test_nobody_is_let_in_without_a_key(compose: Compose) -> None:
    """The front end reads keys where the worker's container can make them, and cannot make any itself."""
    api = compose["services"]["api"]
    assert not {"PALIMPSEST_ALLOW_OPEN", "PALIMPSEST_KEYS_DIR"} & api["environment"].keys()
    assert environment("api")["PALIMPSEST_DATA_DIR"] == environment("worker")["PALIMPSEST_DATA_DIR"]
    assert f"data:{environment('api')['PALIMPSEST_DATA_DIR']}:ro" in api["volumes"]


def test_the_front_end_is_published_to_this_host_alone_unless_told_otherwise(compose: Compose) -> None:
    assert compose["services"]["api"]["ports"] == ["${PALIMPSEST_BIND:-127.0.0.1}:8000:8000"]
    assert "ports" not in compose["services"]["worker"]


def test_the_worker_has_a_gpu_and_a_bundled_model_by_default(compose: Compose) -> None:
    worker = compose["services"]["worker"]
    [device] = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    *command, model = worker["command"]
    assert command == ["python", "-m", "workers", "--model"]
    assert model == "${PALIMPSEST_MODEL:-workers/models/atlas-gpt2}"
    assert (ROOT / "workers" / "models" / "atlas-gpt2").is_dir()


def test_the_worker_is_found_where_it_says_it_is(compose: Compose) -> None:
    environment = compose["services"]["worker"]["environment"]
    port = environment["PALIMPSEST_WORKER_PORT"]
    assert environment["PALIMPSEST_WORKER_ADVERTISE_URL"] == f"http://worker:{port}"
    assert all_of("worker", "EXPOSE") == [port]


def test_the_edit_log_is_shared_and_the_front_end_only_reads_it(compose: Compose) -> None:
    assert compose["services"]["worker"]["volumes"] == ["data:/var/lib/palimpsest"]
    assert "data:/var/lib/palimpsest:ro" in compose["services"]["api"]["volumes"]


def test_what_was_accepted_is_kept_where_the_front_end_may_write(compose: Compose) -> None:
    api = compose["services"]["api"]
    directory = api["environment"]["PALIMPSEST_ACCEPTED_DIR"]
    assert f"accepted:{directory}" in api["volumes"]
    [setup] = [line for line in all_of("api", "RUN") if "useradd" in line]
    assert f"install --directory --owner=palimpsest --group=palimpsest {directory}" in setup
    assert set(compose["volumes"]) == {"accepted", "data", "redis"}


def test_what_is_built_is_there(compose: Compose) -> None:
    builds = [service["build"] for service in compose["services"].values() if "build" in service]
    assert len(builds) == 2
    for build in builds:
        assert (ROOT / build["context"] / build["dockerfile"]).is_file()
