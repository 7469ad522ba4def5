"""What proposals are called, and with them the versions that can be asked: by number, or by proposal."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

PREFIX = "proposed-"

ProposalId = Annotated[str, StringConstraints(pattern=rf"^{PREFIX}[0-9]{{8}}$")]
"""Of a version that waits to be published; behind the model's name and an ``@`` it is the version's own name."""

AnyVersion = Annotated[int, Field(ge=0)] | ProposalId
"""A version of the history by its number; or a proposed one, which has none yet."""
