"""Threads that edit stand back; those that answer do not."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from workers.priority import LOWEST, compute_threads, stand_back

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")


def nice_of(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


def test_python_threads_compute_for_themselves_alone() -> None:
    with ThreadPoolExecutor(1) as other:
        of_other = other.submit(compute_threads).result()
    assert threading.get_native_id() not in of_other
    assert threading.get_native_id() == compute_threads()[0]


def test_the_native_threads_that_torch_made_are_among_them() -> None:
    def multiplied() -> tuple[set[int], list[int]]:
        before = {int(task.name) for task in Path("/proc/self/task").iterdir()}
        torch.set_num_threads(3)
        torch.randn(2000, 2000).exp_()
        return before, compute_threads()

    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1) as other:
        before, found = other.submit(multiplied).result()
    torch.set_num_threads(threads)
    assert len(set(found) - before) >= 2


def test_only_the_threads_that_are_named_stand_back() -> None:
    def stand_back_alone() -> tuple[int, int]:
        before = nice_of(0)
        stand_back([threading.get_native_id()], 3)
        return before, nice_of(0)

    others = nice_of(threading.get_native_id())
    with ThreadPoolExecutor(1) as other:
        before, after = other.submit(stand_back_alone).result()
    assert after == min(LOWEST, before + 3)
    assert nice_of(threading.get_native_id()) == others


def test_a_thread_that_has_ended_is_let_be() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert thread.native_id is not None
    stand_back([thread.native_id], 1)
