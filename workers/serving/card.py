"""What a worker says of itself and its model, in Redis and at ``/state``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from app.domain.contract import WorkerCard
from app.domain.errors import PalimpsestError
from workers.editing.layer_plans import PLANS
from workers.editing.methods import METHODS
from workers.host.host_settings import preset_of
from workers.host.model_host import ModelHost
from workers.sources.source_note import source_note


@dataclass(frozen=True, slots=True)
class CardOf:
    """Writes a worker's card, anew whenever it is called. Any thread may call it."""

    worker: str
    host: ModelHost
    url: str
    started: datetime

    def __call__(self) -> WorkerCard:
        """The card as things stand."""
        host = self.host
        preset, note = preset_of(host.settings, host.live), source_note(host.settings.source)
        return WorkerCard(
            worker=self.worker,
            model=host.name,
            source=_told(host.settings.source),
            source_note=None if note is None else note.told,
            revision=host.settings.revision,
            url=self.url,
            role="leader" if host.leads else "replica",
            version=host.version,
            behind=_behind(host),
            device=", ".join(map(str, host.live.devices)),
            dtype=host.settings.dtype,
            layers=host.live.depth,
            window=host.live.window,
            methods=tuple(METHODS),
            plans=tuple(PLANS),
            default_method=preset.method,
            default_plan=preset.plan,
            default_layers=preset.layers,
            started=self.started,
        )


def _told(source: str) -> str:
    """Where the model came from, without where that lies on this machine: a folder's or file's name, or a hub id."""
    place = Path(source).expanduser()
    return place.resolve().name if place.exists() or place.is_absolute() else source


def _behind(host: ModelHost) -> int | None:
    """How many versions are committed that are not in service here; None if the log cannot be looked at."""
    version = host.version
    try:
        return max(0, host.log.head() - version)
    except (PalimpsestError, OSError):
        return None
