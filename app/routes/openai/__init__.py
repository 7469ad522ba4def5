"""The endpoints below /v1, as OpenAI's clients know them."""

from __future__ import annotations

from fastapi import APIRouter

from app.routes.openai import chat, completions, models
from app.routes.openai.refusals import OpenAIRoute

router = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAIRoute)
for routes in (models, completions, chat):
    router.include_router(routes.router)
