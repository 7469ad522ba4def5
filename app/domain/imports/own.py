"""Facts as the service's own requests have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.imports.records import text


def recognises(fields: Mapping[str, Any]) -> bool:
    """Whether a record has this form."""
    return "subject" in fields and "object" in fields


def fact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The record as it is.

    Raises:
        Unusable: it has no subject or object.
    """
    text(fields, "subject")
    text(fields, "object")
    return dict(fields)
