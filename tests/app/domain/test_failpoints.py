"""Failpoints do nothing unless armed, and then exactly what was asked for, once."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.domain.failpoints import VARIABLE, Point, Tripped, armed, failpoint
from tests.support.logs import commit, log_with

REACH = """
import sys
from app.domain.failpoints import Point, failpoint
for _ in range(3):
    failpoint(Point.QUEUE_POPPED)
    print("passed", flush=True)
"""


def reached_with(value: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, VARIABLE: value}
    return subprocess.run([sys.executable, "-c", REACH], env=environment, capture_output=True, text=True, check=False)


def test_nothing_happens_at_a_point_that_is_not_armed() -> None:
    failpoint(Point.QUEUE_POPPED)
    with armed("queue.popped=raise"):
        failpoint(Point.RESULT_BEFORE)


def test_an_error_comes_at_the_nth_time_and_once() -> None:
    with armed("queue.popped=raise:2"):
        failpoint(Point.QUEUE_POPPED)
        with pytest.raises(Tripped, match=r"queue\.popped"):
            failpoint(Point.QUEUE_POPPED)
        failpoint(Point.QUEUE_POPPED)
    failpoint(Point.QUEUE_POPPED)


@pytest.mark.parametrize(("action", "number"), [("enospc", errno.ENOSPC), ("eio", errno.EIO)])
def test_the_disk_fails_as_asked(action: str, number: int) -> None:
    with armed(f"log.write.before={action}"), pytest.raises(OSError, match=os.strerror(number)) as caught:
        failpoint(Point.LOG_WRITE_BEFORE)
    assert caught.value.errno == number


def test_the_environment_kills_the_process_at_the_second_time() -> None:
    ended = reached_with("queue.popped=kill:2, result.before=raise")
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "passed\n")


@pytest.mark.parametrize("value", ["nowhere=kill", "queue.popped=explode", "queue.popped=kill:0", "queue.popped"])
def test_a_process_does_not_start_with_a_failpoint_that_is_not_there(value: str) -> None:
    assert reached_with(value).returncode == 1


def test_a_stopped_process_goes_on_when_it_is_told_to() -> None:
    environment = {**os.environ, VARIABLE: "queue.popped=stop"}
    with subprocess.Popen([sys.executable, "-c", REACH], env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            process.send_signal(signal.SIGCONT)
            assert process.stdout is not None
            assert process.stdout.read() == "passed\n" * 3
        finally:
            process.kill()


def test_arming_again_replaces_what_was_armed_before_and_the_end_restores_it() -> None:
    with armed("queue.popped=raise:2"):
        failpoint(Point.QUEUE_POPPED)
        with armed(""):
            failpoint(Point.QUEUE_POPPED)
        with pytest.raises(Tripped):
            failpoint(Point.QUEUE_POPPED)


def test_a_count_tells_how_often_a_point_is_reached(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    with armed("log.rename.before=count, log.fsync.after=count") as traps:
        commit(log, 1)
    assert {point: trap.reached for point, trap in traps.items()} == {
        Point.LOG_RENAME_BEFORE: 1,
        Point.LOG_FSYNC_AFTER: 3,
    }
