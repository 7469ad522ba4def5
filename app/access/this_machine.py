"""Whether a request comes from a program on this machine, and from no web page that its browser shows.

While no key exists, that is all that is asked of a caller. A browser on this machine carries other people's requests
too: a page from anywhere may send some to a loopback address (they bear an ``Origin``), and may have its own name lead
there (then ``Host`` has that name). A proxy on this machine carries those of the whole network.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from app.domain.addresses import is_loopback

PROXIES = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers that a proxy adds."""


def from_this_machine(scope: Scope) -> bool:
    """Whether a program on this machine sends this request in its own name."""
    headers, client = Headers(scope=scope), scope.get("client")
    if client is None or not is_loopback(client[0]) or any(name in headers for name in PROXIES):
        return False
    [host, *others] = headers.getlist("host") or [""]
    origins = headers.getlist("origin")
    return not others and is_loopback(_name(host)) and all(_of(origin) == host for origin in origins)


def _name(host: str) -> str:
    """The name or address in a ``Host`` header."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _of(origin: str) -> str:
    """The host and port of an ``Origin`` header; nothing of one that is hidden (``null``)."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
