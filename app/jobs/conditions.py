"""What a request that changes or exports a model may say beside its body."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which a request is to be carried out.

    Attributes:
        key: what tells the request from all others, so that it may come again, if the caller has said so.
        if_match: the entity tags of which the model's version must have one, now and when the job's turn comes.
    """

    key: str | None = None
    if_match: str | None = None
