"""Every variable of the environment that front end and workers take their settings from."""

from __future__ import annotations

from app.settings import Settings
from workers.settings import WorkerSettings


def known_variables() -> set[str]:
    """Of both sides."""
    return {settings.variable(name) for settings in (Settings, WorkerSettings) for name in settings.model_fields}
