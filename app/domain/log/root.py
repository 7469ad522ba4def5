"""Where all edit logs lie: a directory, or the URL of an object store, with one folder a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from app.domain.storage.local_storage import LocalStorage
from app.domain.storage.object_storage import ObjectStorage
from app.domain.storage.storage import Storage

LogRoot = Path | str
"""A directory; or a URL such as ``s3://bucket/logs`` that fsspec knows."""


def as_root(given: Path | str) -> LogRoot:
    """The root that a setting names: a path, or a URL as it is written."""
    return str(given) if "://" in str(given) else Path(given)


LogRootSetting = Annotated[LogRoot, BeforeValidator(as_root)]


def open_storage(root: LogRoot, model: str) -> Storage:
    """A model's log, which need not exist yet.

    Raises:
        UnsupportedStorage: fsspec, or the package that it needs for this URL, is missing.
    """
    directory = _directory(root)
    return ObjectStorage.open(str(root), model) if directory is None else LocalStorage(directory, model)


def stored_models(root: LogRoot) -> list[str]:
    """Names of all folders that hold a log, in no order.

    Raises:
        UnsupportedStorage: as ``open_storage`` does.
    """
    directory = _directory(root)
    return ObjectStorage.models(str(root)) if directory is None else LocalStorage.models(directory)


def _directory(root: LogRoot) -> Path | None:
    """The directory that ``root`` names; None if it is the URL of something else."""
    scheme, separator, rest = str(root).partition("://")
    if not separator:
        return Path(root)
    return Path(rest) if scheme == "file" else None
