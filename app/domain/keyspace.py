"""The names of all our keys in Redis, and of the queues.

RQ names its own keys (``rq:*``); some of them ``app/jobs/queue`` and ``workers/queue`` write as well.
"""

from __future__ import annotations

PREFIX = "palimpsest"

WORKERS = f"{PREFIX}:workers"
"""Set of worker ids that registered; a member whose ``worker`` key has expired is dead."""


WORKER_TTL_S = 15
"""How long a worker's card stays without a heartbeat."""


def worker(worker_id: str) -> str:
    """JSON ``WorkerCard`` of one live worker; expires after ``WORKER_TTL_S`` unless its heartbeat renews it."""
    return f"{PREFIX}:worker:{worker_id}"


FOLLOWERS = f"{PREFIX}:followers"
"""Set of ids of those who have inference servers follow a log; one whose ``follower`` key has expired is dead."""

FOLLOWER_TTL_S = 15
"""How long a follower's card stays unless it is written anew."""


def follower(follower_id: str) -> str:
    """JSON ``FollowerCard`` of one live follower; expires after ``FOLLOWER_TTL_S``."""
    return f"{PREFIX}:follower:{follower_id}"


def queue(model: str) -> str:
    """Name of the model's one RQ queue."""
    return f"{PREFIX}.{model}"


def slices(model: str) -> str:
    """Name of the RQ queue from which the model's other workers take slices of a large batch."""
    return f"{PREFIX}-slices.{model}"


SPREAD_TTL_S = 5
"""How long a spread lives without a sign of its leader."""


def spread(spread_id: str) -> str:
    """JSON ``Spread``, present for as long as a leader waits for the slices of one pile; it expires unless renewed."""
    return f"{PREFIX}:spread:{spread_id}"


def spread_updates(spread_id: str) -> str:
    """The tensors that all slices of a spread are computed with (safetensors); expires."""
    return f"{PREFIX}:spread:{spread_id}:updates"


def spread_signs(spread_id: str) -> str:
    """Hash of the signs of life of those who compute slices, by the slice's index; expires."""
    return f"{PREFIX}:spread:{spread_id}:signs"


def spread_answers(spread_id: str) -> str:
    """Hash of what came of the slices, by index: ``+`` and bytes, or ``-`` where a helper declined; expires."""
    return f"{PREFIX}:spread:{spread_id}:answers"


def jobs(model: str) -> str:
    """Sorted set of the model's job ids by time of submission (Unix seconds)."""
    return f"{PREFIX}:jobs:{model}"


def era(model: str) -> str:
    """Token of the time in which Redis loses nothing of the model: the server's run id, and a random part."""
    return f"{PREFIX}:era:{model}"


def idempotency(digest: str) -> str:
    """Fingerprint of the request that came with an ``Idempotency-Key``, by the key's SHA-256."""
    return f"{PREFIX}:idempotency:{digest}"


RATES = f"{PREFIX}:rates"
"""Prefix of the counters of each caller's requests, which the package ``limits`` names."""


def progress(job_id: str) -> str:
    """Stream of one job's ``Progress`` entries."""
    return f"{PREFIX}:progress:{job_id}"


def cancel(job_id: str) -> str:
    """Flag, present when the job was asked to stop; it expires, but the journal keeps the request."""
    return f"{PREFIX}:cancel:{job_id}"


def epoch(model: str) -> str:
    """Counter (INCR) of the model's leaders: the least epoch for the next one, unless the edit log has a later one."""
    return f"{PREFIX}:epoch:{model}"


def lease(model: str) -> str:
    """Id of the worker that leads the model's edit log; expires unless that worker renews it."""
    return f"{PREFIX}:lease:{model}"


def published(model: str) -> str:
    """Stream of the versions that the model's leader has put in service; only the last few are kept."""
    return f"{PREFIX}:published:{model}"
