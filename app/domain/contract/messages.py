"""Messages of a chat, as callers send them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.domain.contract.values import Request, Text


class Message(Request):
    """One message. The model's own chat template says how it is written."""

    role: Literal["system", "user", "assistant"]
    content: Text


Messages = Annotated[tuple[Message, ...], Field(min_length=1, max_length=64)]


def user_turn(text: str) -> tuple[Message, ...]:
    """A chat in which the user says this, and the model is to reply."""
    return (Message.model_construct(role="user", content=text),)
