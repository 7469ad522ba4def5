"""What the routes have in common that ask a model, in whatever version."""

from __future__ import annotations

from app.domain.contract import AnyVersion, NamedVersion
from app.domain.errors import (
    BodyTooLarge,
    CompactedVersion,
    DamagedVersion,
    ModelUnavailable,
    PromptTooLong,
    Unavailable,
    UnknownAlias,
    UnknownModel,
    UnknownProposal,
    UnknownVersion,
    VersionNotReached,
)
from app.edit_logs import EditLogs
from app.fleet import Fleet

REFUSED = (
    BodyTooLarge,
    CompactedVersion,
    DamagedVersion,
    ModelUnavailable,
    PromptTooLong,
    Unavailable,
    UnknownAlias,
    UnknownModel,
    UnknownProposal,
    UnknownVersion,
    VersionNotReached,
)
"""What any of them may be refused for."""


def asked_of(
    fleet: Fleet, logs: EditLogs, model: str | None, version: NamedVersion | None
) -> tuple[str, AnyVersion | None]:
    """The model that a request names, and the version of it: an alias is looked up here, once a request.

    Raises:
        RequestError, UnknownModel, ModelUnavailable: as ``Fleet.resolve`` does.
        UnknownAlias, DamagedVersion: as ``EditLogs.pinned`` does.
    """
    found = fleet.resolve(model)
    return found, logs.pinned(found, version)
