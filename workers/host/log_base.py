"""What a model's edit log begins with: its base, version 0, and the contexts."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from app.domain.log.edit_log import EditLog
from app.domain.manifest import Base
from workers.editing.contexts import checked_contexts, contexts_of
from workers.editing.model.anatomy import bytes_of
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.host.host_settings import HostSettings


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
