"""Reports of edits, rollbacks and reverts: how facts stood before, and stand after."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.domain.contract.edits import Unheld
from app.domain.contract.values import FactKey, Reply


class Standing(Reply):
    """How an object stands as the continuation of a prompt, teacher forced.

    ``probability`` is the product over the object's tokens; ``rank`` the worst rank of any of them,
    so that rank 1 means that greedy decoding gives the whole object.
    """

    probability: float
    rank: int


class Attempt(Reply):
    """One try at a fact: what it was given, and what that came to.

    loss: the last NLL of the object that the descent measured, mean over tokens and contexts; None of a method without.
    share: by layer, the part of its residual that the solve realised.
    """

    steps: int = Field(description="Gradient steps at most.")
    rate: float = Field(description="Of the descent.")
    clamp: float = Field(description="Bound of the descent.")
    weight: float = Field(description="The fact counted in the solve as if it were given so often.")
    loss: float | None = None
    rank: int
    share: dict[int, float] = Field(default_factory=dict)


class FactReport(Reply):
    """What became of one fact. ``index`` is that in the batch as it was sent."""

    index: int
    version_index: int | None = Field(
        None,
        description="That among the facts of the new version, by which `revert` names it; null: it is not written.",
    )
    id: str | None = None
    subject: str
    prompt: str
    object: str
    previous: str | None = None
    before: Standing
    after: Standing
    holds: bool
    written: bool = Field(True, description="Whether it is in the version that the batch became.")
    loss: float | None = Field(None, description="Of its target: the last NLL of the object that was measured.")
    share: dict[int, float] = Field(
        default_factory=dict, description="By layer, the part of its residual that the solve realised."
    )
    tried: tuple[Attempt, ...] = Field((), description="What was tried, where once was not enough.")
    why: str | None = Field(None, description="Why it does not hold.")
    paraphrases: tuple[bool, ...] = Field((), description="Whether the object follows each paraphrase.")
    taught: tuple[int, ...] = Field((), description="Indices of the paraphrases that were taught with the fact.")
    neighbours: tuple[bool, ...] = Field((), description="Whether each neighbour keeps its greedy answer.")
    neighbours_right: tuple[bool, ...] = Field(
        (), description="Whether an expected answer of each neighbour stays more probable than the new object."
    )
    ends: bool | None = Field(
        None,
        description="Whether the text, or the turn, ends after the object; null: the fact does not hold, or the model "
        "has no token for an end.",
    )
    warnings: tuple[str, ...] = Field((), description="What to know of how the fact was read.")


class Drift(Reply):
    """How far a version's next tokens are from an earlier one's, over the same places of the same texts."""

    kl: float = Field(description="Mean KL of the earlier version's distribution to this one's, in nats a token.")
    top1: float = Field(description="Share of places where both have the same likeliest token.")
    perplexity: float = Field(description="Perplexity of this version over that of the earlier one.")


class Harm(Reply):
    """What an edit did to text that has nothing to do with it."""

    tokens: int = Field(description="How many places were compared.")
    before: Drift = Field(description="Against the version before.")
    base: Drift = Field(description="Against version 0.")


class SpreadReport(Reply):
    """How a large batch was computed by several workers of its model."""

    workers: int = Field(description="Whose results were taken, the leader among them.")
    slices: int = Field(description="Slices that were cut, of all tasks of the batch.")
    redone: int = Field(description="Slices that the leader computed again, since their worker died or fell behind.")


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
    paraphrases_hold: float | None = Field(description="Share of the paraphrases that were asked and not taught.")
    taught_hold: float | None = Field(None, description="Share of the paraphrases that were taught.")
    neighbours_keep: float | None
    neighbours_right: float | None = None
    unheld: Unheld = Field("keep", description="What was to become of facts that do not hold.")
    attempts: int = Field(1, description="How often the batch was solved until it was as it is.")
    rejected: str | None = Field(None, description="Why nothing was written.")
    harm: Harm | None = Field(None, description="None where no texts are kept with the model.")
    companions: int = Field(
        0, description="Earlier facts still in force that were optimised together with the batch, so that they hold."
    )
    companions_hold: float | None = None
    companions_lost: tuple[FactKey, ...] = Field((), description="Those that held before and do not now.")
    update_norms: dict[int, float] = Field(description="Frobenius norm of the update, per layer.")
    seconds: float
    peak_memory_mb: float | None = None
    spread: SpreadReport | None = Field(None, description="None: one worker computed all of it.")


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
