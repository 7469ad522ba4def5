"""Digests of what is written, so that damage is noticed when it is read."""

from __future__ import annotations

import hashlib
from pathlib import Path

from app.domain.errors import DamagedVersion


def sha256(data: bytes) -> str:
    """The SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def with_digest(name: str, data: bytes) -> dict[str, bytes]:
    """The files to write, in order: the digest for ``read_checked`` and ``sha256sum --check``, then ``data`` itself."""
    return {digest_name(name): _line(name, data), name: data}


def digest_name(name: str) -> str:
    """Name of the file that holds the digest of the file ``name``."""
    return f"{name}.sha256"


def read_checked(path: Path, shown: str) -> bytes:
    """The bytes of a file that was written ``with_digest``.

    Args:
        shown: what an error calls the file.

    Raises:
        DamagedVersion: the file or its digest is missing, or they do not belong together.
    """
    try:
        data = path.read_bytes()
        noted = path.with_name(digest_name(path.name)).read_bytes()
    except OSError as error:
        lost = shown if error.filename == str(path) else digest_name(shown)
        raise DamagedVersion(f"{lost} cannot be read: {error.strerror}", value=shown) from error
    if noted != _line(path.name, data):
        raise DamagedVersion(f"{shown} does not have the bytes that were written", value=shown)
    return data


def check_bytes(data: bytes, digest: str, size: int, shown: str) -> bytes:
    """Return ``data`` if it has this SHA-256 and this size in bytes.

    Raises:
        DamagedVersion: it has not.
    """
    if len(data) != size:
        raise DamagedVersion(f"{shown} has {len(data)} bytes instead of {size}", value=shown)
    if sha256(data) != digest:
        raise DamagedVersion(f"{shown} does not have the bytes that were written", value=shown)
    return data


def _line(name: str, data: bytes) -> bytes:
    return f"{sha256(data)}  {name}\n".encode()
