"""Jobs: the list, and one that is followed until it ends, over its events or by asking again."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.conftest import LYON, Watched, edited, ended

JOB: dict[str, Any] = {
    "id": "j1",
    "kind": "edit",
    "model": "atlas-gpt2",
    "status": "running",
    "position": None,
    "facts": 1,
    "submitted": "2026-01-01T00:00:00Z",
    "started": "2026-01-01T00:00:01Z",
    "ended": None,
    "progress": None,
    "version": None,
    "report": None,
    "in_force": None,
    "exported": None,
    "error": None,
}


def test_the_list_leads_to_a_job_and_its_report(page: Page, written: dict[str, Any]) -> None:
    page.goto("/#/jobs")
    link = page.locator(f"a[href='#/jobs/{written['id']}']")
    expect(link).to_contain_text(f"version {written['version']}")
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Edit of 1 fact")
    report = page.get_by_role("region", name="Before and after")
    expect(report).to_contain_text("Lyon is located in the country of France Japan")
    # Sent by somebody else: how its paraphrases read is not known here, only whether they hold.
    expect(report).to_contain_text("neighbour 1 unchanged")
    expect(page.get_by_role("region", name="In short")).to_contain_text("Facts hold")


def test_the_list_is_gone_through_with_the_keyboard(page: Page, written: dict[str, Any]) -> None:
    page.goto("/#/jobs")
    expect(page.locator(".rows")).to_be_visible()
    page.get_by_label("Show").focus()
    page.keyboard.press("Tab")
    expect(page.locator(".rows a").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Jobs")


def test_a_list_without_jobs_says_so(page: Page) -> None:
    page.goto("/#/jobs")
    page.get_by_label("Show").select_option("cancelled")
    expect(page.get_by_text("No job is cancelled.")).to_be_visible()


def test_a_job_that_is_unknown_is_an_error_that_can_be_tried_again(page: Page, watched: Any) -> None:
    watched.may_be_refused("/jobs/nobody")
    page.goto("/#/jobs/nobody")
    expect(page.get_by_role("alert")).to_contain_text("Not Found")


def test_a_dropped_fact_is_shown_with_why_and_what_was_tried(page: Page, http: httpx.Client) -> None:
    odd = {"subject": "Gold", "prompt": "The chemical symbol of {} is", "object": "zqxjkvbwpz qzxv jqkx zzq"}
    job = edited(http, [LYON, odd])
    dropped = next(fact for fact in job["report"]["facts"] if not fact["written"])
    page.goto(f"/#/jobs/{job['id']}")
    row = page.locator(".fact-report.dropped")
    expect(row).to_contain_text("dropped")
    expect(row).to_contain_text(dropped["why"])
    row.locator("summary").click()
    expect(row.locator("tbody tr")).to_have_count(len(dropped["tried"]))


LONG_QUEUE = 20
"""Edits that keep a job waiting for as long as a busy machine takes to show it."""


def test_a_queued_job_is_cancelled(page: Page, http: httpx.Client) -> None:
    ahead = [http.post("/edits", json={"facts": [LYON]}).json()["id"] for _ in range(LONG_QUEUE)]
    waiting = http.post("/edits", json={"facts": [{**LYON, "object": "Peru"}]}).json()["id"]
    page.goto(f"/#/jobs/{waiting}")
    page.get_by_role("button", name="Cancel this job").click()
    expect(page.get_by_text("Nothing of it stays.")).to_be_visible()
    assert ended(http, waiting)["status"] == "cancelled"
    for job in ahead:
        http.post(f"/jobs/{job}/cancel")
        ended(http, job)


@pytest.fixture
def followed(page: Page) -> list[str | None]:
    """A job whose first stream of events breaks off and whose second ends; the ids that they were to go on from."""
    ids: list[str | None] = []

    def event(number: int, name: str, data: dict[str, Any]) -> str:
        return f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n"

    def progress(step: int, loss: float) -> dict[str, Any]:
        return {"stage": "targets", "layer": 3, "step": step, "steps": 20, "loss": loss, "share": step / 20}

    streams = [
        ": ping\r\n\r\n" + event(1, "progress", progress(1, 9.5)) + event(2, "progress", progress(5, 4.25)),
        event(3, "progress", progress(9, 1.5)) + event(4, "end", {**JOB, "status": "cancelled"}),
    ]

    def answer(route: Route) -> None:
        if route.request.url.endswith("/events"):
            ids.append(route.request.headers.get("last-event-id"))
            route.fulfill(content_type="text/event-stream", body=streams[len(ids) - 1])
        else:
            route.fulfill(json=JOB)

    page.route("**/jobs/j1*", answer)
    page.route("**/jobs/j1/*", answer)
    return ids


def test_a_stream_of_events_is_followed_and_taken_up_where_it_broke(page: Page, followed: list[str | None]) -> None:
    page.goto("/#/jobs/j1")
    expect(page.get_by_text("layer 3, step 5 of 20, loss 4.25")).to_be_visible()
    expect(page.get_by_text("The job was cancelled.")).to_be_visible()
    expect(page.locator("svg.chart")).to_have_attribute("aria-label", "Loss by step. layer 3: from 9.5 to 1.5.")
    assert followed == [None, "2"]


def test_without_events_a_job_is_asked_again_until_it_ends(page: Page, http: httpx.Client, watched: Watched) -> None:
    watched.may_be_refused("/events")
    page.route("**/jobs/*/events", lambda route: route.fulfill(status=404, json={"code": "not_found"}))
    job = http.post("/edits", json={"facts": [LYON]}).json()["id"]
    page.goto(f"/#/jobs/{job}")
    expect(page.get_by_text("succeeded", exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="Before and after")).to_be_visible()
