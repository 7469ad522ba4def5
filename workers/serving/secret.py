"""Who may ask a worker: whoever knows the secret that it shares with the front end."""

from __future__ import annotations

import hmac

from pydantic import SecretStr
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.domain.bearer import bearer_token
from app.domain.errors import Unauthenticated
from app.domain.problems import MEDIA_TYPE, headers_of, problem_of

OPEN = ("/healthz", "/readyz")
"""Paths that probes ask, which know no secret."""
POLICY_VIOLATION = 1008


class SharedSecret:
    """ASGI middleware: a request without the secret is answered with 401, but for those of ``OPEN``.

    Without a secret everybody is answered; such a worker listens on the loopback interface alone, see its settings.
    """

    def __init__(self, app: ASGIApp, secret: SecretStr | None) -> None:
        self._app = app
        self._secret = None if secret is None else secret.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here, its body unread."""
        if scope["type"] == "websocket":  # there are none
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        elif scope["type"] == "http" and scope["path"] not in OPEN and not self._known(scope):
            error = Unauthenticated("Send the secret of the workers in one header, Authorization: Bearer <secret>.")
            problem = problem_of(error)
            answer = Response(problem.model_dump_json(), problem.status, headers_of(error), MEDIA_TYPE)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _known(self, scope: Scope) -> bool:
        """Whether the secret is brought; compared in constant time."""
        if self._secret is None:
            return True
        return hmac.compare_digest(bearer_token(scope["headers"]) or b"", self._secret)
