"""What is handed from a request to the worker that does its work: nothing that has not the form of it."""

from __future__ import annotations

import pytest

from app.domain.origin import coming_from, handed_on, job_id, request_id, taken_over

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_what_came_is_handed_on_and_forgotten_at_the_end() -> None:
    told = {"x-request-id": "r-1", "traceparent": PARENT}
    with coming_from(told, job="one"):
        assert handed_on() == told
        assert job_id.get() == "one"
        with coming_from({}):
            assert handed_on() == {}
        assert request_id.get() == "r-1"
    assert (handed_on(), job_id.get()) == ({}, None)


@pytest.mark.parametrize(
    "told",
    [
        {"x-request-id": "a b"},
        {"x-request-id": "a\nb"},
        {"x-request-id": "a" * 65},
        {"x-request-id": ""},
        {"x-request-id": 3},
        {"traceparent": PARENT.upper()},
        {"traceparent": f"{PARENT}-more"},
        {"traceparent": None},
        {"authorization": "secret"},
    ],
)
def test_what_has_another_form_is_dropped(told: dict[str, object]) -> None:
    assert taken_over(told) == {}
