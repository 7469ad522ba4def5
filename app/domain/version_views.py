"""What crosses HTTP about one version, about what lies between two, and about going back."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from app.domain.contract import EditReport, FactInForce, InForceReport, Reply, Request, Version
from app.domain.manifest import FactKey


class Rollback(Request):
    """Make an earlier version the newest one, again."""

    to: Annotated[int, Field(ge=0, description="0 is the base model.")]


class Revert(Request):
    """Take facts out while later ones stay; ``GET /models/{model}/facts`` tells each fact's version and index."""

    facts: tuple[FactKey, ...] = Field(min_length=1)


class ChangedFact(Reply):
    """The same subject and prompt, with another object."""

    before: FactInForce
    after: FactInForce


class FactDiff(Reply):
    """Facts that are in force at one version and not, or otherwise, at the other."""

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
    epoch: int = 0
    parent: str | None = Field(None, description="SHA-256 of the manifest, or base, that this one follows from.")
    bytes: int = Field(0, description="Size of its files.")
    compacted: bool = Field(False, description="Its tensors were removed: it cannot be gone back to.")
