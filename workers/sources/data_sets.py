"""Data sets by name, for those who have the package ``datasets``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.errors import RequestError


def rows_of(named: str, field: str) -> Iterator[Mapping[str, Any]]:
    """The rows of the training split of ``NAME[:SUBSET]``, streamed.

    Raises:
        RequestError: the extra is not installed; with the field.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        detail = "no such file; for a data set by name, install palimpsest[datasets]"
        raise RequestError(detail, field=field, value=named) from None
    name, _, subset = named.partition(":")
    yield from load_dataset(name, subset or None, split="train", streaming=True)
