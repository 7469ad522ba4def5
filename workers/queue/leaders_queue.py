"""A queue from which only the leader takes; a worker that was suspended while another took over does not.

RQ's own way, to wait in Redis for the next job, would hand a job to a stopped worker long after another took over.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from redis import Redis
from rq.exceptions import DequeueTimeout, StopRequested
from rq.intermediate_queue import IntermediateQueue
from rq.queue import Queue

from workers.lead.leadership import Leadership

LOOK_INTERVAL_S = 0.1


def leaders_queue(leadership: Leadership, stopping: Callable[[], bool]) -> type[Queue]:
    """RQ's queue, whose jobs are taken under this leadership; RQ wants a class and makes the queues itself.

    stopping: whether its worker was told to stop, or has heard that the lead is lost.
    """

    class LeadersQueue(Queue):
        """Polls for the next job, and does not block in Redis."""

        @classmethod
        def lmove(cls, connection: Redis, queue_key: str, timeout: int | None) -> tuple[str, bytes] | None:
            """Move the first job to those that are taken.

            Args:
                timeout: seconds to wait for one; None: not at all.

            Raises:
                DequeueTimeout: there was none in time. StopRequested: the worker is stopping.
            """
            taken = IntermediateQueue.get_intermediate_queue_key(queue_key)
            deadline = time.monotonic() + (timeout or 0)
            while not stopping():
                if (job_id := leadership.lease.pop(connection, queue_key, taken)) is not None:
                    return queue_key, job_id
                if timeout is None:
                    return None
                if time.monotonic() >= deadline:
                    raise DequeueTimeout(timeout, queue_key)
                time.sleep(LOOK_INTERVAL_S)
            raise StopRequested

    return LeadersQueue
