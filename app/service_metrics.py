"""The queues and the workers as the front end sees them, read from Redis at every scrape."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import get_args

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from app.domain.contract import FollowerCard, ServerState, WorkerCard
from app.engine_fleet import EngineFleet
from app.jobs.queue.depths import Depth, depths
from app.roster import Roster

REMEMBERED_S = 1.0
ROLES = ("leader", "replica")


class ServiceMetrics(Collector):
    """Asked by a registry. While Redis is away it says just that, and the rest of the scrape is as ever."""

    def __init__(self, redis: Redis, models: Callable[[], Iterable[str]]) -> None:
        """``redis``: a client that gives up soon, for nothing else; ``models``: those that are known without it."""
        self._redis, self._models = redis, models
        self._roster, self._engines = Roster(redis), EngineFleet(redis)
        self._lock = threading.Lock()
        self._read_at, self._read = float("-inf"), list[Metric]()

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry that adds this must not read Redis."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """What Redis says, as read at most ``REMEMBERED_S`` ago, however many scrape."""
        with self._lock:
            if time.monotonic() - self._read_at >= REMEMBERED_S:
                self._read, self._read_at = list(self._families()), time.monotonic()
            yield from self._read

    def _families(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("palimpsest_redis_up", "Whether Redis answered the last scrape.")
        try:
            queues, cards = depths(self._redis), self._roster.now()
            ages, followers = self._roster.silent_for(cards), self._engines.followers()
        except RedisError:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield from _of_queues(queues)
        known = {*self._models(), *(queue.model for queue in queues), *(card.model for card in cards)}
        yield _of_roles(sorted(known), cards)
        yield from _of_workers(cards, ages)
        yield from _of_servers(followers)


def _of_queues(queues: Iterable[Depth]) -> Iterator[Metric]:
    model = ("model",)
    waiting = GaugeMetricFamily("palimpsest_queue_jobs", "Jobs that wait.", labels=model)
    running = GaugeMetricFamily("palimpsest_running_jobs", "Jobs that a worker has taken.", labels=model)
    oldest = GaugeMetricFamily(
        "palimpsest_queue_oldest_seconds", "Since the job that is next was accepted; 0: none waits.", labels=model
    )
    for queue in queues:
        for family, value in ((waiting, queue.waiting), (running, queue.running), (oldest, queue.oldest_s)):
            family.add_metric((queue.model,), value)
    yield from (waiting, running, oldest)


def _of_roles(models: Iterable[str], cards: Iterable[WorkerCard]) -> Metric:
    """Zeros too: a model that nobody leads is what an alarm waits for."""
    counts = Counter((card.model, str(card.role)) for card in cards)
    live = GaugeMetricFamily("palimpsest_live_workers", "Live workers of a model.", labels=("model", "role"))
    for model in models:
        for role in ROLES:
            live.add_metric((model, role), counts[model, role])
    return live


def _of_workers(cards: list[WorkerCard], ages: list[float]) -> Iterator[Metric]:
    each = ("model", "worker")
    version = GaugeMetricFamily("palimpsest_live_worker_version", "Version in service, by the card.", labels=each)
    behind = GaugeMetricFamily(
        "palimpsest_live_worker_behind",
        "Versions committed and not in service there, by the card; no sample where the worker cannot tell.",
        labels=each,
    )
    readable = GaugeMetricFamily(
        "palimpsest_live_worker_log_readable", "Whether the worker could look at the edit log.", labels=each
    )
    age = GaugeMetricFamily("palimpsest_live_worker_heartbeat_age_seconds", "Since the last heartbeat.", labels=each)
    for card, seconds in zip(cards, ages, strict=True):
        labels = (card.model, card.worker)
        for family, value in ((version, card.version), (age, seconds), (readable, card.behind is not None)):
            family.add_metric(labels, value)
        if card.behind is not None:
            behind.add_metric(labels, card.behind)
    yield from (version, behind, readable, age)


def _of_servers(followers: Iterable[FollowerCard]) -> Iterator[Metric]:
    each = ("model", "server")
    state = GaugeMetricFamily(
        "palimpsest_engine_server_state", "1 for the state that an inference server is in.", labels=(*each, "state")
    )
    proven = GaugeMetricFamily(
        "palimpsest_engine_server_version",
        "Newest version that an inference server has proven; no sample where it has none.",
        labels=each,
    )
    newest = GaugeMetricFamily(
        "palimpsest_engine_follower_version", "Newest version that a follower knows of.", labels=("model", "follower")
    )
    for follower in followers:
        newest.add_metric((follower.model, follower.follower), follower.version)
        for server in follower.servers:
            labels = (follower.model, server.url)
            for name in get_args(ServerState):
                state.add_metric((*labels, name), server.state == name)
            if server.versions:
                proven.add_metric(labels, server.versions[-1])
    yield from (state, proven, newest)
