"""The gate in front of all routes: whoever is not known gets no further, whatever they ask for.

It stands before the router, so that a route is shut because it is there, and not because somebody thought of it.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.access.caller import ANYONE, Caller
from app.access.keyring import LiveKeys
from app.access.this_machine import from_this_machine
from app.domain.bearer import bearer_token
from app.domain.errors import PalimpsestError, Unauthenticated
from app.domain.problems import MEDIA_TYPE, headers_of, problem_of
from app.openai_errors import told

OPEN = frozenset({"/healthz", "/readyz", "/"})
"""Paths that need no key: whether the service is up, and the page, which brings no data of its own."""
OPEN_FOLDER = "/page/"
"""Below this lie the page's static files, and nothing else."""

CALLER = "caller"
"""Where the request's state has who sends it."""

POLICY_VIOLATION = 1008


class Gate:
    """ASGI middleware: a request goes on with its ``Caller``, or is answered with 401. The body is not read."""

    def __init__(self, app: ASGIApp, keys: LiveKeys, *, allow_open: bool) -> None:
        """``allow_open``: whether anybody at all is let in while no key exists."""
        self._app, self._keys, self._allow_open = app, keys, allow_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        if scope["type"] == "websocket":  # there are none, and nobody has thought of how they would bring a key
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        if scope["type"] == "http" and not is_open(path_of(scope)):
            try:
                caller = await self._caller(scope)
            except PalimpsestError as error:
                await _refusal(error, path_of(scope))(scope, receive, send)
                return
            scope.setdefault("state", {})[CALLER] = caller
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller:
        """Who sends the request.

        Raises:
            Unauthenticated: nobody who is known here. Unavailable: the keys cannot be read.
        """
        ring = await self._keys.now()
        if ring.any:
            key = bearer_token(scope["headers"])
            if key is None:
                raise Unauthenticated("Send your key in one header, Authorization: Bearer <key>.")
            return ring.caller(key)
        if self._allow_open or from_this_machine(scope):
            return ANYONE
        detail = "No API key exists yet, so only programs on the service's own machine are answered. "
        raise Unauthenticated(f"{detail}There, `palimpsest keys create NAME` makes one.")


def is_open(path: str) -> bool:
    """Whether a path needs no key. Paths are compared as the router compares them: what is not the same is shut."""
    return path in OPEN or path.startswith(OPEN_FOLDER)


def path_of(scope: Scope) -> str:
    """The path as the router sees it: without the prefix that the service may be mounted at."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _refusal(error: PalimpsestError, path: str) -> Response:
    problem = told(problem_of(error), path)
    return Response(problem.model_dump_json(), problem.status, headers_of(error), MEDIA_TYPE)
