"""Who sends a request, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a key may be good for. None implies another."""

    QUERY = "query"
    """Ask the models, and read: models, versions, facts in force, jobs, metrics."""
    EDIT = "edit"
    """Hand in facts, and cancel jobs."""
    PUBLISH = "publish"
    """Decide what is served: edits that take effect at once, rollbacks, reverts."""
    ADMIN = "admin"
    """Take models in and out, and write versions down as files for others."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of a key.

    name: the key's name; empty where no key exists and nobody is told from anybody.
    models: those that the key is good for, for which no others exist; None: all.
    """

    name: str
    scopes: frozenset[Scope]
    models: frozenset[str] | None = None

    @property
    def by(self) -> str | None:
        """What stands in jobs and manifests of what they do: the key's name."""
        return self.name or None

    def may_touch(self, model: str) -> bool:
        """Whether the model exists for them."""
        return self.models is None or model in self.models


ANYONE = Caller("", frozenset(Scope))
"""Whoever asks while no key has been made: nobody but programs on this machine, see ``gate``."""
