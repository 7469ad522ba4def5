"""The client under the name that it is imported by: ``from palimpsest import Client``."""

from __future__ import annotations

from app.client import *  # noqa: F403 - all of its names, and no other
from app.client import __all__ as __all__
