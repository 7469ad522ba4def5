"""Bodies with far too much wrong in them, and bodies that are none: cases T26 and T27 of the field."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from app.domain.problems import MEDIA_TYPE, MOST_ERRORS
from app.main import create_app
from app.settings import Settings
from tests.support.log_lines import log_lines

JSON = {"Content-Type": "application/json"}
FACT = {"subject": "Lyon", "relation": "is in", "object": "Japan"}
LONGEST_ANSWER, LONGEST_WAIT_S = 20_000, 20


@pytest.fixture(scope="module")
def service(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """With the limits that it comes with."""
    chosen = Settings(
        redis_url=redis_url, data_dir=tmp_path_factory.mktemp("data"), recovery_interval_s=3600, allow_open=True
    )
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    with TestClient(create_app(chosen), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    with log_lines() as text:
        yield text


def sent(service: TestClient, content: bytes | str, path: str = "/edits") -> httpx.Response:
    response = service.post(path, content=content, headers=JSON)
    return httpx.Response(response.status_code, headers=dict(response.headers), content=response.content)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/edits", '{"facts": [FACT], "hyperparameters": {"v_lr": ?}}', "hyperparameters.v_lr"),
        (
            "/edits",
            '{"facts": [FACT], "hyperparameters": {"clamp_norm_factor": ?}}',
            "hyperparameters.clamp_norm_factor",
        ),
        ("/edits", '{"facts": [FACT], "verify": {"kl": ?}}', "verify.kl"),
        ("/edits", '{"facts": [{"subject": ?, "relation": "is in", "object": "Japan"}]}', "facts.0.subject"),
        ("/edits", '{"facts": ?}', "facts"),
        ("/query", '{"prompts": [{"prompt": "a"}], "wait_seconds": ?}', "wait_seconds"),
        ("/generate", '{"prompts": ["a"], "temperature": ?}', "temperature"),
        ("/models/atlas/rollback", '{"to": ?}', "to"),
    ],
)
def test_a_number_that_json_lacks_is_refused_by_its_field(
    service: TestClient, path: str, body: str, field: str, number: str
) -> None:
    """Case T26 of the field."""
    response = sent(service, body.replace("?", number).replace("FACT", json.dumps(FACT)), path)
    assert (response.status_code, response.headers["content-type"]) == (422, MEDIA_TYPE)
    assert response.json()["field"] == field


@pytest.mark.parametrize(
    ("name", "value"),
    [("early_stop", 0), ("early_stop", 1.5), ("update_norm_lambda", -1), ("history", "maybe"), ("norm_anchor", 3)],
)
def test_a_hyperparameter_out_of_its_range_is_refused_by_its_field(
    service: TestClient, name: str, value: object
) -> None:
    response = sent(service, json.dumps({"facts": [FACT], "hyperparameters": {name: value}}))
    assert (response.status_code, response.json()["field"]) == (422, f"hyperparameters.{name}")


class TestWrongFacts:
    """Case T27 of the field."""

    def test_of_twenty_thousand_the_first_are_told_and_how_many_they_are(
        self, service: TestClient, lines: io.StringIO
    ) -> None:
        began = time.monotonic()
        response = sent(service, json.dumps({"facts": [{"subject": "Lyon"}] * 20_000}))
        problem = response.json()
        assert response.status_code == 422
        assert (len(problem["errors"]), problem["errors_total"]) == (MOST_ERRORS, 20_000)
        assert [error["field"] for error in problem["errors"][:2]] == ["facts.0.object", "facts.1.object"]
        assert len(response.content) < LONGEST_ANSWER
        assert len(lines.getvalue()) < LONGEST_ANSWER
        assert time.monotonic() - began < LONGEST_WAIT_S

    def test_an_error_that_follows_from_another_does_not_count(self, service: TestClient) -> None:
        problem = sent(service, json.dumps({"facts": [FACT | {"subject": ""}]})).json()
        assert (len(problem["errors"]), problem["errors_total"]) == (1, 1)

    @pytest.mark.parametrize("body", ['{"facts": [' + "1," * 2_000_000, '{"facts": [' + "[" * 2_000_000])
    def test_millions_of_values_are_not_looked_at_one_by_one(self, service: TestClient, body: str) -> None:
        began = time.monotonic()
        response = sent(service, body)
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
        assert len(response.content) < LONGEST_ANSWER
        assert time.monotonic() - began < LONGEST_WAIT_S

    def test_values_as_long_as_they_can_be_are_cut_in_the_answer(self, service: TestClient) -> None:
        keys = {"k" * 1000 + str(index): "v" * 1000 for index in range(1000)}
        response = sent(service, json.dumps({"facts": [FACT | keys]}))
        assert (response.status_code, response.json()["errors_total"]) == (422, 1000)
        assert len(response.content) < LONGEST_ANSWER


PATHS = ("/edits", "/query", "/generate", "/models/atlas/rollback", "/models/atlas/revert", "/models/atlas/exports")


class TestRandomBytes:
    """Case T27 of the field."""

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(path=st.sampled_from(PATHS), body=st.binary(max_size=300))
    def test_are_refused(self, service: TestClient, path: str, body: bytes) -> None:
        response = sent(service, body, path)
        assert 400 <= response.status_code < 500
        assert response.headers["content-type"] == MEDIA_TYPE
        assert len(response.content) < LONGEST_ANSWER

    @pytest.mark.parametrize("body", [b"", b"\x00", b"\xff\xfe{", b"[" * 9000, b"9" * 9000, b'{"facts":', b"null"])
    def test_and_so_is_what_is_no_object(self, service: TestClient, body: bytes) -> None:
        for path in PATHS:
            assert 400 <= sent(service, body, path).status_code < 500


def test_the_settings_still_decide(redis_url: str, tmp_path: Path) -> None:
    few: dict[str, Any] = {"facts": [FACT] * 3}
    chosen = Settings(redis_url=redis_url, data_dir=tmp_path, max_body_bytes=100, allow_open=True)
    with TestClient(create_app(chosen)) as client:
        assert client.post("/edits", json=few).status_code == 413
