"""Fine-tuning one layer: what a batch's objects cost at their bare prompts, as a function of the weight's change.

Contexts are not used, as published; taught prompts are, beside the bare one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.domain.errors import NonFiniteUpdate
from workers.editing.lookup import TokenisedFact
from workers.editing.methods import Tune
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.micro_batches import by_equal_length
from workers.editing.model.updates import WeightUpdate
from workers.editing.presets.preset import Preset
from workers.editing.types import Observer, empty_keys


def tuned(
    shadow: EditableModel,
    facts: Sequence[TokenisedFact],
    layer: int,
    tune: Tune,
    preset: Preset,
    watch: Observer,
) -> WeightUpdate:
    """The change that ``tune`` finds for all facts together, as an update with no keys yet; the shadow stays as it was.

    It is of full rank, so ``left`` is the identity (d_out, d_out): no column belongs to a fact.

    Raises:
        NonFiniteUpdate: the loss or the change became NaN or infinite.
    """
    master = shadow.master(layer)
    change = tune(_Cost(shadow, facts, layer, preset, watch), master, preset)
    if not torch.isfinite(change).all():
        raise NonFiniteUpdate(f"the update of layer {layer} is not finite", field="layers", value=layer)
    watch.solving(layer)
    identity = torch.eye(len(master), dtype=master.dtype, device=master.device)
    return WeightUpdate(layer, identity, change.contiguous(), empty_keys(shadow.key_width(layer), master.device))


@dataclass(frozen=True, slots=True)
class _Row:
    """A prompt with all but the object's last token. labels: the object's ids; prompts: how many its fact has."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    prompts: int


def _rows(fact: TokenisedFact) -> list[_Row]:
    """Of the bare prompt and of each taught one."""
    chosen = (fact.continued[0], *fact.taught)
    return [_Row((*each.row.ids, *each.object[:-1]), each.object, len(chosen)) for each in chosen]


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one length: ids (rows, tokens), and for each predicted token its row, place, label and weight."""

    ids: Tensor
    row: Tensor
    place: Tensor
    label: Tensor
    weight: Tensor


class _Cost:
    """The mean over facts, and over a fact's bare and taught prompts, of the mean NLL of the object's tokens."""

    def __init__(
        self, editable: EditableModel, facts: Sequence[TokenisedFact], layer: int, preset: Preset, watch: Observer
    ) -> None:
        self.editable, self.layer, self.facts = editable, layer, len(facts)
        self.preset, self.watch, self.steps = preset, watch, 0
        rows = [row for fact in facts for row in _rows(fact)]
        lengths = [len(row.ids) for row in rows]
        chosen = by_equal_length(lengths, preset.max_batch_tokens)
        self.parts = [self._part([rows[index] for index in members]) for members in chosen]

    def __call__(self, change: Tensor) -> float:
        """The loss under the weight + ``change`` (d_out, d_in); its gradient is added to ``change.grad``."""
        total = 0.0
        for part in self.parts:
            with self._added(change):
                loss = self._loss(part, change.dtype)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        self.steps += 1
        if not torch.isfinite(torch.tensor(total)):
            raise NonFiniteUpdate(f"the loss at layer {self.layer} became NaN or infinite in step {self.steps}")
        self.watch.targets(self.layer, self.steps, self.preset.num_steps, total, 0, self.facts)
        return total

    def _loss(self, part: _Part, dtype: torch.dtype) -> Tensor:
        """What these rows add to the batch's mean loss, a scalar."""
        trunk: nn.Module = self.editable.model.base_model
        states = trunk(input_ids=part.ids, attention_mask=torch.ones_like(part.ids), use_cache=False)[0]
        asked = states[part.row.to(states.device), part.place.to(states.device)]
        logits = self.editable.logits(asked).to(dtype)
        nll = -torch.log_softmax(logits, dim=-1).gather(1, part.label.to(logits.device).unsqueeze(1)).squeeze(1)
        return (nll * part.weight.to(logits)).sum()

    def _part(self, rows: Sequence[_Row]) -> _Part:
        tokens = [
            (at, len(each.ids) - len(each.labels) + index, label, 1.0 / (len(each.labels) * each.prompts * self.facts))
            for at, each in enumerate(rows)
            for index, label in enumerate(each.labels)
        ]
        device = self.editable.device
        row, place, label = (torch.tensor(column, device=device) for column in list(zip(*tokens, strict=True))[:3])
        weight = torch.tensor([item[3] for item in tokens], dtype=torch.float64, device=device)
        return _Part(torch.tensor([each.ids for each in rows], device=device), row, place, label, weight)

    @contextmanager
    def _added(self, change: Tensor) -> Iterator[None]:
        """The down-projection with ``change`` added, whatever the orientation of its weight."""

        def add(_module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
            return output + nn.functional.linear(args[0].to(change.dtype), change).to(output.dtype)

        handle = self.editable.projection(self.layer).register_forward_hook(add)
        try:
            yield
        finally:
            handle.remove()
