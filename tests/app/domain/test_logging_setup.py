"""Logging of a process: what its level lets through, what its end says, and that a host's own is left alone."""

from __future__ import annotations

import logging
import re
import subprocess
import sys

import pytest

from app.domain.logging_setup import set_up_logging

PROCESS = """
import logging, sys, threading
import rq.worker
from app.domain.logging_setup import set_up_logging
assert not logging.getLogger().handlers, "importing sets nothing up"
set_up_logging({level!r})
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

    def test_a_hosts_own_logging_is_left_alone(self) -> None:
        root = logging.getLogger()
        before = (list(root.handlers), root.level, logging.getLogger("app").level, sys.excepthook)
        assert root.handlers, "pytest is the host"
        set_up_logging("DEBUG")
        assert (list(root.handlers), root.level, logging.getLogger("app").level, sys.excepthook) == before

    @staticmethod
    def process(level: str) -> subprocess.CompletedProcess[str]:
        code = PROCESS.format(level=level)
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
