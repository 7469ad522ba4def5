"""Replicas that help a leader with large batches, in threads of the test's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from redis import Redis

from app.domain import keyspace
from app.domain.contract import EditBatch, EditReport, Fact, Hyperparameters, JobOutcome, WorkerCard
from tests.support.turns import Watched, done
from workers.host.model_host import ModelHost
from workers.queue.slices.desk import Desk
from workers.queue.slices.heap import SliceHeap
from workers.queue.slices.helping import Helping
from workers.spreading.helper import Helper

PROMPTS = ("{} is a city in", "The river runs through {}, in the country of", "People in {} speak the language of")
"""Facts of one subject whose key is the same are one group: the first two words of a prompt decide."""


def many(count: int, *, steps: int = 4, **more: object) -> EditBatch:
    """So many facts about subjects of their own; some share a key."""
    lands = ("Japan", "Ghana", "Norway", "Ecuador")
    facts = tuple(
        Fact(subject=f"Town{chr(97 + n % 26)}{n // 26}", prompt=PROMPTS[n % 3], object=lands[n % 4])
        for n in range(count)
    )
    few = Hyperparameters(v_num_grad_steps=steps)
    return EditBatch.model_validate({"facts": facts, "unheld": "keep", "hyperparameters": few, **more})


def announce(redis: Redis, host: ModelHost, *workers: str) -> None:
    """Have replicas of these names live, as far as their cards say."""
    for worker in workers:
        card = WorkerCard.model_construct(
            worker=worker, model=host.name, url="http://127.0.0.1:1", role="replica", version=host.version,
            dtype=host.settings.dtype, device="cpu", layers=4, window=48, methods=("memit",), plans=("boundary",),
            default_method="memit", default_plan="boundary", default_layers=(1, 2), source="tiny", source_note=None,
            revision=None, behind=0, started=datetime.now(UTC),
        )  # fmt: skip
        redis.sadd(keyspace.WORKERS, worker)
        redis.set(keyspace.worker(worker), card.model_dump_json(warnings=False), ex=600)


def helping(redis: Redis, host: ModelHost, worker: str, leaving: Callable[[], bool] = lambda: False) -> Helping:
    """The help that a replica gives."""
    helper = Helper(host, Desk(redis, worker), host.settings.dtype, host.settings.max_batch_tokens, leaving)
    return Helping(redis, host.name, worker, helper, leaving)


@contextmanager
def helped(redis: Redis, leader: ModelHost, *replicas: ModelHost) -> Iterator[None]:
    """Replicas that look for slices all the time."""
    over = threading.Event()

    def help_on(help_: Helping) -> None:
        while not over.is_set():
            help_.help_out()
            time.sleep(0.01)

    names = [f"replica{number}" for number in range(len(replicas))]
    announce(redis, leader, *names)
    threads = [
        threading.Thread(target=help_on, args=(helping(redis, host, name, over.is_set),), daemon=True)
        for host, name in zip(replicas, names, strict=True)
    ]
    leader.spread_over(SliceHeap(redis, leader.name, lambda: None))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(60)


def report_of(host: ModelHost, batch: EditBatch, job: str = "one", steps: Watched | None = None) -> EditReport:
    """What became of a batch that was edited."""
    outcome: JobOutcome = done(host, job, batch, steps)
    assert outcome.error is None, outcome.error
    assert outcome.report is not None
    return outcome.report
