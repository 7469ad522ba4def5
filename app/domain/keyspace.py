"""Every Redis key name, in one place. RQ's own keys (``rq:*``) are RQ's business."""

from __future__ import annotations

PREFIX = "palimpsest"

WORKERS = f"{PREFIX}:workers"
"""Set of worker ids that registered; a member whose ``worker`` key has expired is dead."""


def worker(worker_id: str) -> str:
    """JSON ``WorkerCard`` of one live worker; expires unless its heartbeat renews it."""
    return f"{PREFIX}:worker:{worker_id}"


def queue(model: str) -> str:
    """Name of the model's one RQ queue."""
    return f"{PREFIX}.{model}"


def jobs(model: str) -> str:
    """Sorted set of the model's job ids by time of submission (Unix seconds)."""
    return f"{PREFIX}:jobs:{model}"


def era(model: str) -> str:
    """Token of the time in which Redis loses nothing of the model: the server's run id, and a random part."""
    return f"{PREFIX}:era:{model}"


def idempotency(digest: str) -> str:
    """What came with one ``Idempotency-Key``, by the key's SHA-256."""
    return f"{PREFIX}:idempotency:{digest}"


def progress(job_id: str) -> str:
    """Stream of one job's ``Progress`` entries."""
    return f"{PREFIX}:progress:{job_id}"


def cancel(job_id: str) -> str:
    """Durable flag: present when the job was asked to stop."""
    return f"{PREFIX}:cancel:{job_id}"


def epoch(model: str) -> str:
    """Counter of leaders of the model's edit log (INCR)."""
    return f"{PREFIX}:epoch:{model}"


def lease(model: str) -> str:
    """Id of the worker that leads the model's edit log; expires unless that worker renews it."""
    return f"{PREFIX}:lease:{model}"


def published(model: str) -> str:
    """Stream of the versions that the model's leader has put in service; only the last few are kept."""
    return f"{PREFIX}:published:{model}"
