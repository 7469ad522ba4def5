"""What the headers of a request that changes or exports a model may ask for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions under which a request is carried out.

    Attributes:
        key: the caller's ``Idempotency-Key``, by which a repeated request is recognised; None: no key.
        if_match: entity tags, one of which must be the model's version, now and when the job's turn comes; None: any.
    """

    key: str | None = None
    if_match: str | None = None
