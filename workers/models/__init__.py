"""The bundled demonstration models, by name. ``tools/atlas`` made them.

Files that both have in common are in the folder ``atlas``; the models' folders have symbolic links to them.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent

NAMES: tuple[str, ...] = ("atlas-gpt2", "atlas-llama")
"""Names of the models that ship with the package."""


def bundled(name: str) -> Path:
    """The folder of the bundled model ``name``.

    Raises:
        KeyError: if no model of that name is bundled.
    """
    if name not in NAMES:
        raise KeyError(name)
    return _FOLDER / name
