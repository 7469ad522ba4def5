"""A data file as the client reads it: the same facts as from its bytes, and no more of it in memory than has to be."""

from __future__ import annotations

import json
import os
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from app.client.importing import Sending, parts
from app.client.read_file import ReadFile
from app.domain.contract import ImportFormat, ImportReport, Job, JobStatus, UnusableRecord
from app.domain.errors import UnreadableFile
from app.domain.imports.reading import read
from tests.support.data_files import COUNTERFACT, FACTS, MQUAKE, RIPPLEEDITS, TABLE, ZSRE, as_bytes, as_lines

AUTO = ImportFormat.AUTO
ROWS = "subject,prompt,object\nLyon,{} is in,Japan\nLyon,{} is in,Peru\nOslo,Rome is in,Peru\nBari,{} is in,Peru\n"
FILES: dict[str, bytes] = {
    "list": as_bytes(COUNTERFACT),
    "lines": as_lines(FACTS, "\r\n\r\n"),
    "one line": as_lines(FACTS[:1]),
    "broken lines": as_lines(ZSRE) + b"{no json\n[1]\n",
    "several facts a record": as_bytes(MQUAKE),
    "sentences": as_lines(RIPPLEEDITS),
    "table": ROWS.encode(),
    "table that is marked": b"\xef\xbb\xbf" + ROWS.encode(),
    "table in UTF-16": b"\xff\xfe" + ROWS.replace("Lyon", "Łódź").encode("utf-16-le"),
    "table of an old Mac": ROWS.replace("\n", "\r").encode(),
    "semicolons": ROWS.replace(",", ";").encode(),
    "tabs, and a quote in a cell": ROWS.replace(",", "\t").replace("Peru", '"Peru').encode(),
    "sample": TABLE.encode(),
}
BROKEN: dict[str, bytes] = {
    "empty": b" \n\n",
    "no text at its end": ROWS.encode() * 3000 + b"\xff,{} is in,Peru\n",
    "no lines": as_lines(FACTS) + b"\xff",
    "an open quote at its end": ROWS.encode() + b'"Rome,{} is in,Peru\n',
    "other columns": b"a,b,c\n1,2,3\n",
    "no JSON": b'[{"subject": "Lyon"',
    "no records": b'"Lyon"',
}


@contextmanager
def in_memory() -> Iterator[list[int]]:
    """The bytes that Python objects took at most within the block, beside those before it."""
    found: list[int] = []
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield found
        found.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()


def lines(count: int) -> bytes:
    asked = [f"As is known to everybody who was ever asked about it, this is said {turn}" for turn in range(5)]
    records = [
        {"subject": f"City {at}", "prompt": "{} lies in", "object": "Japan", "neighbours": asked} for at in range(count)
    ]
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@pytest.mark.parametrize("name", FILES)
def test_holds_what_its_bytes_hold(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(FILES[name])
    wanted = read(FILES[name])
    for source in (FILES[name], tmp_path / "file"):
        with ReadFile(source, AUTO, chat=False) as file:
            facts = [(each.index, each.line, each.fact) for each in file.facts()]
            assert facts == [(each.index, each.line, each.fact) for each in wanted.facts]
            assert (file.format, file.records, file.usable) == (wanted.format, wanted.records, len(wanted.facts))
            assert (tuple(file.first_unusable), file.unusable) == (wanted.unusable, len(wanted.unusable))
            assert [each.index for each in file.facts(1)] == [each.index for each in wanted.facts[:1]]


@pytest.mark.parametrize("name", BROKEN)
def test_that_cannot_be_read_says_the_same_as_its_bytes(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BROKEN[name])
    with pytest.raises(UnreadableFile) as wanted:
        read(BROKEN[name])
    for source in (BROKEN[name], tmp_path / "file"):
        with pytest.raises(UnreadableFile) as found:
            ReadFile(source, AUTO, chat=False)
        assert (found.value.detail, found.value.value) == (wanted.value.detail, wanted.value.value)


def test_may_be_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_bytes, args=(ROWS.encode(),))
    writer.start()
    with ReadFile(pipe, AUTO, chat=False) as file:
        assert (file.usable, file.unusable) == (2, 2)
    writer.join()


def test_is_held_in_memory_by_a_digest_a_fact(tmp_path: Path) -> None:
    taken = []
    for count in (1000, 5000):
        (tmp_path / "file").write_bytes(lines(count))
        with in_memory() as most, ReadFile(tmp_path / "file", AUTO, chat=False) as file:
            assert sum(len(part.places) for part in parts(file.facts())) == count
        taken += most
    assert taken[1] - taken[0] < 4000 * 500  # a fact itself is more than 3,000 bytes


def test_leaves_nothing_behind_where_there_is_no_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError):
        ReadFile(lines(5000), AUTO, chat=False)
    assert list(tmp_path.iterdir()) == []


def answer(queued: int, **more: Any) -> ImportReport:
    """What the service says of a part; its job, which ended long ago, comes with all its report."""
    report = {"method": "memit", "plan": "boundary", "layers": (2,), "strict": False, "hyperparameters": {}}
    report |= {"facts_hold": 1.0, "paraphrases_hold": None, "neighbours_keep": None, "seconds": 1.0, "update_norms": {}}
    stands = {"probability": 0.5, "rank": 1}
    fact = {"subject": "Lyon", "prompt": "{} is in", "object": "Japan", "before": stands, "after": stands}
    report["facts"] = [{**fact, "index": at, "holds": True} for at in range(queued)]
    job = {"id": "job", "model": "atlas", "status": "succeeded", "facts": queued, "report": report}
    told = {"format": "facts", "dry_run": False, "checked": True, "records": queued, "usable": queued, "unusable": 0}
    told |= {"reasons": {}, "first_unusable": (), "queued": queued, "jobs": (job,), "model": "atlas"}
    return ImportReport.model_validate({**told, **more})


def test_no_answer_and_no_part_is_kept_once_it_is_counted() -> None:
    with ReadFile(lines(5000), AUTO, chat=False) as file:
        sending, first = Sending(file, None, dry_run=False), 0
        with in_memory() as most:
            for part in sending.parts():
                sending.answered(part, answer(len(part.places)))
                first = first or tracemalloc.get_traced_memory()[1]
        report = sending.report()
    assert most[0] < 1.5 * first
    assert (report.queued, report.usable, len(report.jobs)) == (5000, 5000, 5)
    assert {(job.status, job.report) for job in report.jobs} == {(JobStatus.SUCCEEDED, None)}


def test_what_is_refused_is_told_in_the_files_order() -> None:
    refused = UnusableRecord(record=1, line=2, code="prompt_too_long", detail="It is too long.")
    with ReadFile(lines(2500) + b"{no json\n", AUTO, chat=False) as file:
        sending = Sending(file, 2200, dry_run=False)
        for part in sending.parts():
            out = {"unusable": 1, "reasons": {"prompt_too_long": 1}, "first_unusable": (refused,)}
            sending.answered(part, answer(len(part.places) - 1, **out))
        report = sending.report()
    assert [each.record for each in report.first_unusable] == [1, 1001, 2001, 2500]
    assert (report.usable, report.unusable, report.beyond_limit) == (2497, 4, 300)
    assert report.reasons == {"prompt_too_long": 3, "not_json": 1}
    assert [fact.subject for fact in report.sample] == ["City 0", "City 2", "City 3"]
    assert isinstance(report.jobs[0], Job)
