"""Hyperparameters per model: the published settings, tuned ones for the bundled models, and a start for the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

from workers.editing.presets.preset import Preset, read_preset

GENERIC_FIRST, GENERIC_LAST = 0.14, 0.27
"""First and last critical layer as shares of the depth, for models without a preset: about Llama-3-8B's."""

GENERIC_SHARE = 0.75
"""Of its residual that a fact realises. λ grows with d_in, so no number serves all models."""


def find_preset(
    source: str, depth: int, method: str | None = None, plan: str | None = None, fingerprint: str | None = None
) -> Preset:
    """The preset of a model that is known by name or fingerprint; a generic one for any other.

    Args:
        source: path or hub id, of which the last part counts. depth: number of blocks. method, plan: None for the
            model's default. fingerprint: of the base model, None where it is not at hand.
    """
    return _of(_known(source, fingerprint) or _generic(depth), method, plan)


def known_preset(source: str, fingerprint: str, method: str | None = None, plan: str | None = None) -> Preset | None:
    """The preset that ships for a model; None if none does."""
    data = _known(source, fingerprint)
    return None if data is None else _of(data, method, plan)


def generic_preset(depth: int) -> Preset:
    """The preset of a model that nobody has seen."""
    return _of(_generic(depth))


def choose_preset(
    source: str,
    depth: int,
    file: Path | None,
    method: str | None = None,
    plan: str | None = None,
    *,
    fingerprint: str | None = None,
    found: Preset | None = None,
) -> Preset:
    """A hyperparameter file's preset, else the model's own; ``method`` and ``plan`` override either.

    Args:
        file: one that somebody chose. found: one that onboarding has left, which a preset that ships goes before.

    Raises:
        InvalidHyperparameter: the file is at fault.
    """
    if file is None and (found is None or _known(source, fingerprint) is not None):
        return find_preset(source, depth, method, plan, fingerprint)
    named = {name: value for name, value in (("method", method), ("plan", plan)) if value is not None}
    chosen = found if file is None else read_preset(file)
    assert chosen is not None
    return chosen.with_overrides(named)


def _of(data: Mapping[str, Any], method: str | None = None, plan: str | None = None) -> Preset:
    method = method or data["default"]["method"]
    plan = plan or data["default"]["plan"]
    values = dict(data["common"])
    for rule in data.get("overrides", []):
        if rule.get("method", method) == method and rule.get("plan", plan) == plan:
            values.update(rule["set"])
    layers = tuple(values.pop("layers"))
    return Preset(layers, method=method, plan=plan).with_overrides(values)


def _known(source: str, fingerprint: str | None) -> Mapping[str, Any] | None:
    name = PurePath(source).name.lower()
    found = (data for data in _shipped() if name in data["models"] or fingerprint in data.get("fingerprints", ()))
    return next(found, None)


@cache
def _shipped() -> tuple[Mapping[str, Any], ...]:
    """What ships, read once: every batch that is checked looks into it, and no file is read fast beside an edit."""
    files = sorted(resources.files(__name__).iterdir(), key=lambda item: item.name)
    return tuple(json.loads(file.read_text(encoding="utf-8")) for file in files if file.name.endswith(".json"))


def _generic(depth: int) -> Mapping[str, Any]:
    first, last = (
        round(depth * GENERIC_FIRST),
        max(round(depth * GENERIC_LAST), round(depth * GENERIC_FIRST) + 1),
    )
    return {
        "default": {"method": "memit", "plan": "boundary"},
        "common": {"layers": list(range(first, min(last, depth - 1) + 1)), "v_lr": 0.2, "share": GENERIC_SHARE},
    }
