"""What a host is opened with, and what its model's log begins with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from app.domain.edit_log import Base, EditLog
from app.domain.log_root import LogRoot
from workers.editing.architectures import EditableModel
from workers.editing.contexts import checked_contexts, contexts_of
from workers.editing.preset import Preset
from workers.editing.presets import choose_preset


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What a host is opened with.

    epoch_hint: gives the least epoch to lead under (a counter in Redis).
    lead: whether to lead at once; else the host follows until it is told to.
    """

    source: str
    name: str
    log_root: LogRoot
    data_dir: Path
    epoch_hint: Callable[[], int]
    revision: str | None = None
    device: str = "cpu"
    dtype: str = "float32"
    preset: Path | None = None
    statistics: Path | None = None
    max_batch_tokens: int = 16384
    snapshot_every: int = 64
    earlier_versions: int = 4
    lead: bool = True


def preset_of(
    settings: HostSettings, live: EditableModel, method: str | None = None, plan: str | None = None
) -> Preset:
    """The preset that the settings or the model name, for a method and plan.

    Raises:
        UnknownMethod, UnknownPlan: there is no such one.
    """
    chosen = choose_preset(settings.source, live.depth, settings.preset, method, plan)
    return chosen.with_overrides({"max_batch_tokens": settings.max_batch_tokens})


def log_contexts(settings: HostSettings, live: EditableModel, edit_log: EditLog) -> tuple[str, ...]:
    """The log's own contexts; for a new log the model's."""
    if edit_log.exists():
        return checked_contexts(edit_log.base().contexts)
    return contexts_of(live, settings.source)


def base_of(settings: HostSettings, live: EditableModel, contexts: tuple[str, ...], preset: Preset) -> Base:
    """Version 0 of this model."""
    return Base(
        model=settings.name,
        source=settings.source,
        revision=settings.revision,
        modules=dict(enumerate(live.anatomy.projections)),
        weights_sha256={layer: hashlib.sha256(bytes_of(live.weight(layer))).hexdigest() for layer in range(live.depth)},
        contexts=contexts,
        preset=preset.as_dict(),
        created=datetime.now(UTC),
    )


def bytes_of(weight: Tensor) -> bytes:
    """The weight's bytes in (d_out, d_in) order, whatever its dtype."""
    return weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
