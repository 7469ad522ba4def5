"""Earlier versions of the live model, and proposed ones: put together when somebody asks, kept while they are asked."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from transformers import PreTrainedModel

from app.domain.contract import AnyVersion
from app.domain.log.pages import ProposalPage
from app.domain.log.proposed_version import ProposedVersion
from app.domain.log.reader import LogReader
from workers.editing.model.editable_model import EditableModel
from workers.versions.replay import norms_between, state_at


@dataclass(frozen=True, slots=True)
class EarlierVersion:
    """A module tree of one version. Matrices at ``layers`` are its own; all others it shares with the live model."""

    version: AnyVersion
    model: PreTrainedModel
    layers: frozenset[int]


class EarlierVersions:
    """The versions that were asked for last, at most so many. Any thread may ask.

    Each keeps the model's edited matrices once more, in the model's own dtype.
    """

    def __init__(self, live: EditableModel, log: LogReader, limit: int) -> None:
        self._live, self._log, self._limit = live, log, limit
        self._kept: OrderedDict[AnyVersion, EarlierVersion] = OrderedDict()
        self._lock = threading.Lock()

    def at(self, version: AnyVersion) -> EarlierVersion:
        """The version, put together from the log unless it is kept. The live model stays as it is.

        It shares no matrix with the live model that had been edited, or was about to be, when this was called.

        Raises:
            UnknownVersion, UnknownProposal: there is no such one. CompactedVersion: its tensors were removed.
            DamagedVersion: a version does not have the bytes that were committed.
            Conflict: a proposal rests on a version that was withdrawn.
        """
        proposal = self._log.proposals.get(version) if isinstance(version, str) else None  # also if it is kept
        with self._lock:
            kept = self._kept.pop(version, None)
            if kept is None or not self.apart(kept):
                kept = self._put_together(version, proposal)
            self._kept[version] = kept
            if len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        return kept

    def apart(self, earlier: EarlierVersion) -> bool:
        """Whether no edit of the live model that was begun so far can reach this version's weights."""
        return earlier.layers >= set(self._live.masters)

    def norms_between(self, old: int, new: int) -> dict[int, float]:
        """Frobenius norm of the difference between two versions' weights, of each layer that differs.

        Raises:
            UnknownVersion, CompactedVersion, DamagedVersion: as ``at`` does.
        """
        states = [state_at(self._live, self._log, self._log.replay(version)).applied for version in (old, new)]
        layers = states[0].keys() | states[1].keys()
        before, after = ({layer: each.get(layer, self._live.base(layer)) for layer in layers} for each in states)
        return norms_between(before, after)

    def _put_together(self, version: AnyVersion, proposal: ProposalPage | None) -> EarlierVersion:
        if proposal is not None:
            proposed = ProposedVersion(self._log, proposal)
            state = state_at(self._live, proposed, proposed.replay())
        else:
            assert isinstance(version, int)
            state = state_at(self._live, self._log, self._log.replay(version))
        shadow = self._live.shadow(set(self._live.masters) | state.masters.keys())
        state.put_on(shadow)
        assert shadow.owned is not None
        return EarlierVersion(version, shadow.model, shadow.owned)
