"""A job's event stream, whole and in pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client import UnexpectedAnswer
from app.client.events import EventStream, JobEvent
from app.domain.contract import Job, JobStatus, Progress

JOB = Job(id="a", model="m", status=JobStatus.RUNNING, facts=1)
DONE = JOB.model_copy(update={"status": JobStatus.SUCCEEDED, "version": 3})
STEP = Progress(stage="targets", loss=0.5, share=0.25)

STREAM = (
    ": ping\r\n\r\n"
    f"id: 1-0\r\nevent: status\r\ndata: {JOB.model_dump_json()}\r\n\r\n"
    f"event: progress\r\nid: 2-0\r\ndata: {STEP.model_dump_json()}\r\n\r\n"
    "event: hint\r\ndata: of a later service\r\n\r\n"
    "retry: 1000\r\n\r\n"
    f"id:3-0\r\nevent:end\r\ndata:{DONE.model_dump_json()}\r\n\r\n"
)
EVENTS = [JobEvent("status", job=JOB), JobEvent("progress", progress=STEP), JobEvent("end", job=DONE)]


def heard(*chunks: bytes) -> tuple[list[JobEvent], str | None]:
    stream = EventStream()
    return [event for chunk in chunks for event in stream.feed(chunk)], stream.last_id


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_are_the_same_wherever_the_stream_is_cut(end: str, cuts: list[int]) -> None:
    data = STREAM.replace("\r\n", end).encode() + (b"\n" if end == "\r" else b"")
    places = [0, *sorted(cuts), len(data)]
    chunks = [data[a:b] for a, b in itertools.pairwise(places)]
    assert heard(*chunks) == (EVENTS, "3-0")


def test_text_with_ends_of_lines_of_other_alphabets_is_one_line() -> None:
    job = JOB.model_copy(update={"model": "a\u2028b\x85c"})
    data = f"event: status\ndata: {job.model_dump_json()}\n\n".encode()
    assert heard(data)[0] == [JobEvent("status", job=job)]


def test_data_of_several_lines_are_joined() -> None:
    lines = STEP.model_dump_json(indent=1).split("\n")
    data = "event: progress\n" + "".join(f"data: {line}\n" for line in lines) + "\n"
    assert heard(data.encode())[0] == [JobEvent("progress", progress=STEP)]


def test_half_an_event_of_a_broken_stream_is_forgotten() -> None:
    stream = EventStream()
    assert list(stream.feed(b"id: 1\nevent: progress\ndata: {")) == []
    assert stream.headers() == {"Last-Event-ID": "1"}
    assert list(stream.feed(f"event: status\ndata: {JOB.model_dump_json()}\n\n".encode())) == EVENTS[:1]


def test_what_is_no_event_of_ours_is_refused() -> None:
    with pytest.raises(UnexpectedAnswer):
        heard(b"event: end\ndata: {}\n\n")


def test_share_is_told_by_progress_and_by_a_job_that_has_some() -> None:
    told = [event.share for event in EVENTS]
    assert told == [None, 0.25, None]
    assert JobEvent("status", job=JOB.model_copy(update={"progress": STEP})).share == 0.25
