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

BY = "by"
"""Keyword of the name of the API key that the job was handed in with; left out where there was none."""
ORIGIN = "origin"
"""In a queued job's metadata: what ``app.domain.origin`` hands on. A worker can do without it."""

FUNCTIONS: Mapping[JobKind, str] = MappingProxyType(
    {kind: f"workers.jobs.{'apply_edits' if kind is JobKind.EDIT else kind}" for kind in JobKind}
)
"""The function of each kind, by name."""

SLICE = "workers.slices.compute"
"""The function of a slice of a large batch, which one worker of a model queues for the others."""

KINDS: Mapping[str, JobKind] = MappingProxyType({name: kind for kind, name in FUNCTIONS.items()})
"""The kind of each function."""
