"""What the front end and a worker's HTTP must agree on: where to ask what, and the header that names a version."""

from __future__ import annotations

from pydantic import SecretStr

PROBE = "/probe"
"""POST ``Query``: ``QueryReply``."""
SCORES = "/scores"
"""POST ``Score``: ``Scores``."""
GENERATE = "/generate"
"""POST ``Generate``: ``GenerateReply``."""
WRITE = "/write"
"""POST ``Continue``: lines of JSON, first ``Begun``, then a ``Piece`` or ``Broken`` each, as they come."""
CHECK = "/check"
"""POST ``EditBatch``: 204 if it could be edited."""
CHECKS = "/checks"
"""POST ``EditBatches``: ``CheckedBatches``."""
NORMS = "/norms"
"""POST ``Between``: ``UpdateNorms``."""
ALIASES = "/aliases"
"""POST ``MovePage``: the ``MovePage`` of that number that stands, this one or another's."""
STATE = "/state"
"""GET: ``WorkerCard``."""

VERSION_HEADER = "X-Model-Version"
"""The version that answered, in answers of workers and of the front end alike."""


def credentials(secret: SecretStr | None) -> dict[str, str]:
    """The headers by which a worker knows the front end: the shared secret as a bearer token, if there is one."""
    return {} if secret is None else {"Authorization": f"Bearer {secret.get_secret_value()}"}
