"""Aliases: names that point to a version and can be moved, such as `production`; requests and what is told of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeGuard

from pydantic import AfterValidator, Field, StringConstraints

from app.domain.contract.proposal_ids import PREFIX, AnyVersion
from app.domain.contract.values import Reply, Request


def _no_proposal(name: str) -> str:
    if name.startswith(PREFIX):
        raise ValueError(f"the ids of proposals begin with {PREFIX}")
    return name


AliasName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$"), AfterValidator(_no_proposal)]
"""Never a number nor the id of a proposal: ``model@name`` means one thing."""

NamedVersion = AnyVersion | AliasName
"""What callers may name a version by; a worker is asked for what an alias points to, never for the alias."""


def is_alias(version: NamedVersion | None) -> TypeGuard[str]:
    """Whether a version is named by an alias."""
    return isinstance(version, str) and not version.startswith(PREFIX)


class MoveAlias(Request):
    """Where an alias shall point to."""

    version: Annotated[int, Field(ge=0)] = Field(description="A committed version; 0 is the base model.")


class AliasMove(Reply):
    """One move of an alias."""

    number: int = Field(description="Counts the moves of the alias, from 1.")
    version: int | None = Field(description="Where it points to since; null: nowhere, it was removed.")
    by: str | None = Field(None, description="Name of the API key that moved it, if any.")
    moved: datetime


class Alias(Reply):
    """An alias and the version that it points to."""

    name: str
    id: str = Field(description="What to call it where a model is named: `<model>@<name>`.")
    model: str
    version: int
    by: str | None = Field(None, description="Name of the API key that moved it there, if any.")
    moved: datetime
    moves: tuple[AliasMove, ...] = Field((), description="The last moves, newest first; none in lists.")


class AliasList(Reply):
    """The aliases of a model, by name."""

    model: str
    aliases: tuple[Alias, ...]
