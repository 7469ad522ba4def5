"""Whether a model can be edited here: replaying a part of a pass must give what the whole pass gives."""

from __future__ import annotations

import torch

from app.domain.errors import UnsupportedArchitecture
from workers.editing.descent.suffix_rows import SuffixRow
from workers.editing.descent.suffixes import suffix_batches
from workers.editing.model.anatomy import Site
from workers.editing.model.editable_model import EditableModel

ROWS = (SuffixRow(0, (1, 2, 3), (4, 5)), SuffixRow(1, (6,), (2, 7)), SuffixRow(2, (5, 3), (6, 1, 2)))
"""Made-up rows whose prefixes differ in length, so that one of them is padded, and whose suffixes do."""

TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3}
"""Largest difference of a logit, relative to the largest one. 1e-3 in float64 too: many families have float32 norms."""

TOLERANCE_OF_NARROW_DTYPES = 5e-2


@torch.no_grad()
def check_replay(editable: EditableModel) -> None:
    """Compare replayed logits with plain passes, row by row. If runs alone differ, ``takes_runs`` is set to False.

    Raises:
        UnsupportedArchitecture: they differ (a running state beside the attention cache, for instance), or the model
            cannot be replayed at all.
    """
    try:
        agrees = _agrees(editable)
        if not agrees and editable.takes_runs:
            editable.takes_runs = False
            agrees = _agrees(editable)
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        detail = f"the model's blocks cannot be replayed: {error}"
        raise UnsupportedArchitecture(detail, value=type(editable.model).__name__) from error
    if not agrees:
        detail = "replaying the model's blocks does not give the model's own logits"
        raise UnsupportedArchitecture(detail, value=type(editable.model).__name__)


def _agrees(editable: EditableModel) -> bool:
    for batch in suffix_batches(editable, 0, (Site.BLOCK,), ROWS, max_batch_tokens=64):
        shift = torch.zeros(1, len(batch.rows), editable.hidden_size, device=batch.hidden.device)
        found = editable.logits(batch.replay(shift, batch.ends)).to(editable.device)
        for row, logits in zip(batch.rows, found, strict=True):
            ids = torch.tensor([[*row.prefix, *row.suffix]], device=editable.device)
            expected = editable.model(input_ids=ids, use_cache=False).logits[0, -1]
            bound = TOLERANCE.get(editable.model.dtype, TOLERANCE_OF_NARROW_DTYPES) * float(expected.abs().max())
            if not float((logits - expected).abs().max()) <= bound:
                return False
    return True
