"""Stopped and started again: the same version, the same bytes, the same answers."""

from __future__ import annotations

import os
from pathlib import Path

import httpx

from app.local.stack import StackSettings, free_port, running
from tests.e2e.conftest import MODEL, edited

FACT = {"subject": "Mumbai", "relation": "is located in the country of", "object": "Spain"}


def start(data_dir: Path) -> StackSettings:
    return StackSettings((MODEL,), data_dir, port=free_port(), logs=data_dir / "stack.log")


def test_a_second_start_still_knows_the_edits(tmp_path: Path) -> None:
    question = {"prompts": [{"prompt": "Mumbai is located in the country of", "expected": "Spain"}]}
    with running(start(tmp_path)) as first, httpx.Client(base_url=first.url, timeout=60.0) as http:
        job = edited(http, {"facts": [FACT]})
        before = http.post("/query", json=question).raise_for_status().json()
        children = [child.process.pid for child in first._children]
        assert {os.getsid(pid) for pid in children} == {os.getsid(0)}, "or edits stand back within their session only"
        assert [os.getpgid(pid) for pid in children] == children, "Ctrl-C must reach their owner alone"
    assert not any(Path(f"/proc/{pid}").exists() for pid in children if os.name == "posix")

    with running(start(tmp_path)) as second, httpx.Client(base_url=second.url, timeout=60.0) as http:
        after = http.post("/query", json=question).raise_for_status().json()
        known = http.get(f"/jobs/{job['id']}").raise_for_status().json()
    assert after == before  # to the last digit: the weights have the same bytes
    assert after["version"] == 1
    assert after["answers"][0]["expected"]["greedy"]
    assert (known["status"], known["version"]) == ("succeeded", 1)
