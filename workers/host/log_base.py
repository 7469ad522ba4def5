"""What a model's edit log begins with: its base, version 0, and the contexts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from app.domain.log.edit_log import EditLog
from app.domain.manifest import Base
from workers.editing.contexts import checked_contexts, contexts_of
from workers.editing.model.anatomy import bytes_of
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.host.host_settings import HostSettings


@dataclass(frozen=True, slots=True)
class LogContexts:
    """The contexts of a log's edits, and those of strict ones; None: the same."""

    usual: tuple[str, ...]
    strict: tuple[str, ...] | None


def log_contexts(settings: HostSettings, live: EditableModel, edit_log: EditLog) -> LogContexts:
    """The log's own contexts; for a new log the model's."""
    if edit_log.exists():
        base = edit_log.base()
        return LogContexts(checked_contexts(base.contexts), base.strict_contexts)
    usual, strict = contexts_of(live, settings.source), contexts_of(live, settings.source, strict=True)
    return LogContexts(usual, None if strict == usual else strict)


def base_of(settings: HostSettings, live: EditableModel, contexts: LogContexts, preset: Preset) -> Base:
    """Version 0 of this model."""
    return Base(
        model=settings.name,
        source=settings.source,
        revision=settings.revision,
        modules=dict(enumerate(live.anatomy.projections)),
        weights_sha256={layer: hashlib.sha256(bytes_of(live.weight(layer))).hexdigest() for layer in range(live.depth)},
        contexts=contexts.usual,
        strict_contexts=contexts.strict,
        preset=preset.as_dict(),
        created=datetime.now(UTC),
    )
