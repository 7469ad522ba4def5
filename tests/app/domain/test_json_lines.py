"""Log lines as JSON: one object a line, with the request and the job at hand, and never what a caller wrote."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from app.domain.json_lines import JsonLines
from app.domain.origin import coming_from
from tests.support.log_lines import SECRET

logger = logging.getLogger("tests.json_lines")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    yield text
    logger.removeHandler(handler)


def only(lines: io.StringIO) -> dict[str, Any]:
    [line] = lines.getvalue().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_has_its_fields_by_name_and_numbers_as_numbers(lines: io.StringIO) -> None:
    logger.warning("edit %s", "succeeded", extra={"job_id": "one", "version": 3, "seconds": 0.25, "method": None})
    found = only(lines)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "WARNING",
        "logger": "tests.json_lines",
        "message": "edit succeeded",
        "job_id": "one",
        "version": 3,
        "seconds": 0.25,
    }


def test_a_line_names_the_request_and_the_job_at_hand(lines: io.StringIO) -> None:
    with coming_from({"x-request-id": "r-1"}, job="one"):
        logger.warning("begins")
    logger.warning("after it")
    first, second = map(json.loads, lines.getvalue().splitlines())
    assert (first["request_id"], first["job_id"]) == ("r-1", "one")
    assert not {"request_id", "job_id"} & second.keys()


def test_what_a_line_names_itself_goes_before_what_is_at_hand(lines: io.StringIO) -> None:
    with coming_from({}, job="one"):
        logger.warning("job runs already", extra={"job_id": "other"})
    assert only(lines)["job_id"] == "other"


def test_an_exception_is_told_by_types_and_places(lines: io.StringIO) -> None:
    try:
        int(SECRET)  # its message quotes it
    except ValueError as error:
        logger.warning("failed: %s", error, exc_info=True)
    found = only(lines)
    assert found["exception"][-1] == "ValueError"
    assert found["exception"][0].lstrip().startswith("File ")
    assert SECRET not in lines.getvalue()


def test_whatever_a_text_has_in_it_the_line_stays_one(lines: io.StringIO) -> None:
    logger.warning("no model %s", 'a"b\nc\u2028\x1b[31m', extra={"model": "x\ny"})
    found = only(lines)
    assert found["message"] == 'no model a"b\\nc\\u2028\\x1b[31m'
    assert found["model"] == "x\\ny"
