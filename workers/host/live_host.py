"""The live model and the version that it is at: any thread may ask it, and it follows the edit log.

Each question sees one version: a publish replaces all edited layers at once, while no question reads the model.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from app.domain.contract import AnyVersion
from app.domain.log.edit_log import EditLog
from app.domain.log.pages import MovePage
from workers.editing.knowledge import KnowledgeBase
from workers.editing.model.editable_model import EditableModel
from workers.host.earlier_versions import EarlierVersions
from workers.host.live_lock import LiveLock
from workers.versions.trail import Trail

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A model at one version, which does not change while a question reads it: the live one, or another beside it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    version: AnyVersion


class LiveHost:
    """One model in memory, at a version that its edit log has."""

    def __init__(self, name: str, live: EditableModel, edit_log: EditLog, earlier_versions: int) -> None:
        """``earlier_versions``: how many of them are kept at hand for questions."""
        self.name, self.version, self.live, self.log = name, 0, live, edit_log
        self.knowledge = KnowledgeBase()
        self._lock = LiveLock()
        self._earlier = EarlierVersions(live, edit_log, earlier_versions)
        self._trail = Trail(live, edit_log)
        self._followed: tuple[int, str] | None = None
        self._held: LiveModel | None = None
        self._holding = threading.Lock()

    # --- asking ------------------------------------------------------------------------------

    @contextmanager
    def questions(self, version: AnyVersion | None = None) -> Iterator[LiveModel]:
        """Hold one version still for as long as the block runs: the live one, or an earlier or proposed one beside it.

        Raises:
            UnknownVersion, UnknownProposal: there is no such one. CompactedVersion: its tensors were removed.
            DamagedVersion: a version does not have the bytes that were committed.
        """
        earlier = None
        while True:
            with self._lock.reading():
                if version in (None, self.version):
                    yield LiveModel(self.live.model, self.live.tokenizer, self.version)
                    return
                if earlier is not None and self._earlier.apart(earlier):
                    yield LiveModel(earlier.model, self.live.tokenizer, earlier.version)
                    return
            earlier = self._earlier.at(version)  # put together while others ask and edit

    def held(self, version: AnyVersion | None = None) -> LiveModel:
        """A version for as long as the caller keeps it: no publish waits for it, and none reaches it.

        While the caller keeps it, a later version's matrices are in memory beside those that it replaced.

        Raises:
            UnknownVersion, CompactedVersion, DamagedVersion: as ``questions`` does.
        """
        with self.questions(version) as live, self._holding:
            if self._held is None or self._held.version != live.version:
                self._held = LiveModel(_apart(live.model), live.tokenizer, live.version)
            return self._held

    @property
    def publish_waits(self) -> bool:
        """Whether a new version waits for questions to end."""
        return self._lock.writer_waits

    def watch_publishes(self, watch: Callable[[float, float], None]) -> None:
        """Have every publish reported: seconds it waited for questions, and seconds it then held them up."""
        self._lock.on_written = watch

    def update_norms(self, old: int, new: int) -> dict[int, float]:
        """Frobenius norm of the difference between two versions' weights, of each layer that differs."""
        return self._earlier.norms_between(old, new)

    def move_alias(self, move: MovePage) -> MovePage:
        """Make this the alias's move of its number; returns the one of that number that stands. No lead is needed."""
        return self.log.move_alias(move)

    # --- following ---------------------------------------------------------------------------

    def follow(self) -> bool:
        """Put the log's newest version in service, adding only what is new where possible; False if it is already.

        Raises:
            DamagedVersion: a version does not have the bytes that were committed.
            CompactedVersion: the newest version needs tensors that were removed.
        """
        head, _ = found = self.log.tip()
        if found == self._followed:
            return False
        state = self._trail.to(head)
        shadow = self.live.shadow(self.live.masters.keys() | state.masters.keys())
        state.put_on(shadow)
        self._publish(shadow, state.knowledge, head)
        self._followed = found
        logger.info("replayed", extra={"model": self.name, "version": self.version})
        return True

    def _publish(self, edited: EditableModel, knowledge: KnowledgeBase, version: int) -> None:
        """Put a committed version in service. Only references are exchanged: all that can fail is done before."""
        with self._lock.writing():
            self.live.adopt(edited, edited.masters)
            self.knowledge, self.version, self._followed, self._held = knowledge, version, None, None


def _apart(model: PreTrainedModel) -> PreTrainedModel:
    """A module tree over the same storage: a publish gives a live parameter another storage, and writes into none."""
    shared: dict[int, torch.Tensor] = {id(buffer): buffer for buffer in model.buffers()}
    shared |= {id(each): nn.Parameter(each.detach(), requires_grad=False) for each in model.parameters()}
    return copy.deepcopy(model, shared)
