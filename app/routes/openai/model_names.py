"""Models as OpenAI's clients name them: ``name`` for what is in service, ``name@version`` for any version,
or for a proposal by its id."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from app.domain.contract import AliasName, AnyVersion, Name, NamedVersion, ProposalId
from app.domain.errors import UnknownModel, UnknownVersion

MARK = "@"
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_NAMED: TypeAdapter[str] = TypeAdapter(ProposalId | AliasName)
LONGEST_VERSION = 12
"""Digits: no log has as many versions."""


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model, and a version of it or an alias that points to one; None: the one in service."""

    name: str
    version: NamedVersion | None

    @classmethod
    def of(cls, text: str) -> ModelName:
        """What is named.

        Raises:
            UnknownModel: no model can have that name. UnknownVersion: what follows it is no version.
        """
        name, mark, version = text.partition(MARK)
        try:
            _NAME.validate_python(name)
        except ValidationError:
            raise UnknownModel("No model can have that name.", field="model", value=text) from None
        if not mark:
            return cls(name, None)
        if version.isascii() and version.isdecimal() and len(version) <= LONGEST_VERSION:
            return cls(name, int(version))
        try:
            return cls(name, _NAMED.validate_python(version))
        except ValidationError:
            detail = f"A version of {name} is a number, an alias, or the id of a proposal."
            raise UnknownVersion(detail, field="model", value=text) from None


def version_name(model: str, version: AnyVersion) -> str:
    """The name of one version."""
    return f"{model}{MARK}{version}"
