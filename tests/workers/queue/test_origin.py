"""All log lines of a job name it, and the request that it came with."""

from __future__ import annotations

import logging

import pytest

from tests.support.log_lines import log_lines
from tests.support.worker_bench import Bench
from workers.host.proposal import propose

logger = logging.getLogger("app.deep_in_the_work")


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"origin": {"x-request-id": "r-1"}}, "here job_id=one request_id=r-1\n"),
        ({"origin": {"x-request-id": "r\n1", "authorization": "secret"}}, "here job_id=one\n"),
        ({"origin": ["r-1"]}, "here job_id=one\n"),
        ({}, "here job_id=one\n"),
    ],
)
def test_a_line_deep_in_the_work(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, meta: dict[str, object], said: str
) -> None:
    def talking(*arguments: object) -> object:
        logger.info("here")
        return propose(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("workers.host.work.edit.propose", talking)
    bench.enqueue("one", meta=meta)
    with log_lines() as lines:
        bench.work()
        logger.info("afterwards")
    assert bench.outcome("one").version == 1
    assert said in lines.getvalue()
    assert "afterwards\n" in lines.getvalue()
