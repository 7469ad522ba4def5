"""What is served, by whom, and its history."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from app.domain.contract.values import Reply


class WorkerCard(Reply):
    """What a live worker says of itself, in Redis and at ``/state``."""

    worker: str
    model: str
    source: str = Field(
        description="What the model was loaded from: a hub id, or the name of a folder, without its path."
    )
    source_note: str | None = Field(
        None, description="Of a model that was converted from a GGUF file: which file, and what was lost."
    )
    revision: str | None = None
    url: str = Field(description="Base URL of the worker's own HTTP.")
    role: Literal["leader", "replica"] = "leader"
    version: int
    behind: int | None = Field(
        0, description="Versions that are committed and not in service here yet; null: it cannot be told."
    )
    device: str
    dtype: str
    layers: int
    window: int = Field(description="Longest sequence the model takes, in tokens.")
    methods: tuple[str, ...]
    plans: tuple[str, ...]
    default_method: str
    default_plan: str
    default_layers: tuple[int, ...] = Field((), description="Critical layers, of which the plan takes all or some.")
    started: datetime


class ModelView(Reply):
    """One model; ``live`` says whether a worker serves it now."""

    id: str
    version: int
    live: bool
    workers: tuple[WorkerCard, ...] = ()


class ModelList(Reply):
    """What is served, and what was served and still has a log."""

    models: tuple[ModelView, ...]


class Version(Reply):
    """One version of a model, without its tensors."""

    version: int
    kind: Literal["base", "edit", "revert", "rollback"]
    job: str | None = None
    by: str | None = Field(None, description="Name of the API key that its job was handed in with.")
    created: datetime
    method: str | None = None
    plan: str | None = None
    facts: int = 0
    facts_hold: float | None = None
    update_norms: dict[int, float] = Field(default_factory=dict)


class VersionList(Reply):
    """A model's history, or a part of it, oldest first."""

    model: str
    head: int
    versions: tuple[Version, ...]
    has_more: bool = Field(False, description="Whether there are older ones: ask `before` the first one's number.")


class FactInForce(Reply):
    """A fact that is neither superseded nor taken out; ``version`` and ``index`` name it to ``revert``."""

    subject: str
    prompt: str
    object: str
    previous: str | None = None
    id: str | None = None
    job: str
    version: int
    index: int


class FactList(Reply):
    """The facts in force at a version, in the order in which they were written."""

    model: str
    version: int
    facts: tuple[FactInForce, ...]


class Health(Reply):
    """Liveness or readiness."""

    status: Literal["ok"]
    detail: str | None = None
