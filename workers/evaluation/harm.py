"""What an edit does to text that has nothing to do with it: next-token distributions over texts that are kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.domain.contract import Drift, Harm, Verify
from app.domain.errors import DeadVersion
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.micro_batches import by_equal_length

ROWS, ROW_TOKENS, PLACES = 16, 33, 256
"""Of so many texts the first tokens are read, and so many places in them are compared, of which the whole
distributions are kept: on a vocabulary of 49,152, 50 MB a version, two versions."""

MAX_BATCH_TOKENS = 256
"""Read at a time: their logits are wide."""

FLAT = 0.98
"""An entropy, or a loss, of this share of ln(vocabulary) is that of a model that says nothing."""

SPEAKS = 0.8
"""A model whose loss is below this share says something."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """A version's next tokens at all places: log-probabilities (places, vocabulary), float32 or wider, and the NLL
    (places,) of the tokens that stand there."""

    log_probabilities: Tensor
    nll: Tensor

    @property
    def entropy(self) -> float:
        """Mean over the places, in nats."""
        return float(-(self.log_probabilities.exp() * self.log_probabilities).sum(-1).mean())

    @property
    def loss(self) -> float:
        """Mean over the places, in nats."""
        return float(self.nll.mean())

    def drift_from(self, earlier: Outlook) -> Drift:
        """How far this one is from an earlier version's."""
        theirs, mine = earlier.log_probabilities, self.log_probabilities
        divergence = (theirs.exp() * (theirs - mine)).sum(-1).mean()
        return Drift(
            kl=max(0.0, float(divergence)),
            top1=float((theirs.argmax(-1) == mine.argmax(-1)).double().mean()),
            perplexity=math.exp(min(self.loss - earlier.loss, 700.0)),
        )


class HarmMeter:
    """Measures versions of one model over the same places.

    Version 0's outlook and that of the version in service are kept, so that a batch costs one pass.
    """

    def __init__(self, live: EditableModel, texts: Sequence[Sequence[int]]) -> None:
        """``texts``: rows of token ids that no edit is about; the first ones that are long enough are read."""
        self._live = live
        rows = [tuple(text[: min(ROW_TOKENS, live.window)]) for text in texts if len(text) > 1]
        self._rows = rows[:ROWS]
        every = [(row, place) for row, ids in enumerate(self._rows) for place in range(len(ids) - 1)]
        step = max(1, math.ceil(len(every) / PLACES))
        self._places = every[step // 2 :: step]
        self._base: Outlook | None = None
        self._served: tuple[int, Outlook] | None = None

    @property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """Token ids of the texts, as far as they are read."""
        return tuple(self._rows)

    @property
    def ready(self) -> bool:
        """Whether there are texts to measure on."""
        return bool(self._places)

    def outlook(self, editable: EditableModel) -> Outlook:
        """A version's next tokens at all places.

        Raises:
            DeadVersion: they are NaN.
        """
        return outlook_at(editable, self._rows, self._places)

    def harm(self, after: Outlook, version: int) -> Harm:
        """What the version that ``after`` is of does, against the one in service, ``version``, and against the base.

        Raises:
            DeadVersion: it says nothing any more.
        """
        base, before = self._of_base(), self._of_served(version)
        most = math.log(after.log_probabilities.shape[-1])
        silent = after.loss >= FLAT * most and base.loss <= SPEAKS * most
        if after.entropy >= FLAT * most or silent:
            raise DeadVersion(f"the edited model says nothing any more: its loss on other text is {after.loss:.2f}")
        return Harm(tokens=len(self._places), before=after.drift_from(before), base=after.drift_from(base))

    def served(self, version: int, outlook: Outlook) -> None:
        """A version is in service whose outlook is known."""
        self._served = (version, outlook)

    def _of_base(self) -> Outlook:
        if self._base is None:
            self._base = self.outlook(self._live.unedited())
        return self._base

    def _of_served(self, version: int) -> Outlook:
        if version == 0:
            return self._of_base()
        if self._served is None or self._served[0] != version:
            self._served = (version, self.outlook(self._live))
        return self._served[1]


def beyond_bounds(harm: Harm, verify: Verify) -> list[str]:
    """The bounds on harm that an edit is beyond, by name; they are on what it does to the version before."""
    found = harm.before
    beyond = {
        "kl": verify.kl is not None and found.kl > verify.kl,
        "top1": verify.top1 is not None and found.top1 < verify.top1,
        "perplexity": verify.perplexity is not None and found.perplexity > verify.perplexity,
    }
    return [name for name, missed in beyond.items() if missed]


def refuse_flat(editable: EditableModel, prompts: Sequence[Sequence[int]]) -> None:
    """Refuse a model that says nothing after these prompts (ids): all that can be told where no texts are kept.

    Raises:
        DeadVersion: the distributions after all of them are NaN, or flat.
    """
    rows = [(*ids, 0) for ids in prompts[:ROWS] if ids]
    places = [(row, len(ids) - 2) for row, ids in enumerate(rows)]
    found = outlook_at(editable, rows, places)
    if found.entropy >= FLAT * math.log(found.log_probabilities.shape[-1]):
        raise DeadVersion("the edited model says nothing any more: after the batch's own prompts all tokens are alike")


@torch.inference_mode()
def outlook_at(editable: EditableModel, rows: Sequence[Sequence[int]], places: Sequence[tuple[int, int]]) -> Outlook:
    """Next tokens after the places, each a row and the index of a token in it that is not the row's last.

    Raises:
        DeadVersion: they are NaN.
    """
    found: dict[tuple[int, int], Tensor] = {}
    for members in by_equal_length([len(row) for row in rows], MAX_BATCH_TOKENS):
        ids = torch.tensor([rows[row][:-1] for row in members], device=editable.device)
        logits = editable.model(input_ids=ids, use_cache=False).logits
        for at, row in enumerate(members):
            for place in (place for each, place in places if each == row):
                found[row, place] = logits[at, place].to(torch.promote_types(logits.dtype, torch.float32), copy=True)
    chosen = torch.stack([found[place] for place in places]).log_softmax(-1)
    if not torch.isfinite(chosen.logsumexp(-1)).all():
        raise DeadVersion("the edited model says nothing any more: its logits are NaN")
    labels = torch.tensor([rows[row][place + 1] for row, place in places], device=chosen.device)
    return Outlook(chosen, -chosen.gather(-1, labels[:, None]).squeeze(-1))
