"""``Idempotency-Key``: a request that is sent again is answered with the job of the first one.

After draft-ietf-httpapi-idempotency-key-header. The id of a request's job is made from key and request. So queue,
journal and edit log recognise a repeated request, and a key that comes with another one, even if Redis has lost the
keys. The keys in Redis give the same answers sooner, and also while the first request is not answered yet.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from secrets import token_hex
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from app.domain import keyspace
from app.domain.errors import IdempotencyKeyReused
from app.edit_logs import EditLogs
from app.jobs.journal import AcceptedJournal
from app.settings import Settings

logger = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
HALF = 24
"""Hexadecimal digits of a job's id that are made from the key; as many are made from the request."""
LONGER_THAN_A_QUESTION_S = 60
"""Seconds for which an unanswered request holds its key, beside those of one question to a worker."""

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class IdempotencyKeys:
    """The keys that were seen lately, and the fingerprints of the requests that they came with."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._ttl_s = settings.idempotency_ttl_s
        self._in_flight_s = int(settings.question_timeout_s) + LONGER_THAN_A_QUESTION_S

    @contextmanager
    def held(self, key: str, fingerprint: str) -> Iterator[bool]:
        """Remember key and fingerprint while a request is handled and, if the block ends without an error, after it.

        Yields:
            Whether this is the only request that holds the key; False: an earlier one does, or was accepted.

        Raises:
            IdempotencyKeyReused: the key came with another fingerprint.
        """
        name = keyspace.idempotency(hashlib.sha256(key.encode()).hexdigest())
        mine = f"{fingerprint} {token_hex(8)}"
        alone = bool(self._redis.set(name, mine, nx=True, ex=self._in_flight_s))
        if not alone and self._fingerprint(name) not in (None, fingerprint):
            raise IdempotencyKeyReused(f"This {HEADER} came with another request before.", field=HEADER, value=key)
        try:
            yield alone
        except BaseException:  # whatever it is: forget the key, and raise it again
            with suppress(RedisError):
                self._redis.eval(_RELEASE, 1, name, mine)
            raise
        try:
            self._redis.set(name, fingerprint, ex=self._ttl_s)
        except RedisError as error:  # the job is accepted all the same, and its id is known
            logger.warning("idempotency key not kept: %s", error)

    def _fingerprint(self, name: str) -> str | None:
        """The fingerprint kept with the key; None if the key has just expired or been released."""
        held = cast("bytes | None", self._redis.get(name))
        return None if held is None else held.decode().partition(" ")[0]


class EarlierRequests:
    """The requests whose jobs are known on disk: they outlast what Redis remembers of their keys."""

    def __init__(self, logs: EditLogs, settings: Settings) -> None:
        self._logs = logs
        self._journal = AcceptedJournal(settings.accepted_dir)
        self._ttl_s = settings.idempotency_ttl_s

    def refuse_another(self, key: str) -> None:
        """Return if no job that came with this key waits, runs, or ended within the time that a key is remembered.

        Raises:
            IdempotencyKeyReused: one does or did. It came with another request: the job of this one is not known.
        """
        begins = _begin_of_jobs(key)
        if self._journal.any_of(begins, time.time() - self._ttl_s) or self._committed(begins):
            raise IdempotencyKeyReused(f"This {HEADER} came with another request before.", field=HEADER, value=key)

    def _committed(self, begins: str) -> bool:
        since = datetime.now(UTC) - timedelta(seconds=self._ttl_s)
        return any(
            (manifest.job or "").startswith(begins)
            for model in self._logs.models()
            for manifest in takewhile(lambda each: each.created >= since, self._logs.of(model).newest_first())
        )


def job_of(key: str, fingerprint: str) -> str:
    """The id of the job of a request with this key: one half is made from the key, one from key and fingerprint."""
    return _begin_of_jobs(key) + hashlib.sha256(f"{key}\n{fingerprint}".encode()).hexdigest()[:HALF]


def _begin_of_jobs(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:HALF]
