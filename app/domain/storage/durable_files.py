"""Files that are wholly there or not at all, also after a crash."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from app.domain.failpoints import Point, failpoint

HIDDEN = "."
"""First character of the name of an unfinished file or directory, which no reader looks at."""


def make_dir(path: Path) -> None:
    """Make a directory, with its parents, that is still there after a crash. It may exist already."""
    if not path.is_dir():
        make_dir(path.parent)
        path.mkdir(exist_ok=True)
        sync_dir(path.parent)


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
    sync_dir(path.parent)


def fill(path: Path, data: bytes) -> None:
    """Give a file that nobody reads yet its contents, which are on disk when this returns; its name need not be.

    Raises:
        OSError: it could not be written, or it is not known to be on disk.
    """
    _write(path, data, os.O_TRUNC)


def rename(path: Path, name: str) -> None:
    """Give a file another name in its directory, which is on disk when this returns.

    Raises:
        OSError: it could not be renamed, or the name is not known to be on disk.
    """
    path.rename(path.with_name(name))
    sync_dir(path.parent)


def publish_dir(path: Path, files: Mapping[str, bytes], permitted: Callable[[], None]) -> None:
    """Make the directory ``path`` with these files (at least one): all of it, on disk, or nothing.

    Args:
        permitted: called when all but the last step is done; raises to withdraw.

    Raises:
        FileExistsError: ``path`` is there already, and was left as it is.
        OSError: it could not be written; nothing stays.
    """
    unfinished = path.with_name(_unfinished_name(path.name))
    unfinished.mkdir()
    try:
        for name, data in files.items():
            _write(unfinished / name, data)
        _put_in_place(unfinished, path, permitted)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # there still if it failed


@contextmanager
def building_dir(path: Path, permitted: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield a hidden directory to write files into; when the block ends it becomes ``path``, on disk.

    After an error nothing stays. The directory that it will stand in must be there.

    Args:
        permitted: called when all but the last step is done; raises to withdraw.

    Raises:
        FileExistsError: ``path`` is there already, with something in it, and was left as it is.
        OSError: it could not be written.
    """
    unfinished = path.with_name(_unfinished_name(path.name))
    unfinished.mkdir()
    try:
        yield unfinished
        for file in sorted(unfinished.iterdir()):
            sync_file(file)
        _put_in_place(unfinished, path, permitted)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # there still if it failed


def discard_dir(path: Path, permitted: Callable[[], None] | None = None) -> None:
    """Remove a directory: a crash leaves it whole, or hidden. It need not be there.

    Args:
        permitted: raises to leave it. It is asked when the hidden directory is there that ``path`` is then moved into:
            if that is swept away in between, nothing is removed.

    Raises:
        OSError: it could not be removed, or the hidden directory was swept away. Whatever ``permitted`` raises.
    """
    if not path.is_dir():
        return
    target = unfinished = path.with_name(_unfinished_name(path.name))
    if permitted is not None:
        unfinished.mkdir()
        target = unfinished / path.name
    try:
        if permitted is not None:
            permitted()
        failpoint(Point.DISCARD_BEFORE)
        path.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    sync_dir(path.parent)
    failpoint(Point.DISCARD_AFTER)
    shutil.rmtree(unfinished)


def remove_files(folder: Path, keep: Container[str]) -> None:
    """Remove a directory's files but for those to ``keep``; their absence is on disk when this returns."""
    gone = [path for path in sorted(folder.iterdir()) if path.name not in keep]
    for path in gone:
        failpoint(Point.COMPACT_REMOVE_BEFORE)
        path.unlink()
        failpoint(Point.COMPACT_REMOVE_AFTER)
    if gone:
        sync_dir(folder)


def put_aside(path: Path) -> Path:
    """Give a file or directory a hidden name, for a sweep to remove; returns the new path."""
    return path.rename(path.with_name(_unfinished_name(path.name.lstrip(HIDDEN))))


def sweep(folder: Path) -> None:
    """Remove what writers left unfinished: those that died, and those that are overtaken and have not noticed yet.

    Each is renamed before it is removed: so a writer that is still running either has published it by then, or fails.
    """
    if folder.is_dir():
        for left in folder.glob(f"{HIDDEN}*"):
            try:
                gone = put_aside(left)
            except FileNotFoundError:  # its writer was quicker
                continue
            if gone.is_dir() and not gone.is_symlink():
                shutil.rmtree(gone)
            else:
                gone.unlink()


def sync_file(path: Path) -> None:
    """Wait until a file that other code wrote is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_dir(path: Path) -> None:
    """Wait until the names in a directory are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def _unfinished_name(name: str) -> str:
    return f"{HIDDEN}{name}.{secrets.token_hex(8)}"


def _write(path: Path, data: bytes, how: int = os.O_CREAT | os.O_EXCL) -> None:
    """Write a file, by default a new one, and wait until it is on disk."""
    descriptor = os.open(path, os.O_WRONLY | how, 0o644)
    try:
        rest = memoryview(data)
        failpoint(Point.LOG_WRITE_BEFORE)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        failpoint(Point.LOG_WRITE_AFTER)
        failpoint(Point.LOG_FSYNC_BEFORE)
        os.fsync(descriptor)
        failpoint(Point.LOG_FSYNC_AFTER)
    finally:
        os.close(descriptor)


def _put_in_place(unfinished: Path, path: Path, permitted: Callable[[], None]) -> None:
    """Give a hidden directory, whose files are on disk, its final name; or take it back, and raise."""
    failpoint(Point.LOG_DIR_FSYNC_BEFORE)
    sync_dir(unfinished)
    failpoint(Point.LOG_DIR_FSYNC_AFTER)
    permitted()
    failpoint(Point.LOG_RENAME_BEFORE)
    _rename_without_replacing(unfinished, path)
    try:
        failpoint(Point.LOG_RENAME_AFTER)
        failpoint(Point.LOG_PARENT_FSYNC_BEFORE)
        sync_dir(path.parent)
        failpoint(Point.LOG_PARENT_FSYNC_AFTER)
    except BaseException:  # a deadline or Ctrl-C too: clean up, and raise it again
        permitted()  # raises if a newer leader, whose versions may follow on it, has taken over
        path.rename(unfinished)  # not known to be on disk: take it back
        raise


def _rename_without_replacing(source: Path, target: Path) -> None:
    """Rename a directory. rename(2) replaces only an empty directory, and a published one never is empty."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        raise
