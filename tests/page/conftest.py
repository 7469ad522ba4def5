"""The page in Chromium, against the whole service with a bundled model. A console error fails any test."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, expect, sync_playwright

from app.local.stack import Stack, StackSettings, free_port, running

MODEL = "atlas-gpt2"
DESK, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
LYON = {
    "subject": "Lyon",
    "prompt": "{} is located in the country of",
    "object": "Japan",
    "previous": "France",
    "paraphrases": ["The country where you can find the city of {} is"],
    "neighbours": ["Marseille is located in the country of"],
}

expect.set_options(timeout=60_000)  # an edit on a busy machine


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data_dir = tmp_path_factory.mktemp("page")
    settings = StackSettings((MODEL,), data_dir, port=free_port(), logs=data_dir / "stack.log")
    with running(settings) as started:
        yield started


@pytest.fixture(scope="session")
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=60.0) as client:
        yield client


@pytest.fixture(scope="session")
def written(http: httpx.Client) -> dict[str, Any]:
    """The job of an edit that somebody else has made: Lyon lies in Japan."""
    return edited(http, [LYON])


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if program is None:
        pytest.skip("there is no chromium here: make browsertest says how to get it")
    with sync_playwright() as playwright:
        alone = ["--no-sandbox"] if os.geteuid() == 0 else []
        yield (started := playwright.chromium.launch(executable_path=program, args=alone))
        started.close()


class Watched:
    """What the browser complains of on a page: errors of scripts, breaches of the policy, requests that fail."""

    def __init__(self, page: Page) -> None:
        self._refusals: set[str] = set()
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))

    def may_be_refused(self, ending: str) -> None:
        """Requests to what ends so may be answered with an error: the browser writes that down itself."""
        self._refusals.add(ending)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        request = "Failed to load resource" in message.text
        if not (request and message.location["url"].endswith(tuple(self._refusals))):
            self.complaints.append(f"{message.text} ({message.location['url']})")


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """An empty page of a new profile, at a desk; relative addresses are the service's."""
    with browser.new_context(base_url=stack.url, viewport=DESK) as context:
        yield context.new_page()


@pytest.fixture(autouse=True)
def watched(page: Page) -> Iterator[Watched]:
    watch = Watched(page)
    yield watch
    assert watch.complaints == []


def edited(http: httpx.Client, facts: list[dict[str, Any]], **rest: Any) -> dict[str, Any]:
    """Write facts past the page, and wait."""
    posted = http.post("/edits", json={"facts": facts, **rest})
    assert posted.status_code == 202, posted.text
    return ended(http, posted.json()["id"])


def ended(http: httpx.Client, job: str, timeout_s: float = 120.0) -> dict[str, Any]:
    """The job once it has ended."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found: dict[str, Any] = http.get(f"/jobs/{job}").raise_for_status().json()
        if found["status"] not in ("queued", "running"):
            return found
        time.sleep(0.1)
    raise TimeoutError(job)


def head(http: httpx.Client) -> int:
    """The model's newest version."""
    return int(http.get(f"/models/{MODEL}/versions").raise_for_status().json()["head"])


def job_in(page: Page) -> str:
    """The job that the address names."""
    page.wait_for_url("**/#/jobs/*")
    return page.url.rsplit("/", 1)[1]


def pressed(page: Page, key: str, until: str, most: int = 60) -> None:
    """Press a key until an element has the focus."""
    for _ in range(most):
        page.keyboard.press(key)
        if page.evaluate("name => document.activeElement?.matches(name) ?? false", until):
            return
    raise AssertionError(
        f"{key} never comes to {until}, but to {json.dumps(page.evaluate('document.activeElement.outerHTML'))}"
    )
