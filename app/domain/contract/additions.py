"""Adding a model while the service runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from app.domain.contract.values import Name, Request

ModelNamed = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,119}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,119}$")
]
"""A name, or an owner and a name; never a path."""


class AddModel(Request):
    """A model to be served."""

    model: ModelNamed = Field(
        description="The name of a model that comes along, or of a folder in the service's models_dir; or a hub id."
    )
    name: Name | None = Field(None, description="What requests call it; None: the last part of `model`.")
    onboard: bool = Field(
        True, description="Onboard a model that was not met before; else it is served with the generic preset."
    )

    @property
    def called(self) -> str:
        """What requests call it."""
        return self.model.rpartition("/")[2] if self.name is None else self.name
