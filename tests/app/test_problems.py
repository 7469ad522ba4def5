"""Every error reaches the caller as problem details, whatever is in it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from app import error_handlers
from app.domain import errors
from app.domain.contract import Problem
from app.domain.errors import JobFailed, PalimpsestError, RequestError, SubjectNotInPrompt
from app.domain.problems import error_classes, error_of, json_safe, problem_of

TREE = tuple(error_classes())


def answer(error: Exception) -> httpx.Response:
    """What a caller gets when a route raises this."""
    app = FastAPI()
    error_handlers.install(app)

    @app.get("/")
    def fail() -> None:
        raise error

    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.get("/")
    return httpx.Response(response.status_code, headers=dict(response.headers), content=response.content)


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
class TestEveryErrorOfTheTree:
    def test_is_answered_with_its_own_status_code_and_value(self, kind: type[PalimpsestError]) -> None:
        response = answer(kind("So it is.", field="facts.3.prompt", value="Lyon"))
        problem = Problem.model_validate_json(response.content)
        assert response.headers["content-type"] == "application/problem+json"
        assert response.status_code == problem.status == kind.status
        assert (problem.code, problem.detail) == (kind.code, "So it is.")
        assert (problem.field, problem.value) == ("facts.3.prompt", "Lyon")

    def test_says_when_to_come_back_if_that_helps(self, kind: type[PalimpsestError]) -> None:
        wait = answer(kind("So it is.")).headers.get("retry-after")
        assert wait == (str(kind.retry_after) if kind.status in (429, 503) else None)

    def test_comes_back_from_a_worker_as_itself(self, kind: type[PalimpsestError]) -> None:
        error = error_of(problem_of(kind("So it is.", field="facts.3", value=7)))
        assert type(error) is kind
        assert (error.detail, error.field, error.value) == ("So it is.", "facts.3", 7)

    def test_is_drawn_with_its_status_and_code(self, kind: type[PalimpsestError]) -> None:
        drawn = (errors.__doc__ or "").split()
        at = drawn.index(kind.__name__)
        assert drawn[at + 1 : at + 3] == [str(kind.status), kind.code]


class TestErrorsFromElsewhere:
    @pytest.mark.parametrize("error", [RedisConnectionError("gone"), ResponseError("OOM command not allowed")])
    def test_redis_being_away_or_full_is_unavailable(self, error: Exception) -> None:
        response = answer(error)
        assert (response.status_code, response.json()["code"]) == (503, "redis_unavailable")
        assert response.headers["retry-after"]

    def test_a_worker_being_away_is_unavailable(self) -> None:
        response = answer(httpx.ConnectError("refused"))
        assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")

    def test_a_bug_is_told_without_its_traceback(self) -> None:
        response = answer(KeyError("a secret"))
        assert (response.status_code, response.json()["code"]) == (500, "internal")
        assert "secret" not in response.text
        assert "Traceback" not in response.text

    def test_a_workers_error_of_an_unknown_code_joins_the_nearest_branch(self) -> None:
        problem = Problem(title="?", status=422, code="from_a_later_release", detail="No.", field="facts.0")
        error = error_of(problem)
        assert type(error) is RequestError
        assert error.field == "facts.0"


def texts_with_surrogates() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=()))


def values() -> st.SearchStrategy[object]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | texts_with_surrogates()
    return st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(texts_with_surrogates(), inner), max_leaves=30
    )


class TestOffendingValues:
    @given(values())
    def test_any_value_can_be_sent(self, value: object) -> None:
        json.dumps(json_safe(value), allow_nan=False, ensure_ascii=False).encode()

    @given(values(), texts_with_surrogates(), texts_with_surrogates())
    def test_any_error_can_be_sent(self, value: object, detail: str, field: str) -> None:
        problem_of(SubjectNotInPrompt(detail, field=field, value=value)).model_dump_json()

    @pytest.mark.parametrize("value", [None, True, 3, 0.5, "Lyon", ["Lyon", 1], {"subject": "Lyon"}])
    def test_short_plain_values_stay_as_they_are(self, value: object) -> None:
        assert json_safe(value) == value

    def test_values_that_json_lacks_become_text(self) -> None:
        assert json_safe([math.nan, math.inf, 10**30]) == ["nan", "inf", str(10**30)]

    def test_long_values_are_cut(self) -> None:
        assert json_safe("x" * 5000) == "x" * 199 + "…"
        assert json_safe(list(range(100))) == list(range(8))
        assert json_safe([[[["deep"]]]]) == [[["…"]]]

    def test_nothing_is_lost_on_the_way_to_a_job_and_back(self) -> None:
        problem = problem_of(JobFailed("Too bad.", value={"layer": 3}))
        assert Problem.model_validate_json(problem.model_dump_json()) == problem


def drawn_classes() -> Iterator[str]:
    for word in (errors.__doc__ or "").split():
        if word.isalpha() and hasattr(errors, word):
            yield word


def test_the_drawing_shows_no_class_that_is_not_there() -> None:
    assert sorted(drawn_classes()) == sorted(kind.__name__ for kind in TREE)
