"""A paraphrase of a fact: another prompt that its object should follow, asked in the report or taught with it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from app.domain.contract.values import Request, Text, prompt_alone


class Paraphrase(Request):
    """Another prompt of a fact. One that is taught has the subject in it once, or one {} where it stands.

    All methods teach it, under ``strict`` too: it is one more context of the fact, in which the prompt reads otherwise.
    """

    prompt: Text
    teach: bool = Field(
        False, description="Edit the fact so that its object follows this prompt too, and not only ask whether it does."
    )


AnyParaphrase = Annotated[Paraphrase, BeforeValidator(prompt_alone, json_schema_input_type=Text | Paraphrase)]
"""A paraphrase; may be given as its prompt alone."""
