"""All requests that become jobs. A new kind of job joins here: its class, in this union."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from app.domain.contract.changes import Revert, Rollback
from app.domain.contract.edits import EditBatch
from app.domain.contract.exports import Export
from app.domain.contract.kinds import JobKind
from app.domain.contract.proposals import Drop, Publish

AnyJobRequest = EditBatch | Rollback | Revert | Export | Publish | Drop

REQUESTS: Mapping[JobKind, type[AnyJobRequest]] = MappingProxyType(
    {request.kind: request for request in get_args(AnyJobRequest)}
)
"""The class of each kind's requests."""
