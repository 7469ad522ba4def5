"""Second moments over a stream of texts, until they have settled: more tokens would not change what a solve does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.editing.algebra.layer_base import LayerBase
from workers.editing.model.cut_pass import Reached, See, run_until_reached, watch_input
from workers.editing.model.editable_model import EditableModel
from workers.editing.moments import MomentSums, Row
from workers.editing.shares import q_of
from workers.editing.statistics import Statistics, statistics_of

FIRST_TOKENS = 8192
MAX_TOKENS = 200_000
TOLERANCE = 0.05
PROBE_KEYS = 64


@dataclass(frozen=True, slots=True)
class Settled:
    """Statistics, and how far they have settled.

    change: by layer, how q = kᵀC⁻¹k over all tokens differs from q_half over the first half of them, a common factor
        aside: the median over probe keys of |r / median(r) - 1|, r = q_half / q; infinite where C of the half is
        singular. The factor is that of C⁻¹ over few tokens, which is too large for all keys alike; it cancels where
        it counts, since λ is chosen by q of the same C.
    settled: whether it is below the tolerance at every layer.
    """

    statistics: Statistics
    change: Mapping[int, float]
    settled: bool


def settle(
    editable: EditableModel,
    rows: Iterable[Row],
    probes: Mapping[int, Tensor],
    *,
    first_tokens: int = FIRST_TOKENS,
    max_tokens: int = MAX_TOKENS,
    tolerance: float = TOLERANCE,
    max_batch_tokens: int = 4096,
    progress: Callable[[int], None] = lambda _tokens: None,
) -> Settled:
    """C over the first tokens of a stream, doubled until it has settled, the stream ends, or ``max_tokens``.

    A stream that ends before it can be told counts as unsettled.

    Args:
        probes: keys (d_in, n), float64, of every layer that is asked for, whose q shall not change any more.
        progress: hears of tokens as they are done.

    Raises:
        StatisticsMismatch: the stream holds no token.
    """
    sums, stream = MomentSums(editable, tuple(probes), max_batch_tokens), iter(rows)
    half = None
    for goal in _goals(first_tokens, max_tokens):
        sums.add(stream, max_tokens=goal, progress=progress)
        statistics = statistics_of(editable, sums)
        change = _change(half, statistics, probes)
        ended = sums.tokens < goal
        settled = not ended and all(value < tolerance for value in change.values())
        if settled or ended:
            break
        half = statistics
    return Settled(statistics, change, settled)


def _goals(first: int, most: int) -> list[int]:
    """Numbers of tokens, each twice the one before: the last is ``most``, none but it is below ``first``."""
    goals = [most]
    while goals[-1] // 2 >= max(first, 1):
        goals.append(goals[-1] // 2)
    return goals[::-1]


def _change(half: Statistics | None, whole: Statistics, probes: Mapping[int, Tensor]) -> dict[int, float]:
    """By layer, the median relative change of q, as ``Settled.change`` says."""
    return {
        layer: torch.inf if half is None else _median_change(half.second_moments[layer], whole, layer, keys)
        for layer, keys in probes.items()
    }


def _median_change(half: Tensor, whole: Statistics, layer: int, keys: Tensor) -> float:
    bases = [LayerBase.of(half), LayerBase.of(whole.second_moments[layer])]
    if any(base.weighted is None for base in bases):
        return torch.inf
    before, now = (q_of(keys, base) for base in bases)
    ratio = before / now
    return float((ratio / ratio.median() - 1).abs().median())


@torch.inference_mode()
def keys_within(
    editable: EditableModel, texts: Sequence[Row], layers: Sequence[int], most: int = PROBE_KEYS
) -> dict[int, Tensor]:
    """Keys (d_in, n), float64, at the last tokens of n = ``most`` beginnings of texts: spread over all of them.

    Raises:
        LayerOutOfRange: there is no such layer.
    """
    ends = [(text, end) for part in range(1, most + 1) for text in texts if (end := len(text) * part // most) > 1]
    step = max(1, len(ends) // most)
    found: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    for text, end in ends[::step][:most]:
        _look(editable, text[:end], found)
    return {layer: torch.stack(keys, dim=1) for layer, keys in found.items() if keys}


def _look(editable: EditableModel, row: Row, found: Mapping[int, list[Tensor]]) -> None:
    """Add the last token's key (d_in,) at each layer."""
    last = max(found)

    def at(layer: int) -> See:
        def see(states: Tensor) -> None:
            found[layer].append(states.reshape(len(row), -1)[-1].to("cpu", torch.float64))
            if layer == last:
                raise Reached

        return see

    ids = torch.tensor([list(row)], device=editable.device)
    watched = [watch_input(editable.projection(layer), at(layer)) for layer in found]
    run_until_reached(editable.model, ids, watched)
