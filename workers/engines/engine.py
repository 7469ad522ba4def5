"""What an inference server must be able to do in order to follow a log. Another engine is one more file beside this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Ids = tuple[int, ...]
"""Token ids of a text; only ids are sent, so that a server's tokenizer can differ in nothing."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a server holds.

    base_name: what it calls the base model. adapters: by name, the path that each was loaded from.
    window: the most tokens that it takes, the next one included; None where it does not say.
    """

    base_name: str
    adapters: Mapping[str, str]
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """A text's tokens from the second on: the log-probability of each, in nats, and whether it is the likeliest."""

    log_probabilities: tuple[float, ...]
    likeliest: tuple[bool, ...]


class Engine(Protocol):
    """One server. Calls may take long; one thread makes them.

    Every method raises EngineUnreachable if the server does not answer, and EngineFailed if it refuses.
    """

    @property
    def url(self) -> str:
        """Where it is asked."""

    def contents(self) -> Contents:
        """Look at what it holds."""

    def load(self, name: str, path: str) -> None:
        """Have it load an adapter, in PEFT's form, from a folder that it sees.

        Raises:
            RankTooHigh: it takes adapters of a smaller rank only.
        """

    def unload(self, name: str) -> None:
        """Have it let go of an adapter; one that is not there is not missed."""

    def scores(self, name: str, texts: Sequence[Ids]) -> list[Scored]:
        """Score texts under an adapter, or the base model, by its name; what was cached before must not answer."""

    def close(self) -> None:
        """Let go of connections."""
