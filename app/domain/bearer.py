"""The secret in an ``Authorization`` header (RFC 6750), for both HTTP servers."""

from __future__ import annotations

from collections.abc import Iterable

SCHEME = b"bearer"
LONGEST = 1024
"""No secret of ours is longer, in bytes."""


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """What comes after ``Bearer`` in the request's one ``Authorization`` header; None if there is no such header.

    headers: their names in lower case, as ASGI has them.
    """
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) != 1:  # of two, each may be what somebody on the way has looked at
        return None
    scheme, _, token = given[0].partition(b" ")
    token = token.strip()
    return token if scheme.lower() == SCHEME and 0 < len(token) <= LONGEST else None
