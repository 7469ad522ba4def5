"""What a queued job calls: what the front end puts into the queue, and a worker takes out of it.

The function's name is looked up and never imported; its one argument is the request as JSON. Jobs may be in a queue
while both sides are replaced by a later release, so names and arguments stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from app.domain.contract import JobKind

EXPECTED_VERSION = "expected_version"
"""Keyword of the version that the model must be at when the job's turn comes; left out where any will do."""

REQUEST_ID = "request_id"
"""In a queued job's metadata: the id of the request that it came with; null where there was none."""

FUNCTIONS: Mapping[JobKind, str] = MappingProxyType(
    {kind: f"workers.jobs.{'apply_edits' if kind is JobKind.EDIT else kind}" for kind in JobKind}
)
"""The function of each kind, by name."""

KINDS: Mapping[str, JobKind] = MappingProxyType({name: kind for kind, name in FUNCTIONS.items()})
"""The kind of each function."""
