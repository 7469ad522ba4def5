"""Requests about aliases, and where their versions are served, as values: what ``calls`` is for all else."""

from __future__ import annotations

from typing import Literal

from app.client.calls import IF_MATCH, JSON, Call, get, json_body, part
from app.domain.contract import Alias, AliasList, AliasMove, Serving


def aliases(model: str) -> Call[AliasList]:
    """The names that point to versions."""
    return get(_aliases(model), AliasList)


def alias(model: str, name: str) -> Call[Alias]:
    """One of them."""
    return get(f"{_aliases(model)}/{part(name)}", Alias)


def move(model: str, name: str, version: int, if_match: int | Literal["*"] | None) -> Call[Alias]:
    """A version to point to. Not sent again unasked: the second time, the alias does not point to ``if_match``."""
    headers = {"Content-Type": JSON, **_from(if_match)}
    return Call(
        "PUT", f"{_aliases(model)}/{part(name)}", Alias, headers=headers, content=json_body({"version": version})
    )


def remove(model: str, name: str, if_match: int | Literal["*"]) -> Call[AliasMove]:
    """An alias to point nowhere."""
    return Call("DELETE", f"{_aliases(model)}/{part(name)}", AliasMove, headers=_from(if_match))


def serving(model: str) -> Call[Serving]:
    """The inference servers that follow a model."""
    return get(f"/models/{part(model)}/serving", Serving)


def _aliases(model: str) -> str:
    return f"/models/{part(model)}/aliases"


def _from(if_match: int | Literal["*"] | None) -> dict[str, str]:
    if if_match is None:
        return {}
    return {IF_MATCH: "*" if if_match == "*" else f'"{if_match}"'}
