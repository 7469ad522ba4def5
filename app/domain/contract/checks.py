"""Several batches that a worker checks in one request."""

from __future__ import annotations

from pydantic import Field

from app.domain.contract.edits import EditBatch
from app.domain.contract.jobs import Problem
from app.domain.contract.values import Reply, Request


class EditBatches(Request):
    """Batches that have nothing to do with each other."""

    batches: tuple[EditBatch, ...] = Field(min_length=1)


class CheckedBatches(Reply):
    """What is wrong with each batch, in their order; None: it could be edited."""

    problems: tuple[Problem | None, ...]
