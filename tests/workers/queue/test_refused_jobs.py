"""Nothing that stands in a job's data is imported, called, unpickled or run."""

from __future__ import annotations

import json
import pickle
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from rq import Callback, Webhook
from rq.job import JobStatus as QueueStatus

from tests.support.worker_bench import APPLY, Bench, batch


class TestRefusals:
    def test_a_function_that_is_not_listed_is_not_run(self, bench: Bench, tmp_path: Path) -> None:
        bench.enqueue("one", "os.system", [f"touch {tmp_path}/ran"])
        bench.work()
        assert bench.job("one").get_status() is QueueStatus.FAILED
        assert not (tmp_path / "ran").exists()

    def test_its_module_is_not_imported(self, bench: Bench) -> None:
        bench.enqueue("one", "antigravity.geohash", [1, 2, 3])
        bench.work()
        assert bench.job("one").get_status() is QueueStatus.FAILED
        assert "antigravity" not in sys.modules

    def test_a_listed_name_on_another_object_is_refused(self, bench: Bench) -> None:
        bench.enqueue("one")
        data = json.dumps([APPLY, "an instance", [batch().model_dump_json()], {}])
        bench.redis.hset("rq:job:one", "data", data)
        bench.work()
        assert bench.job("one").get_status() is QueueStatus.FAILED

    def test_a_caller_cannot_bring_a_delivery_of_its_own(self, bench: Bench) -> None:
        bench.enqueue("one", kwargs={"run": {"job_id": "two"}})
        bench.work()
        assert bench.job("one").get_status() is QueueStatus.FAILED
        assert bench.host.version == 0

    def test_pickled_data_stay_pickled(self, bench: Bench, tmp_path: Path) -> None:
        class Bomb:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (tmp_path / "ran",)

        bench.enqueue("one")
        bench.redis.hset("rq:job:one", "data", pickle.dumps((APPLY, None, (Bomb(),), {})))
        bench.work()
        assert bench.job("one").get_status() is QueueStatus.FAILED
        assert not (tmp_path / "ran").exists()

    def test_callbacks_and_webhooks_of_a_job_are_not_called(self, bench: Bench) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0)
            webhook = Webhook(f"http://127.0.0.1:{listener.getsockname()[1]}/", "finished", timeout=1)
            bench.enqueue("one", on_success=Callback("antigravity.geohash"), webhooks=[webhook])
            bench.work()
            with pytest.raises(BlockingIOError):
                listener.accept()
        assert bench.outcome("one").version == 1
        assert "antigravity" not in sys.modules
