"""A service without keys is for this machine alone."""

from __future__ import annotations

from app.access.keyring import KeyRing
from app.access.keys import KeyFolder
from app.domain.addresses import is_loopback
from app.domain.errors import Forbidden
from app.settings import Settings


def refuse_open(host: str, settings: Settings) -> None:
    """Return if the service may listen on ``host``: where other machines reach it, only once there is a key.

    Raises:
        Forbidden: there is none, and nothing says that strangers are kept out otherwise.
        OSError: the keys cannot be read.
    """
    if is_loopback(host) or settings.allow_open or KeyRing.read(KeyFolder(settings.keys_dir)).any:
        return
    raise Forbidden(
        f"On {host} other machines can reach the service, and no API key exists in {settings.keys_dir}. Make one first "
        "(palimpsest keys create NAME --scope query --scope edit --scope publish), listen on 127.0.0.1, or set "
        "PALIMPSEST_ALLOW_OPEN=true if something else keeps strangers out.",
        field="host",
        value=host,
    )
