"""API keys for tests, as the headers that bring them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from app.access.caller import Scope
from app.access.keys import KeyFolder
from app.settings import Settings

Headers = dict[str, str]


def key_for(
    settings: Settings,
    name: str,
    scopes: Iterable[Scope] = tuple(Scope),
    models: Iterable[str] | None = None,
    expires: datetime | None = None,
) -> Headers:
    """The headers of a new key: by default of all scopes, for all models, for ever."""
    return bearing(KeyFolder(settings.keys_dir).create(name, scopes, models, expires))


def bearing(key: str) -> Headers:
    return {"Authorization": f"Bearer {key}"}
