"""What a change asks for that takes something back: a rollback, a revert."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.domain.contract.values import FactKey, Request


class Rollback(Request):
    """Make an earlier version the newest one, again."""

    to: Annotated[int, Field(ge=0, description="0 is the base model.")]


class Revert(Request):
    """Take facts out while later ones stay; ``GET /models/{model}/facts`` tells each fact's version and index."""

    facts: tuple[FactKey, ...] = Field(min_length=1)
