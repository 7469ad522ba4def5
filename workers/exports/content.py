"""What is exported: one version, put together from the log beside the live model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from app.domain.errors import CompactedVersion, DamagedVersion
from app.domain.history.terms import Term
from app.domain.log.reader import LogReader
from app.domain.prompts import filled
from workers.editing.contexts import OPENINGS
from workers.editing.loading import DTYPES, load, load_tokenizer
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.placement import ALL
from workers.editing.model.updates import DeviceAt, LowRank
from workers.exports.low_rank import Change
from workers.versions.logged_facts import as_facts
from workers.versions.replay import counted, state_at
from workers.versions.version_state import VersionState

MOST_FACTS = 16
"""Of the facts in force, as many of the newest are asked for when an export is compared with its version."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the base model is loaded from: a folder or a hub id, what it was loaded as, and where to (``load``)."""

    source: str
    revision: str | None
    device: str
    dtype: torch.dtype

    @classmethod
    def of(cls, live: EditableModel, source: str, revision: str | None) -> Origin:
        """The origin of a model that was loaded from there."""
        device = str(live.device) if len(live.devices) == 1 else ALL
        return cls(source, revision, device, live.model.dtype)

    def base(self) -> EditableModel:
        """The base model, loaded once more."""
        return self.load(self.source, self.revision)

    def load(self, source: str, revision: str | None = None) -> EditableModel:
        """Another model, as the base model was loaded."""
        [dtype] = [name for name, dtype in DTYPES.items() if dtype == self.dtype]
        return load(source, revision=revision, device=self.device, dtype=dtype)

    def save_tokenizer(self, folder: str) -> None:
        """Write the base model's tokenizer, read anew: the one in service may be at work in another thread."""
        load_tokenizer(self.source, self.revision).save_pretrained(folder)


@dataclass(frozen=True, slots=True)
class Content:
    """One version of a model.

    shadow: its weights as they are in service, apart from the live ones where they may differ.
    texts: on these the version and its export are compared: its facts in force, and the model's contexts.
    """

    log: LogReader
    version: int
    origin: Origin
    shadow: EditableModel
    state: VersionState
    texts: tuple[str, ...]

    @classmethod
    def of(cls, live: EditableModel, log: LogReader, origin: Origin, version: int) -> Content:
        """Put a version together. The live model stays as it is.

        Raises:
            UnknownVersion: there is no such version. CompactedVersion: its tensors were removed.
            DamagedVersion: a version does not have the bytes that were committed.
        """
        state = state_at(live, log, log.replay(version))
        shadow = live.shadow(set(live.masters) | state.masters.keys())
        state.put_on(shadow)
        facts = as_facts([held.fact for held in log.history(version).facts(version)[-MOST_FACTS:]])
        texts = texts_to_ask([fact.text for fact in facts], log.base().contexts)
        return cls(log, version, origin, shadow, state, texts)

    def is_apart(self, live: EditableModel) -> bool:
        """Whether no edit of the live model that was begun so far can have reached these weights."""
        return self.shadow.owned is not None and self.shadow.owned >= set(live.masters)

    @property
    def modules(self) -> dict[int, str]:
        """By layer that the version may have changed, the dotted name of the module."""
        return {layer: self.shadow.anatomy.projections[layer] for layer in sorted(self.state.masters)}

    def changes(self) -> dict[int, Change]:
        """By the same layers, what the version adds to the base model's weights. The factors are read from the log."""
        applied, terms = self.state.applied, self.log.history(self.version).terms(self.version)
        factors = exact_factors(self.log, terms, self.state, self.shadow.device_at)
        return {layer: Change(applied[layer] - self.shadow.base(layer), factors.get(layer)) for layer in self.modules}


def exact_factors(
    log: LogReader, terms: Iterable[Term], state: VersionState, device_at: DeviceAt
) -> dict[int, LowRank]:
    """By layer, the factors of all updates in force side by side, the correction's last.

    A layer with a masked update (RECT) has none. No layer has any when tensors of an earlier version were removed, and
    only a snapshot has their sum.
    """
    parts: dict[int, list[LowRank]] = {}
    masked = set[int]()
    try:
        for term in terms:
            for update in counted(log, term, device_at)[0]:
                parts.setdefault(update.layer, []).append(LowRank(update.left, update.right))
                masked |= {update.layer} if update.mask is not None else set()
    except (CompactedVersion, DamagedVersion):  # the state itself could be put together, from a snapshot
        return {}
    for layer, correction in state.corrections.items():
        parts.setdefault(layer, []).append(correction)
    return {layer: _side_by_side(found) for layer, found in parts.items() if layer not in masked}


def texts_to_ask(prompts: Sequence[str], contexts: Iterable[str]) -> tuple[str, ...]:
    """The prompts, and each context around the first of them."""
    filling = prompts[0] if prompts else OPENINGS[0]
    around = [filled(context, filling) for context in contexts]
    return tuple(dict.fromkeys((*prompts, *around)))


def _side_by_side(parts: Sequence[LowRank]) -> LowRank:
    left = torch.cat([part.left for part in parts], dim=1)
    return LowRank(left, torch.cat([part.right for part in parts]))
