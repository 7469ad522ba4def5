"""From what a user names (a folder, a hub id, a GGUF file, a short name) to what a model is loaded from."""

from __future__ import annotations

from pathlib import Path

from app.domain import smollm2
from app.domain.errors import ModelNotFound
from workers.models import NAMES, bundled
from workers.sources.gguf_model import converted

GGUF = ".gguf"


def source_of(model: str, data_dir: Path) -> str:
    """A folder, or a hub id. A folder of the given name goes before a short name.

    A GGUF file is converted into a folder below ``data_dir``, unless that was done before.

    Raises:
        ModelNotFound: no such GGUF file. UnsupportedArchitecture: it cannot be read, or cannot be edited.
    """
    if Path(model).is_dir():
        return model
    if model in NAMES:
        return str(bundled(model))
    if model == smollm2.NAME:
        file = smollm2.wheel_file()
        return smollm2.HUB_ID if file is None else str(converted(file, data_dir))
    if not is_gguf(model):
        return model
    if not Path(model).is_file():
        raise ModelNotFound("there is no such GGUF file", field="model", value=model)
    return str(converted(Path(model), data_dir))


def is_gguf(model: str) -> bool:
    """Whether a GGUF file is named, by its ending."""
    return model.lower().endswith(GGUF)
