"""Statistics without a corpus: the model writes its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from app.domain.errors import StatisticsMismatch
from workers.editing.model.editable_model import EditableModel
from workers.editing.moments import Row
from workers.editing.statistics import Statistics
from workers.onboarding.kept_texts import KeptTexts, Texts
from workers.onboarding.own_texts import held_out_texts, own_texts
from workers.onboarding.settling import keys_within, settle

MOST_PER_WIDTH = 24
"""A model writes some hundred tokens a second on a CPU; on a real one of d_in = 1,536, q settles at about so many."""


def own_statistics(
    editable: EditableModel,
    layers: Sequence[int],
    *,
    max_tokens: int | None = None,
    max_batch_tokens: int = 4096,
    progress: Callable[[int], None] = lambda _tokens: None,
) -> tuple[Statistics, KeptTexts]:
    """C over texts that an unedited model writes, until it has settled; and those texts.

    Settled is what q of keys in held-out texts says. ``progress`` hears of tokens as they are written. max_tokens: by
    default ``MOST_PER_WIDTH`` for each of a key's d_in numbers; whether C has settled by then is kept with the texts.

    Raises:
        StatisticsMismatch: the model writes nothing. LayerOutOfRange: there is no such layer.
    """
    return settled_over(
        editable,
        own_texts(editable),
        tuple(map(tuple, held_out_texts(editable))),
        layers,
        max_tokens=max_tokens or MOST_PER_WIDTH * max(editable.key_width(layer) for layer in layers),
        max_batch_tokens=max_batch_tokens,
        progress=progress,
    )


def settled_over(
    editable: EditableModel,
    rows: Iterable[Row],
    held_out: Texts,
    layers: Sequence[int],
    *,
    max_tokens: int,
    max_batch_tokens: int,
    progress: Callable[[int], None],
) -> tuple[Statistics, KeptTexts]:
    """C over rows of a stream until it has settled, as q of keys in the held-out texts says; and the rows taken.

    Raises:
        StatisticsMismatch: there are no texts. LayerOutOfRange: there is no such layer.
    """
    probes = keys_within(editable, held_out, layers)
    if set(probes) != set(layers):
        raise StatisticsMismatch("no text has two tokens: give another corpus", field="statistics")
    taken: list[Row] = []
    recorded = _recorded(rows, taken, progress)
    found = settle(editable, recorded, probes, max_tokens=max_tokens, max_batch_tokens=max_batch_tokens)
    kept = KeptTexts(
        tokens=found.statistics.tokens,
        settled=found.settled,
        change={layer: value if math.isfinite(value) else None for layer, value in found.change.items()},
        texts=tuple(map(tuple, taken)),
        held_out=held_out,
    )
    return found.statistics, kept


def _recorded(rows: Iterable[Row], taken: list[Row], progress: Callable[[int], None]) -> Iterator[Row]:
    for row in rows:
        taken.append(row)
        progress(len(row))
        yield row
