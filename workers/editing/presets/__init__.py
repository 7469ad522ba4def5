"""Hyperparameters per model: the published settings, tuned ones for the bundled models, and a start for the rest."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

from workers.editing.presets.preset import Preset, read_preset

GENERIC_FIRST, GENERIC_LAST = 0.14, 0.27
"""First and last critical layer as shares of the depth, for models without a preset: about Llama-3-8B's."""

GENERIC_SHARE = 0.75
"""Of its residual that a fact realises. λ grows with d_in, so no number serves all models."""


def find_preset(source: str, depth: int, method: str | None = None, plan: str | None = None) -> Preset:
    """The preset for a model by the last part of its path or hub id; a generic, untuned one for a model not known.

    Args:
        source: path or hub id. depth: number of blocks. method, plan: None for the model's default.
    """
    data = _known(PurePath(source).name.lower()) or _generic(depth)
    method = method or data["default"]["method"]
    plan = plan or data["default"]["plan"]
    values = dict(data["common"])
    for rule in data.get("overrides", []):
        if rule.get("method", method) == method and rule.get("plan", plan) == plan:
            values.update(rule["set"])
    layers = tuple(values.pop("layers"))
    return Preset(layers, method=method, plan=plan).with_overrides(values)


def choose_preset(
    source: str, depth: int, file: Path | None, method: str | None = None, plan: str | None = None
) -> Preset:
    """A hyperparameter file's preset, else the model's own; ``method`` and ``plan`` override either.

    Raises:
        InvalidHyperparameter: the file is at fault.
    """
    if file is None:
        return find_preset(source, depth, method, plan)
    named = {name: value for name, value in (("method", method), ("plan", plan)) if value is not None}
    return read_preset(file).with_overrides(named)


def _known(name: str) -> dict[str, Any] | None:
    for file in sorted(resources.files(__name__).iterdir(), key=lambda item: item.name):
        if file.name.endswith(".json"):
            data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if name in data["models"]:
                return data
    return None


def _generic(depth: int) -> dict[str, Any]:
    first, last = (
        round(depth * GENERIC_FIRST),
        max(round(depth * GENERIC_LAST), round(depth * GENERIC_FIRST) + 1),
    )
    return {
        "default": {"method": "memit", "plan": "boundary"},
        "common": {"layers": list(range(first, min(last, depth - 1) + 1)), "v_lr": 0.2, "share": GENERIC_SHARE},
    }
