"""Sums of k kᵀ over a stream of rows, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from workers.editing.model.cut_pass import Reached, See, run_until_reached, watch_input
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.micro_batches import by_length, right_padded

BUFFER = 16
"""So many micro-batches' tokens are read ahead and sorted by length, so that little is padded."""

Row = Sequence[int]
"""Token ids, at most a window of them."""


class MomentSums:
    """Running sums of k kᵀ, one (d_in, d_in) a layer, float64 on the CPU; and how many tokens they are over.

    Which rows are taken, and in which order they are summed, depends on the stream and the bounds alone.
    """

    def __init__(self, editable: EditableModel, layers: Sequence[int], max_batch_tokens: int = 4096) -> None:
        """Raise LayerOutOfRange for a layer that is not there."""
        self._editable, self._max_batch_tokens = editable, max_batch_tokens
        widths = {layer: editable.key_width(layer) for layer in layers}
        self._sums = {layer: torch.zeros(width, width, dtype=torch.float64) for layer, width in widths.items()}
        self.tokens = 0

    @torch.inference_mode()
    def add(
        self,
        rows: Iterable[Row],
        *,
        max_tokens: int | None = None,
        progress: Callable[[int], None] = lambda _tokens: None,
    ) -> None:
        """Add rows until the stream ends or ``tokens`` has come to ``max_tokens``; none beyond is read.

        A forward pass ends at the last of the layers. ``progress`` hears of tokens as they are done.
        """
        room = None if max_tokens is None else max_tokens - self.tokens
        for buffer in _buffers(rows, BUFFER * self._max_batch_tokens, room):
            for members in by_length([len(row) for row in buffer], self._max_batch_tokens):
                done = self._add_batch([buffer[i] for i in members])
                self.tokens += done
                progress(done)

    def moments(self) -> dict[int, Tensor]:
        """C = E[k kᵀ] over what was added, (d_in, d_in), float32, symmetric to the bit. There must be a token."""
        # Some processors' products are not symmetric in the last digit, and then solvers that read one half of C, or
        # both, differ by more than rounding in float64.
        return {layer: (total + total.T).div_(2 * self.tokens).float() for layer, total in self._sums.items()}

    @property
    def overflown(self) -> int | None:
        """The first layer whose sum is not finite."""
        return next((layer for layer, total in self._sums.items() if not bool(torch.isfinite(total).all())), None)

    def _add_batch(self, rows: Sequence[Row]) -> int:
        ids, mask = right_padded(rows, self._editable.device)
        valid, last = mask.bool(), max(self._sums)

        def adding(layer: int) -> See:
            def see(states: Tensor) -> None:
                inputs = states.reshape(*valid.shape, -1)  # some families flatten rows and tokens
                keys = inputs[valid.to(inputs.device)].float()
                self._sums[layer] += (keys.T @ keys).to("cpu", torch.float64)
                if layer == last:
                    raise Reached

            return see

        watched = [watch_input(self._editable.projection(layer), adding(layer)) for layer in self._sums]
        run_until_reached(self._editable.model, ids, watched)
        return int(mask.sum())


def _buffers(rows: Iterable[Row], size: int, room: int | None) -> Iterator[list[Row]]:
    """Non-empty rows in lists of about ``size`` tokens, until there are ``room`` of them or more."""
    if room is not None and room <= 0:
        return
    buffer: list[Row] = []
    held = 0
    for row in rows:
        if not row:
            continue
        buffer.append(row)
        held += len(row)
        full = room is not None and held >= room
        if held >= size or full:
            yield buffer
            if full:
                return
            room = None if room is None else room - held
            buffer, held = [], 0
    if buffer:
        yield buffer
