"""Whether a version may be promoted: an alias goes where the inference servers that answer have proven to be."""

from __future__ import annotations

import math

from app.domain.errors import UnprovenVersion
from app.engine_fleet import ANSWERING, EngineFleet


class Promotion:
    """Asked before an alias points to a version that it did not point to before."""

    def __init__(self, engines: EngineFleet, share: float) -> None:
        """``share``: of the servers that answer, those that must have proven the version, in [0, 1]; 0: none."""
        self._engines, self._share = engines, share

    def check(self, model: str, version: int) -> None:
        """Return if so many of the model's servers have proven a version, or if it has no servers.

        Servers that do not answer are asked nothing, and so hold nothing up; but one at least has to have proven it.

        Raises:
            UnprovenVersion: they have not; the value has the servers that are waited for.
        """
        if self._share == 0 or not (servers := self._engines.servers(model)):
            return
        answering = [server for server in servers if server.state in ANSWERING]
        lacking = [server.url for server in answering if version not in server.versions]
        proven = len(answering) - len(lacking)
        if proven >= max(1, math.ceil(self._share * len(answering))):
            return
        if not answering:
            detail = f"None of the inference servers of {model} answers, so that none has proven version {version}."
            raise UnprovenVersion(detail, field="version", value=[server.url for server in servers])
        detail = (
            f"{proven} of {len(answering)} inference servers of {model} have proven version {version}; "
            f"not yet: {', '.join(lacking)}."
        )
        raise UnprovenVersion(detail, field="version", value=lacking)
