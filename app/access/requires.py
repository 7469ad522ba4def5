"""What a route asks of its caller: ``dependencies=[requires(Scope.EDIT)]``. A route that says nothing is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import RouteContext, iter_route_contexts
from fastapi.security.base import SecurityBase
from starlette.routing import Mount

from app.access.caller import Caller, Scope
from app.access.gate import CALLER, OPEN_FOLDER, is_open
from app.domain.errors import Forbidden


class Requirement(SecurityBase):
    """A dependency of a route: the caller's key must have a scope.

    all_models: whether the route is about all models, and so is not for a key that is good for some.
    """

    def __init__(self, scope: Scope, *, all_models: bool = False) -> None:
        self.scope, self.all_models = scope, all_models
        self.model = HTTPBearer(description="A key that `palimpsest keys create` made.")
        self.scheme_name = "key"

    async def __call__(self, request: Request) -> None:
        """Return if the caller may go on.

        Raises:
            Forbidden: the key lacks the scope, or is good for some models only.
        """
        caller = caller_of(request)
        if self.scope not in caller.scopes:
            raise Forbidden(f"The key {caller.name} lacks the scope {self.scope}.", value=self.scope.value)
        if self.all_models and caller.models is not None:
            raise Forbidden(f"The key {caller.name} is good for some models only, and this is about all of them.")


def requires(scope: Scope, *, all_models: bool = False) -> Any:
    """The dependency that asks for a scope; a router or route may have several, all of which must be given."""
    return Depends(Requirement(scope, all_models=all_models))


def caller_of(request: Request) -> Caller:
    """Who sends the request, as the gate found out."""
    caller: Caller = getattr(request.state, CALLER)
    return caller


def requirements(route: RouteContext) -> list[Requirement]:
    """All that a route asks for."""
    declared = (each.dependency for each in getattr(route, "dependencies", ()))
    return [each for each in declared if isinstance(each, Requirement)]


def undeclared(app: FastAPI) -> Iterator[str]:
    """The routes that are neither open nor say which scope they ask for.

    The application's description of itself asks for a key of any scope.
    """
    described = {app.openapi_url, app.docs_url, app.redoc_url, app.swagger_ui_oauth2_redirect_url}
    for route in iter_route_contexts(app.routes):
        path = str(route.path)
        if isinstance(route.original_route, Mount):
            path += "/"
            known = path.startswith(OPEN_FOLDER)
        else:
            known = is_open(path) or path in described or bool(requirements(route))
        if not known:
            yield path


def refuse_undeclared(app: FastAPI) -> None:
    """Return if every route is open, or says what it asks of its caller.

    Raises:
        RuntimeError: one does not. The application must not be started.
    """
    if found := sorted(undeclared(app)):
        raise RuntimeError(f"routes that do not say which scope they ask for (app/access/requires.py): {found}")
