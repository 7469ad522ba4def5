"""The endpoints below /v1, as OpenAI's clients know them."""

from __future__ import annotations

from fastapi import APIRouter

from app.access.caller import Scope
from app.access.requires import requires
from app.routes.openai import chat, completions, models

router = APIRouter(prefix="/v1", tags=["openai"], dependencies=[requires(Scope.QUERY)])
for routes in (models, completions, chat):
    router.include_router(routes.router)
