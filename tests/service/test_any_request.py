"""Requests as schemathesis makes them of the API's own description: no error of the service, no answer undocumented.

Whatever route is added is tried as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode, checks
from schemathesis.core.result import Ok

from app.domain.contract import JobStatus
from app.main import create_app
from app.settings import Settings
from tests.app.test_service import serving
from tests.support.service.service import MODEL, Nursery, RunningService

EXAMPLES = 12
"""Of each operation, by mode, with identifiers of its own and with those that are known."""
BUSY = ("version_not_reached",)
"""Codes of a 503 that a request brings about by what it asks for."""
LOOKED_AT = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
FACT = {"subject": "Lyon", "prompt": "{} is a city in", "object": "Japan"}


@dataclass(frozen=True)
class Target:
    """A service, and what is there to be asked for: a model, a job that has ended, a version."""

    url: str
    known: dict[str, Any]


@pytest.fixture(scope="module")
def target(
    nursery: Nursery, redis_url: str, model: Path, statistics: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    data = tmp_path_factory.mktemp("data")
    service = RunningService(nursery, redis_url, model, statistics, data)
    service.start()
    job = service.sent("POST", "/edits", {"facts": [FACT], "unheld": "keep"}).json()["id"]
    assert service.ended(job).status is JobStatus.SUCCEEDED
    with serving(create_app(Settings(redis_url=redis_url, data_dir=data))) as url:
        yield Target(url, {"model": MODEL, "job": job, "version": 1})
    service.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_every_operation_answers_as_it_says(target: Target, mode: GenerationMode, known: bool) -> None:
    schema = schemathesis.openapi.from_url(f"{target.url}/openapi.json")
    tried = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(mode))
        def answers(case: Case[Any]) -> None:
            if known:
                asked = case.path_parameters or {}
                asked.update({name: value for name, value in target.known.items() if name in asked})
            if isinstance(case.body, dict) and "wait_seconds" in case.body:
                case.body["wait_seconds"] = 0  # none of this is waited for
            response = case.call(base_url=target.url, timeout=60)
            problem = response.json() if response.status_code >= 500 else {}
            assert not problem or problem["code"] in BUSY, f"{case.as_curl_command()}\n{problem}"
            case.validate_response(response, checks=LOOKED_AT)

        try:
            answers()
        except Unsatisfiable:  # nothing about it can be wrong
            assert mode is GenerationMode.NEGATIVE
        else:
            tried += 1
    assert tried >= 10
