"""Files that are wholly there or not at all, also after a crash, and whose damage is noticed."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from app.domain.errors import DamagedVersion

HIDDEN = "."
"""First character of every name that is not finished yet; nobody but its writer looks at it."""


def sha256(data: bytes) -> str:
    """The SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def with_digest(name: str, data: bytes) -> dict[str, bytes]:
    """``data`` as the file ``name``, after the file that ``read_checked`` and ``sha256sum --check`` need."""
    return {_digest_name(name): f"{sha256(data)}  {name}\n".encode(), name: data}


def read_checked(path: Path) -> bytes:
    """The bytes of a file that was written ``with_digest``.

    Raises:
        DamagedVersion: the file or its digest is missing, or they do not belong together.
    """
    try:
        data = path.read_bytes()
        noted = path.with_name(_digest_name(path.name)).read_bytes()
    except OSError as error:
        raise DamagedVersion(f"{error.filename} cannot be read: {error.strerror}", value=str(path)) from error
    if noted != with_digest(path.name, data)[_digest_name(path.name)]:
        raise DamagedVersion(f"{path} does not have the bytes that were written", value=str(path))
    return data


def check_file(path: Path, digest: str, size: int) -> None:
    """Return if the file has this SHA-256 and this size in bytes.

    Raises:
        DamagedVersion: it has not, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            intact = found == size and hashlib.file_digest(file, "sha256").hexdigest() == digest
    except OSError as error:
        raise DamagedVersion(f"{path} cannot be read: {error.strerror}", value=str(path)) from error
    if found != size:
        raise DamagedVersion(f"{path} has {found} bytes instead of {size}", value=str(path))
    if not intact:
        raise DamagedVersion(f"{path} does not have the bytes that were written", value=str(path))


def make_dir(path: Path) -> None:
    """Make a directory, with its parents, that is still there after a crash. It may exist already."""
    if not path.is_dir():
        make_dir(path.parent)
        path.mkdir(exist_ok=True)
        _sync_dir(path.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Give ``path`` new contents: a crash leaves the old ones or the new ones. One writer at a time.

    Raises:
        OSError: it could not be written, or it is not known to be on disk.
    """
    unfinished = path.with_name(_unfinished_name(path.name))
    try:
        _write(unfinished, data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)  # there still if it failed
    _sync_dir(path.parent)


def publish_dir(path: Path, files: Mapping[str, bytes]) -> None:
    """Make the directory ``path`` with these files (at least one): all of it, on disk, or nothing.

    Raises:
        FileExistsError: ``path`` is there already, and was left as it is.
        OSError: it could not be written; nothing stays.
    """
    unfinished = path.with_name(_unfinished_name(path.name))
    unfinished.mkdir()
    try:
        for name, data in files.items():
            _write(unfinished / name, data)
        _sync_dir(unfinished)
        _rename_without_replacing(unfinished, path)
        try:
            _sync_dir(path.parent)
        except OSError:
            path.rename(unfinished)  # not known to be on disk: take it back
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # there still if it failed


def sweep(folder: Path) -> None:
    """Remove what killed writers left unfinished. The caller must be the only writer."""
    if folder.is_dir():
        for left in folder.glob(f"{HIDDEN}*"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()


@contextmanager
def exclusive(path: Path, *, wait: bool) -> Iterator[TextIO]:
    """Hold the lock on ``path`` (made if absent) against other processes, and other holders in this one.

    The lock ends with the process, however that ends. Yields the file, for notes of who holds it.

    Raises:
        BlockingIOError: it is held and ``wait`` is false.
    """
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        try:
            yield file
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a forked child may still have the file open


def _digest_name(name: str) -> str:
    return f"{name}.sha256"


def _unfinished_name(name: str) -> str:
    return f"{HIDDEN}{name}.{secrets.token_hex(8)}"


def _write(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename_without_replacing(source: Path, target: Path) -> None:
    """Rename a directory. rename(2) replaces only an empty directory, and a published one never is empty."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        raise


def _sync_dir(path: Path) -> None:
    """Wait until the names in a directory are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
