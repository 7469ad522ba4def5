"""`make audit` fails for what it finds, unless that is accepted in writing, and says so when it could not look."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import ValidationError

from tools.audit import ACCEPTED, PINS, accepted_findings

VULNERABLE = {
    "id": "GHSA-xxxx-yyyy-zzzz",
    "aliases": ["CVE-2026-12345"],
    "summary": "Anybody may come in",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.0"}]}],
        }
    ],
}
TODAY = datetime.now(UTC).date()


class Osv(BaseHTTPRequestHandler):
    """OSV's query API, to which one package is vulnerable."""

    def do_POST(self) -> None:
        query: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = {"vulns": [VULNERABLE]} if query["package"]["name"] == "jinja2" else {}
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def osv() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Osv)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    thread.join()
    server.server_close()


def audited(tmp_path: Path, url: str, pins: str, accepted: str = "") -> subprocess.CompletedProcess[str]:
    (tmp_path / "pins.txt").write_text(pins)
    (tmp_path / "accepted.toml").write_text(accepted)
    files = ["--pins", str(tmp_path / "pins.txt"), "--accepted", str(tmp_path / "accepted.toml")]
    command = [sys.executable, "-m", "tools.audit", *files, "--osv-url", url]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=PINS.parent)


def acceptance(name: str, until: date) -> str:
    return f'[[accepted]]\nid = "{name}"\nreason = "No template of a stranger is rendered."\nuntil = {until}\n'


def test_pins_of_which_nothing_is_known_pass(tmp_path: Path, osv: str) -> None:
    ended = audited(tmp_path, osv, "attrs==26.1.0\nclick==8.5.1\n")
    assert (ended.returncode, ended.stdout) == (0, "2 pins looked up, 0 things to mend\n")


def test_a_finding_fails_and_is_named_with_its_fix(tmp_path: Path, osv: str) -> None:
    ended = audited(tmp_path, osv, "attrs==26.1.0\nJinja2==3.1.6\n")
    assert ended.returncode == 1
    assert "FAILS: jinja2 3.1.6: CVE-2026-12345, GHSA-xxxx-yyyy-zzzz, fixed in 9.0: Anybody" in ended.stdout


@pytest.mark.parametrize("name", ["GHSA-xxxx-yyyy-zzzz", "CVE-2026-12345"])
def test_a_finding_that_is_accepted_under_any_of_its_names_passes_with_the_reason(
    tmp_path: Path, osv: str, name: str
) -> None:
    ended = audited(tmp_path, osv, "Jinja2==3.1.6\n", acceptance(name, TODAY + timedelta(1)))
    assert ended.returncode == 0
    assert "accepted: jinja2 3.1.6" in ended.stdout
    assert "No template of a stranger is rendered." in ended.stdout


def test_an_acceptance_of_something_else_does_not_help(tmp_path: Path, osv: str) -> None:
    ended = audited(tmp_path, osv, "Jinja2==3.1.6\n", acceptance("CVE-2020-1", TODAY + timedelta(1)))
    assert ended.returncode == 1
    assert "CVE-2020-1 meets nothing any more" in ended.stdout


def test_an_acceptance_whose_day_is_over_fails_with_the_finding(tmp_path: Path, osv: str) -> None:
    ended = audited(tmp_path, osv, "Jinja2==3.1.6\n", acceptance("CVE-2026-12345", TODAY - timedelta(1)))
    assert ended.returncode == 1
    assert "FAILS: the acceptance of CVE-2026-12345 ended" in ended.stdout
    assert "FAILS: jinja2" in ended.stdout


def test_a_service_that_cannot_be_reached_is_said_and_is_no_failure(tmp_path: Path) -> None:
    ended = audited(tmp_path, "http://127.0.0.1:9/", "Jinja2==3.1.6\n", acceptance("CVE-1", TODAY + timedelta(1)))
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "NOT LOOKED UP: http://127.0.0.1:9/ cannot be reached" in ended.stderr


def test_pins_that_cannot_be_read_fail(tmp_path: Path, osv: str) -> None:
    ended = audited(tmp_path, osv, "attrs>=26\n")
    assert ended.returncode != 0
    assert "pip-audit gave no answer" in ended.stderr


def test_an_acceptance_needs_a_reason_and_a_day(tmp_path: Path) -> None:
    (tmp_path / "accepted.toml").write_text('[[accepted]]\nid = "CVE-2026-12345"\n')
    with pytest.raises(ValidationError):
        accepted_findings(tmp_path / "accepted.toml")


def test_the_projects_own_acceptances_can_be_read() -> None:
    accepted_findings(ACCEPTED)
