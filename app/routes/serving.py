"""Where a model's versions are served beside its workers: by inference servers that follow the edit log."""

from __future__ import annotations

from fastapi import APIRouter

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import EnginesDep, LogDep
from app.domain.contract import Serving
from app.domain.errors import DamagedVersion, UnknownModel
from app.error_handlers import problems
from app.routes import examples

router = APIRouter(tags=["models"], dependencies=[requires(Scope.QUERY)])


@router.get(
    "/models/{model}/serving",
    responses={
        200: {"content": {"application/json": {"examples": examples.SERVING}}},
        **problems(DamagedVersion, UnknownModel),
    },
)
def show_serving(log: LogDep, engines: EnginesDep) -> Serving:
    """The inference servers that follow the model, which versions each has proven, and why one is not on the newest.

    None where nobody has any follow it.
    """
    return Serving(model=log.model, version=log.head(), followers=engines.followers(log.model))
