"""Inference servers that follow the edit log, such as vLLM: what a follower says of them, and what callers are told."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from app.domain.contract.values import FactKey, Reply

Engine = Literal["vllm"]

ServerState = Literal["serving", "behind", "unreachable", "refused"]
"""``serving``: it has proven the newest version. ``behind``: it answers, from older versions; ``problem`` says why, if
it is not just busy with the newest. ``unreachable``: it does not answer. ``refused``: its base model is not ours."""


class Approximation(Reply):
    """A version whose change needs a higher rank than a server takes, and which is served as the best of that rank."""

    version: int
    rank: int = Field(description="The rank that is served.")
    needed: int = Field(description="The rank that the version's change has.")
    error: float = Field(description="What is left out, relative to the change (Frobenius norms), of the worst layer.")
    facts_held: int = Field(description="Facts in force that the worker gives at this version.")
    facts_lost: tuple[FactKey, ...] = Field((), description="Those of them that the server does not give.")


class EngineServer(Reply):
    """One inference server."""

    url: str = Field(description="Where it is asked, without `/v1`.")
    state: ServerState
    versions: tuple[int, ...] = Field(
        description="The versions that it has proven, ascending: each is served under `<model>@<version>`, and its "
        "log probabilities are the worker's within the tolerance. 0 is the base model, under the server's own name."
    )
    base_name: str | None = Field(None, description="What the server calls the base model; null: not known yet.")
    largest_error: float | None = Field(
        None, description="Nats between its log probabilities and the worker's, the worst of its newest proof."
    )
    approximations: tuple[Approximation, ...] = Field(
        (), description="Of its versions, those that are served as nearly as its rank allows."
    )
    proofs_failed: int = Field(0, description="Since the follower started: how often it did not answer as the worker.")
    seconds_to_proven: float | None = Field(
        None, description="From the commit of the newest version that it has proven to the proof."
    )
    problem: str | None = Field(None, description="Why it is not on the newest version, in words.")
    checked: datetime = Field(description="When it was last looked at.")


class FollowerCard(Reply):
    """What one follower says of its servers; one follower a model and engine."""

    follower: str
    model: str
    engine: Engine
    version: int = Field(description="The newest committed version that it knows of.")
    tolerance: float = Field(description="Nats by which a log probability may differ from the worker's.")
    servers: tuple[EngineServer, ...]
    started: datetime


class Serving(Reply):
    """Where the versions of a model are served beside its workers."""

    model: str
    version: int = Field(description="The newest committed version.")
    followers: tuple[FollowerCard, ...]
