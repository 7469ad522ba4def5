"""Logging of a process: what its level lets through, what its end says, and that a host's own is left alone."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from app.domain.logging_setup import LogForm, set_up_logging

PROCESS = """
import logging, sys, threading
import rq.worker
from app.domain.logging_setup import set_up_logging
assert not logging.getLogger().handlers, "importing sets nothing up"
set_up_logging({level!r}, {form!r})
logging.getLogger("app.jobs").info("at info", extra={{"job_id": "one"}})
logging.getLogger("app.jobs").debug("at debug")
logging.getLogger("rq.worker").info("rq at info")
logging.getLogger("rq.worker").debug("rq at debug")
logging.getLogger("elsewhere").info("a library at info")
logging.getLogger("elsewhere").warning("a library at warning")
def end(): raise ValueError("Zanzibar")
thread = threading.Thread(target=end, name="heartbeat")
thread.start()
thread.join()
end()
"""


class TestSettingUp:
    @pytest.mark.parametrize(
        ("level", "seen"),
        [
            ("WARNING", {"a library at warning"}),
            ("INFO", {"a library at warning", "at info job_id=one", "rq at info"}),
            ("DEBUG", {"a library at warning", "at info job_id=one", "rq at info", "at debug"}),
        ],
    )
    def test_a_process_says_what_its_level_lets_through(self, level: str, seen: set[str]) -> None:
        done = self.process(level)
        said = re.findall(r"^\S+ \S+ [A-Z]+ (?:app\.jobs|rq\.worker|elsewhere): (.*)$", done.stderr, re.MULTILINE)
        assert set(said) == seen

    def test_what_ends_a_thread_or_the_process_is_told_without_its_words(self) -> None:
        done = self.process("INFO")
        assert done.returncode == 1
        assert "thread heartbeat ended by an error that nobody foresaw\n" in done.stderr
        assert "CRITICAL app.domain.logging_setup: ended by an error that nobody foresaw\n" in done.stderr
        assert done.stderr.count("\nValueError\n") == 2
        assert 'File "<string>", line ' in done.stderr
        assert "Zanzibar" not in done.stderr

    @pytest.mark.parametrize("form", ["auto", "json"])
    def test_where_nobody_sits_at_a_terminal_every_line_is_a_json_object(self, form: LogForm) -> None:
        lines = [json.loads(line) for line in self.process("INFO", form).stderr.splitlines()]
        assert [(line["level"], line["logger"], line["message"]) for line in lines] == [
            ("INFO", "app.jobs", "at info"),
            ("INFO", "rq.worker", "rq at info"),
            ("WARNING", "elsewhere", "a library at warning"),
            ("CRITICAL", "app.domain.logging_setup", "thread heartbeat ended by an error that nobody foresaw"),
            ("CRITICAL", "app.domain.logging_setup", "ended by an error that nobody foresaw"),
        ]
        assert lines[0]["job_id"] == "one"
        assert all(datetime.fromisoformat(line["time"]).tzinfo is UTC for line in lines)
        assert lines[-1]["exception"][-1] == "ValueError"
        assert "Zanzibar" not in str(lines)

    def test_at_a_terminal_lines_are_text(self) -> None:
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            code = PROCESS.format(level="INFO", form="auto")
            process = subprocess.Popen([sys.executable, "-c", code], stderr=theirs)
            os.close(theirs)
            first = terminal.read(4096).decode()
            with suppress(OSError):  # the terminal is gone with the process
                while terminal.read(4096):
                    pass
            process.wait()
        assert " INFO app.jobs: at info job_id=one" in first

    def test_a_hosts_own_logging_is_left_alone(self) -> None:
        root = logging.getLogger()
        before = (list(root.handlers), root.level, logging.getLogger("app").level, sys.excepthook)
        assert root.handlers, "pytest is the host"
        set_up_logging("DEBUG")
        assert (list(root.handlers), root.level, logging.getLogger("app").level, sys.excepthook) == before

    @staticmethod
    def process(level: str, form: LogForm = "text") -> subprocess.CompletedProcess[str]:
        code = PROCESS.format(level=level, form=form)
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
