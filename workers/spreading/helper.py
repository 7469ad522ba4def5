"""What a helper does with a slice: be at its version, compute it on a shadow of its own, answer. It writes no log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from app.domain.errors import PalimpsestError, RequestError
from app.domain.failpoints import Point, failpoint
from workers.editing.crew import ALONE
from workers.editing.model.editable_model import EditableModel
from workers.evaluation.batch_report import measure
from workers.questions.scoring import standings_of_rows
from workers.spreading.pile import Spread
from workers.spreading.slices import (
    MEASUREMENT,
    STANDINGS,
    KeysWanted,
    MeasureWanted,
    Slice,
    StandingsWanted,
    TargetsWanted,
    preset_of,
    read_slice,
    refuse_foreign,
    refuse_foreign_rows,
)
from workers.spreading.tensors import pack_descended, pack_keys, unpack_updates

logger = logging.getLogger(__name__)


class NobodyWaits(Exception):
    """The slice's leader has died, or has what it needs; or this worker has to leave."""


@dataclass
class Tally:
    """How far a slice has come. awaited: whether somebody waits for it. leaving: whether this worker must go."""

    leaving: Callable[[], bool]
    done: int = 0
    awaited: bool = True

    def check(self) -> None:
        """Return if it is worth while to go on.

        Raises:
            NobodyWaits: it is not.
        """
        if not self.awaited or self.leaving():
            raise NobodyWaits

    def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
        """After each gradient step of a descent."""
        failpoint(Point.SLICE_STEP)
        self.done = done
        self.check()

    def solving(self, layer: int) -> None:
        """A slice is not solved."""


class Served(Protocol):
    """The model that the helper serves, at a version of its log."""

    @property
    def live(self) -> EditableModel:
        """The model."""

    @property
    def version(self) -> int:
        """The version in service."""

    def follow(self) -> bool:
        """Put the log's newest version in service."""


class Post(Protocol):
    """Where slices' updates are read, and answers handed over."""

    def updates(self, spread: str) -> bytes | None:
        """What the spread's slices are computed with; None: it is over."""

    def answer(self, spread: str, index: int, answer: bytes | None) -> None:
        """Hand an answer over; None: the helper declines."""

    def beating(self, spread: str, index: int, tally: Tally) -> AbstractContextManager[None]:
        """Give signs of life while the block runs."""


class Helper:
    """Computes slices for other workers' leader, on the thread that follows the log."""

    def __init__(
        self, host: Served, post: Post, dtype: str, max_batch_tokens: int, leaving: Callable[[], bool]
    ) -> None:
        self._host, self._post, self._dtype = host, post, dtype
        self._max_batch_tokens, self._leaving = max_batch_tokens, leaving
        self._shadow: tuple[str, int, EditableModel] | None = None

    def suits(self, about: Spread) -> bool:
        """Whether this worker is, or can be, what the spread's slices need; it follows the log if it is behind."""
        if about.dtype != self._dtype:
            return False
        if self._host.version < about.version:
            try:
                self._host.follow()
            except (PalimpsestError, OSError) as error:
                logger.warning("behind, so no help: %s", error)
        return self._host.version == about.version

    def compute(self, text: str) -> str:
        """Compute a slice as it was queued; in a word, what became of it.

        Raises:
            RequestError: it is malformed: nobody is told, since nobody knows whose it is. What the post raises.
        """
        asked = read_slice(text)
        failpoint(Point.SLICE_TAKEN)
        tally = Tally(self._leaving)
        answer: bytes | None = None
        try:
            with self._post.beating(asked.spread, asked.index, tally):
                tally.check()
                answer = self._computed(asked, tally)
        except NobodyWaits:
            logger.info("a slice is left: nobody waits for it, or this worker stops")
        except PalimpsestError as error:
            logger.warning("a slice is declined: %s", error)
        except Exception:  # the slice's edge: its leader computes it and finds the same, or does not
            logger.exception("a slice is declined")
        if not tally.awaited:
            return "left"
        failpoint(Point.SLICE_ANSWER_BEFORE)
        self._post.answer(asked.spread, asked.index, answer)
        failpoint(Point.SLICE_ANSWER_AFTER)
        return "declined" if answer is None else "answered"

    def _computed(self, asked: Slice, tally: Tally) -> bytes:
        if not self.suits(Spread(version=asked.version, dtype=asked.dtype)):
            raise RequestError(f"this worker is at version {self._host.version}, in {self._dtype}")
        shadow, wanted = self._shadow_for(asked), asked.wanted
        match wanted:
            case TargetsWanted():
                refuse_foreign(shadow, wanted)
                preset = preset_of(wanted.preset)
                preset = replace(preset, max_batch_tokens=min(preset.max_batch_tokens, self._max_batch_tokens))
                shadow.check_layer(wanted.layer)
                return pack_descended(
                    ALONE.targets(shadow, wanted.facts, wanted.groups, wanted.layer, preset, tally, ())
                )
            case KeysWanted():
                refuse_foreign(shadow, wanted)
                limit = min(wanted.max_batch_tokens, self._max_batch_tokens)
                return pack_keys(ALONE.keys(shadow, wanted.facts, wanted.groups, wanted.layers, limit, ()))
            case StandingsWanted():
                refuse_foreign_rows(shadow, wanted)
                rows = [(list(prompt), list(text)) for prompt, text in wanted.rows]
                return STANDINGS.dump_json(standings_of_rows(shadow.model, rows))
            case MeasureWanted():
                return MEASUREMENT.dump_json(measure(shadow, wanted.facts, wanted.before))

    def _shadow_for(self, asked: Slice) -> EditableModel:
        """The version with the spread's updates added; kept for the spread's next slice.

        Raises:
            NobodyWaits: the spread is over. RequestError: the updates are damaged.
        """
        if self._shadow is not None and self._shadow[:2] == (asked.spread, asked.version):
            return self._shadow[2]
        self._shadow = None
        live = self._host.live
        if (data := self._post.updates(asked.spread)) is None:
            raise NobodyWaits
        updates = unpack_updates(data, live.device_at)
        for update in updates:
            self._refuse_unfit(live, update.layer, (update.left.shape[0], update.right.shape[1]))
        shadow = live.shadow({update.layer for update in updates})
        for update in updates:
            shadow.add(update)
        self._shadow = (asked.spread, asked.version, shadow)
        return shadow

    @staticmethod
    def _refuse_unfit(live: EditableModel, layer: int, shape: tuple[int, int]) -> None:
        live.check_layer(layer)
        if shape != (live.hidden_size, live.key_width(layer)):
            raise RequestError(f"an update of the slice does not fit layer {layer}", value=shape)

    def forget(self) -> None:
        """Let go of the last spread's shadow."""
        self._shadow = None
