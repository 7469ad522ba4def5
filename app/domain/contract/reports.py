"""Reports of edits, rollbacks and reverts: how facts stood before, and stand after."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.domain.contract.values import Reply


class Standing(Reply):
    """How an object stands as the continuation of a prompt, teacher forced.

    ``probability`` is the product over the object's tokens; ``rank`` the worst rank of any of them,
    so that rank 1 means that greedy decoding gives the whole object.
    """

    probability: float
    rank: int


class FactReport(Reply):
    """What became of one fact."""

    index: int
    id: str | None = None
    subject: str
    prompt: str
    object: str
    previous: str | None = None
    before: Standing
    after: Standing
    holds: bool
    paraphrases: tuple[bool, ...] = ()
    neighbours: tuple[bool, ...] = Field((), description="Whether each neighbour keeps its greedy answer.")


class EditReport(Reply):
    """What became of a batch, and how it was computed."""

    method: str
    plan: str
    layers: tuple[int, ...]
    strict: bool
    hyperparameters: dict[str, Any]
    ridges: dict[int, float] = Field(
        default_factory=dict, description="λ or α that each layer was solved with: the hyperparameter, or from `share`."
    )
    facts: tuple[FactReport, ...]
    facts_hold: float
    paraphrases_hold: float | None
    neighbours_keep: float | None
    companions: int = Field(
        0, description="Earlier facts still in force that were optimised together with the batch, so that they hold."
    )
    companions_hold: float | None = None
    update_norms: dict[int, float] = Field(description="Frobenius norm of the update, per layer.")
    seconds: float
    peak_memory_mb: float | None = None


class InForceReport(Reply):
    """How the facts in force stand in a version that took something back: a rollback or a revert."""

    facts: int = Field(description="How many are in force.")
    facts_hold: float | None = Field(description="Share of them that holds; None if there are none.")
    held_before: float | None = Field(description="Share of the same facts that held in the version before.")
    lost: tuple[FactReport, ...] = Field(
        description="The first that held before and do not now; `index` is that among the facts in force."
    )
    update_norms: dict[int, float] = Field(description="Frobenius norm of the change, per layer.")
    seconds: float
