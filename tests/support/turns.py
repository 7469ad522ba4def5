"""Jobs done by a host at once, as when their turn has come, without a queue."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from app.domain.contract import AnyJobRequest, JobOutcome, Progress
from workers.editing.model.anatomy import bytes_of
from workers.host.model_host import ModelHost
from workers.host.turn import Turn
from workers.host.work import carry_out


def _unheard(_: Progress) -> None:
    """The default of ``tell``: does nothing."""


def _on() -> None:
    """The default of ``check``: the work may go on."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Steps that a test hears of, and may end."""

    tell: Callable[[Progress], None] = _unheard
    check: Callable[[], None] = _on


def digest_of(host: ModelHost) -> str:
    """sha256 over the float32 weights of all layers that were ever edited.

    The same log gives the same digest on the same machine; another processor's products may round otherwise.
    """
    digest = hashlib.sha256()
    for layer in sorted(host.knowledge.layers):
        digest.update(bytes_of(host.live.weights(layer).applied))
    return digest.hexdigest()


def done(
    host: ModelHost,
    job_id: str,
    request: AnyJobRequest,
    steps: Watched | None = None,
    expected_version: int | None = None,
) -> JobOutcome:
    """What becomes of a job whose turn has come."""
    return carry_out(host, Turn(job_id, request, host.version, expected_version), steps or Watched())
