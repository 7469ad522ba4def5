"""Which module of the model made an edit's numbers NaN or infinite: told with the error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from app.domain.errors import NonFiniteUpdate
from workers.editing.lookup import TokenisedFact
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.overflow import first_overflow, overflow_at

ROWS = 64
"""So many are run again, one by one, to look for the module."""


@contextmanager
def naming_overflow(shadow: EditableModel, facts: Sequence[TokenisedFact]) -> Iterator[None]:
    """Add the module's name to a NonFiniteUpdate, if the facts' rows alone show it: δ may be what overflows."""
    try:
        yield
    except NonFiniteUpdate as error:
        rows = [(*each.row.ids, *each.object) for fact in facts for each in fact.continued]
        tensors = (torch.tensor([row], device=shadow.device) for row in rows[:ROWS])
        name = next(filter(None, (first_overflow(shadow.model, ids) for ids in tensors)), None)
        if name is None:
            raise
        detail = f"{error.detail}; {overflow_at(shadow.model, name)}"
        raise NonFiniteUpdate(detail, field=error.field, value=error.value) from error
