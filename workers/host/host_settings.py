"""What a host is opened with, and the preset that follows from it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from app.domain.log.root import LogRoot
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets import choose_preset, known_preset
from workers.editing.presets.preset import Preset
from workers.editing.statistics import fingerprint
from workers.onboarding.kept import Kept

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What a host is opened with.

    epoch_hint: gives the least epoch to lead under (a counter in Redis).
    layers: those that edits will ask for beside the preset's; statistics are taken there, too.
    onboard: whether a model without statistics and corpus may write texts for them.
    fingerprint, found: of the base model, and the preset that an onboarding has left for it, as they are when the host
        is opened: what is served does not change under it.
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
    layers: tuple[int, ...] = ()
    onboard: bool = True
    fingerprint: str | None = None
    found: Preset | None = None
    max_batch_tokens: int = 16384
    snapshot_every: int = 64
    earlier_versions: int = 4
    max_proposals: int = 16
    proposal_ttl_s: float = 30 * 24 * 3600.0
    spread_facts: int = 16
    slice_lease_s: float = 5.0


def recognised(settings: HostSettings, live: EditableModel) -> HostSettings:
    """The settings with what is known of this very model.

    Raises:
        InvalidHyperparameter: what onboarding had left is spoilt.
    """
    known_by = fingerprint(live)
    return replace(settings, fingerprint=known_by, found=Kept.of(settings.data_dir, known_by).read())


def preset_of(
    settings: HostSettings, live: EditableModel, method: str | None = None, plan: str | None = None
) -> Preset:
    """The preset that the settings or the model name, for a method and plan.

    Raises:
        UnknownMethod, UnknownPlan: there is no such one.
    """
    named = (settings.source, live.depth, settings.preset, method, plan)
    chosen = choose_preset(*named, fingerprint=settings.fingerprint, found=settings.found)
    return chosen.with_overrides({"max_batch_tokens": settings.max_batch_tokens})


def tell_of(settings: HostSettings, preset: Preset) -> None:
    """A line in the log before anything is computed: what edits are made with, and at which layers."""
    layers = ", ".join(map(str, preset.layers))
    logger.info("%s: %s, plan %s, layers %s", _origin(settings), preset.method, preset.plan, layers)


def _origin(settings: HostSettings) -> str:
    if settings.preset is not None:
        return f"preset of {settings.preset.name}"
    if known_preset(settings.source, settings.fingerprint or "") is not None:
        return "preset that ships for this model"
    if settings.found is not None:
        return "preset that onboarding has left for this model"
    return "no preset for this model, so the generic one (`palimpsest onboard` looks for a better one)"
