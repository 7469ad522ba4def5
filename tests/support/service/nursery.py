"""A process that has imported all that a worker needs, and forks workers: a start takes a moment instead of seconds.

It reads requests from its standard input and answers on its standard output, one JSON object a line:
``{"start": [arguments], "failpoints": "...", "output": path}`` -> ``{"pid": n}``; ``{"ended": pid, "wait": true}`` ->
``{"status": n}``, or null while it runs. It computes nothing and has one thread, so that what it forks is as good as
new. Its workers end with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any, NoReturn

import torch

from app.domain.failpoints import armed
from workers.main import main as run_worker
from workers.stopping import Stopping

BROKEN = 70


def main() -> None:
    torch.set_num_threads(1)
    assert threading.active_count() == 1, "a thread would be lost in every fork"
    children: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            pid = os.fork()
            if pid == 0:
                _be_a_worker(request)
            children.add(pid)
            _say({"pid": pid})
            continue
        pid, status = os.waitpid(request["ended"], 0 if request["wait"] else os.WNOHANG)
        children.discard(pid)
        _say({"status": os.waitstatus_to_exitcode(status) if pid else None})
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _be_a_worker(request: dict[str, Any]) -> NoReturn:
    """Run a worker in the fork, and end the process: it must never return into the nursery's loop."""
    status = BROKEN
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number, file in ((0, nothing), (1, output), (2, output)):
            os.dup2(file, number)
        with armed(request["failpoints"]):
            status = run_worker(request["start"], Stopping.installed())
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 0
    finally:
        os._exit(status)


def _say(answer: dict[str, int | None]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
