"""`palimpsest edit FILE`: the jobs of an import are told one by one, and together say how the command ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typer.testing import CliRunner, Result

from app.cli import cli
from app.commands.kept_json import KeptJson
from app.commands.options import print_json
from app.domain.contract import ImportReport, Job
from tests.support.stand_in import StandIn, standing_in

STANDS = {"probability": 0.5, "rank": 1}
FACT = {"index": 0, "subject": "Lyon", "prompt": "{} is in", "object": 'Japan "jobs": []', "before": STANDS}
REPORT = {"method": "memit", "plan": "boundary", "layers": [2], "strict": False, "hyperparameters": {}, "seconds": 1.0}
SHARES: dict[str, Any] = {"facts_hold": 1.0, "paraphrases_hold": None, "neighbours_keep": None, "update_norms": {}}
JOBS = ("job0", "job1", "job2")


def job(name: str, *, holds: bool = True, **more: Any) -> Job:
    facts = [{**FACT, "after": STANDS, "holds": holds}]
    ended = {"id": name, "model": "atlas", "status": "succeeded", "facts": 1, "report": REPORT | SHARES}
    return Job.model_validate({**ended, "report": {**REPORT, **SHARES, "facts": facts}, **more})


def imported(*names: str) -> ImportReport:
    queued = [{"id": name, "model": "atlas", "status": "queued", "facts": 1} for name in names]
    told = {"format": "facts", "dry_run": False, "checked": True, "records": 1, "usable": 1, "unusable": 0}
    return ImportReport.model_validate({**told, "reasons": {}, "first_unusable": [], "queued": 1, "jobs": queued})


@pytest.fixture
def ends() -> dict[str, Job]:
    """How each job ended, for a test to change."""
    return {name: job(name) for name in JOBS}


@pytest.fixture
def end(ends: dict[str, Job]) -> Iterator[StandIn]:
    def answer(request: Request, _: int) -> Response:
        if request.method == "POST":
            return JSONResponse(imported(*JOBS).model_dump(mode="json"), 202)
        name = request.url.path.split("/")[2]
        told = ends[name].model_dump_json()
        if request.url.path.endswith("/events"):
            return Response(f"event: end\ndata: {told}\nid: end\n\n", media_type="text/event-stream")
        return Response(told, media_type="application/json")

    with standing_in(answer) as end:
        yield end


def edit(end: StandIn, folder: Path, *options: str) -> Result:
    file = folder / "facts.csv"
    file.write_text("subject,prompt,object\nLyon,{} is in,Japan\n")
    return CliRunner().invoke(cli, ["edit", str(file), "--url", end.url, *options])


def test_each_job_is_told_when_it_has_ended(end: StandIn, tmp_path: Path) -> None:
    done = edit(end, tmp_path)
    assert done.exit_code == 0, done.output
    assert [f"job {name}" in done.stdout for name in JOBS] == [True] * 3
    assert [f"{number} of 3 jobs ended." in done.stderr for number in (1, 2, 3)] == [True] * 3


def test_as_json_all_come_in_one(end: StandIn, ends: dict[str, Job], tmp_path: Path) -> None:
    done = edit(end, tmp_path, "--json")
    assert done.exit_code == 0, done.output
    told = ImportReport.model_validate_json(done.stdout)
    assert told.jobs == tuple(ends.values())


@pytest.mark.parametrize("at", JOBS)
def test_one_that_does_not_hold_counts_wherever_it_is(
    end: StandIn, ends: dict[str, Job], tmp_path: Path, at: str
) -> None:
    ends[at] = job(at, holds=False)
    assert edit(end, tmp_path).exit_code == 3
    ends["job1"] = job("job1", status="failed", report=None)
    assert edit(end, tmp_path).exit_code == 1


def test_nothing_is_printed_as_json_where_one_cannot_be_told(
    end: StandIn, ends: dict[str, Job], tmp_path: Path
) -> None:
    del ends["job2"]
    done = edit(end, tmp_path, "--json")
    assert (done.exit_code, done.stdout) == (1, "")


@pytest.mark.parametrize("jobs", [(), JOBS[:1], JOBS])
def test_what_was_kept_is_printed_as_if_it_had_been_there(
    jobs: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = imported().model_copy(update={"jobs": tuple(map(job, jobs))})
    print_json(whole)
    wanted = capsys.readouterr().out
    with KeptJson() as kept:
        for each in whole.jobs:
            kept.add(each)
        kept.print_within(imported(), "jobs")
    assert capsys.readouterr().out == wanted
    assert len(json.loads(wanted)["jobs"]) == len(jobs)
