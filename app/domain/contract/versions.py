"""One version of a model, and what lies between two."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from app.domain.contract.models import FactInForce, Version
from app.domain.contract.reports import EditReport, InForceReport
from app.domain.contract.values import Reply, Request


class ChangedFact(Reply):
    """The same subject and prompt, with another object."""

    before: FactInForce
    after: FactInForce


class FactDiff(Reply):
    """Facts that are in force at only one of two versions, or at both with different objects."""

    added: tuple[FactInForce, ...] = ()
    changed: tuple[ChangedFact, ...] = ()
    taken_out: tuple[FactInForce, ...] = ()


class VersionDiff(Reply):
    """What lies between two versions of a model."""

    model: str
    old: int
    new: int
    facts: FactDiff
    update_norms: dict[int, float] | None = Field(
        description="Frobenius norm of the change per layer; null where only a worker can compute it, and none could."
    )


class Between(Request):
    """Two versions whose weights a worker shall compare."""

    old: Annotated[int, Field(ge=0)]
    new: Annotated[int, Field(ge=0)]


class UpdateNorms(Reply):
    """What a worker found: the Frobenius norm of the change, of each layer that differs."""

    norms: dict[int, float]


class VersionDetail(Version):
    """One version of a model, with what it changed; only its tensors are missing."""

    to: int | None = Field(None, description="Of a rollback: the version that this one is again.")
    facts_in_force: int = 0
    changes: FactDiff = FactDiff()
    strict: bool = False
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    report: EditReport | None = Field(None, description="Of an edit.")
    in_force: InForceReport | None = Field(None, description="Of a rollback or a revert.")
    proposal: str | None = Field(None, description="The proposal that it was before it was published.")
    approved_by: str | None = Field(None, description="Name of the API key that published the proposal, if any.")
    epoch: int = 0
    parent: str | None = Field(None, description="SHA-256 of the manifest, or base, that this one follows from.")
    bytes: int = Field(0, description="Size of its files.")
    compacted: bool = Field(False, description="Its tensors were removed: it cannot be gone back to.")
