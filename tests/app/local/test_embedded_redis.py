"""The server of one's own: it keeps what it was told, and nobody but its owner ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from base64 import b85decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from app.domain.errors import RedisUnavailable
from app.local.embedded_redis import PACKAGE, PROGRAMS, embedded_redis, find_redis_server

OWNER = """
import signal, sys, time
from pathlib import Path
from redis import Redis
from app.local.embedded_redis import embedded_redis
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background of a shell pass it on ignored
with embedded_redis(Path(sys.argv[1])) as url:
    with Redis.from_url(url) as client:
        client.set("city", "Lyon")
        print(client.info("server")["process_id"], flush=True)
    time.sleep(60)
"""


APPEND_ONLY_FILE_OF_REDIS_6 = (
    b"c${U6&q~8U5XNVlY^`gz6``k|3Z4oHNuw2Sf<_d2vc5pF*+Qzx*6gMd#EbYsd4tlsui-;PFm4T=9OlnAzxn3Qzq*|}j&ok^XFQ6fwdPrSYENwUq"
    b"#_LoV<k5i6=o_<`1YgRd#F0O<dK!|WP8JUP;~>buvQrllJJpl&^LTx0F%Y4FlU8Gd-y5mIY)y50Q7aW01T0GY^Y~ZQ)4N@;ZWnF=G2xdP`T{1f4`!"
    b"-Yifi1|LoeQbstN`R}vjU6X<V_M!FL~NGEz<N|9nfExiGHdwDfXRBH}(vS6QHSssihlpIefnfo*U@?L9~5{Htpr=_>UJ9b716M3q#qA_1*LCQEKK"
    b"OJLF>;"
)
"""Written by Redis 6.2.14, compressed: an RDB preamble of five keys (BGREWRITEAOF), then the key ``country``."""


@contextmanager
def connected(url: str) -> Iterator[Redis]:
    with Redis.from_url(url, decode_responses=True) as client:
        yield client


def pid_of(url: str) -> int:
    with connected(url) as client:
        return int(client.info("server")["process_id"])


def runs(pid: int) -> bool:
    """Whether the process is there and not merely waiting to be reaped."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not runs(pid)


@contextmanager
def owner(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that owns a server on ``data_dir``, and the server's process id."""
    command = [sys.executable, "-c", OWNER, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server = int(process.stdout.readline())
        try:
            yield process, server
        finally:
            process.kill()


def test_answers_and_keeps_every_write_on_disk(tmp_path: Path) -> None:
    with embedded_redis(tmp_path / "made" / "on the way") as url, connected(url) as client:
        assert client.ping()
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("append*")["appendfsync"] == "always"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("dir") == {"dir": str(tmp_path / "made" / "on the way")}


def test_data_survive_a_restart(tmp_path: Path) -> None:
    with embedded_redis(tmp_path) as url, connected(url) as client:
        client.set("city", "Lyon")
    with embedded_redis(tmp_path) as url, connected(url) as client:
        assert client.get("city") == "Lyon"


def test_a_torn_last_record_is_all_that_a_torn_file_loses(tmp_path: Path) -> None:
    with embedded_redis(tmp_path) as url, connected(url) as client:
        client.set("city", "Lyon")
        client.set("country", "France")
    [records] = (path for path in tmp_path.rglob("*.aof") if path.stat().st_size)
    records.write_bytes(records.read_bytes()[:-5])
    with embedded_redis(tmp_path) as url, connected(url) as client:
        assert (client.get("city"), client.get("country")) == ("Lyon", None)


def test_two_at_once_do_not_collide_and_each_ends_alone(tmp_path: Path) -> None:
    with embedded_redis(tmp_path / "a") as first:
        with embedded_redis(tmp_path / "b") as second:
            assert first != second
            first_pid, second_pid = pid_of(first), pid_of(second)
            with connected(first) as one, connected(second) as other:
                one.set("city", "Lyon")
                assert other.get("city") is None
        assert not runs(second_pid)
        assert pid_of(first) == first_pid
    assert not runs(first_pid)


@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt])
def test_ends_whatever_the_context_raises(tmp_path: Path, raised: type[BaseException]) -> None:
    seen: list[tuple[str, int]] = []

    def fail_halfway() -> None:
        with embedded_redis(tmp_path) as url:
            seen.append((url, pid_of(url)))
            raise raised

    with pytest.raises(raised):
        fail_halfway()
    [(url, pid)] = seen
    assert not runs(pid)
    with pytest.raises(RedisConnectionError), connected(url) as client:
        client.ping()
    assert not (tmp_path / "redis.url").exists()


def test_a_signal_to_the_owners_group_does_not_reach_the_server(tmp_path: Path) -> None:
    with embedded_redis(tmp_path) as url:
        pid = pid_of(url)
        assert os.getpgid(pid) == pid
        assert os.getsid(pid) == os.getsid(0), "Linux shares processors out among sessions first"


def test_a_server_that_hangs_is_ended_too(tmp_path: Path) -> None:
    with embedded_redis(tmp_path, stop_timeout_s=0.1) as url:
        pid = pid_of(url)
        os.kill(pid, signal.SIGSTOP)
    assert not runs(pid)


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    with (
        embedded_redis(tmp_path) as url,
        pytest.raises(RedisUnavailable, match="already runs"),
        embedded_redis(tmp_path),
    ):
        pass
    assert url


def test_the_server_of_a_killed_owner_is_taken_over(tmp_path: Path) -> None:
    with owner(tmp_path) as (process, orphan):
        process.kill()
        process.wait()
        assert runs(orphan)
        with embedded_redis(tmp_path) as url, connected(url) as client:
            assert wait_until_gone(orphan)
            assert client.get("city") == "Lyon"


def test_ctrl_c_at_the_owner_ends_the_server(tmp_path: Path) -> None:
    with owner(tmp_path) as (process, server):
        process.send_signal(signal.SIGINT)
        process.wait(20)
        assert not runs(server)


def test_a_path_too_long_for_a_socket_gets_a_loopback_port_with_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with embedded_redis(tmp_path / "data") as url, connected(url) as client:
        assert url.startswith("redis://:")
        assert client.ping()
        port = client.connection_pool.connection_kwargs["port"]
        with (
            pytest.raises(RedisConnectionError, match=r"(?i)auth"),
            connected(f"redis://127.0.0.1:{port}") as stranger,
        ):
            stranger.ping()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_text("not a log of commands")  # read by Redis 6
    (tmp_path / "appendonlydir").write_text("not a directory")  # wanted by Valkey, and by Redis 7 and later
    with (
        pytest.raises(RedisUnavailable, match=r"(?s)ended with status 1; its log ends:\n.*append") as caught,
        embedded_redis(tmp_path),
    ):
        pass
    assert caught.value.status == 503
    assert caught.value.value == str(tmp_path)


def test_a_machine_without_redis_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(RedisUnavailable, match=r"palimpsest\[redis\]"):
        find_redis_server()


def test_the_program_found_is_a_server() -> None:
    said = subprocess.run([find_redis_server(), "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith(("Redis server v=", "Valkey server v="))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_server_on_the_path_goes_before_that_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    program = tmp_path / name
    program.touch(mode=0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server() == program


@pytest.mark.parametrize(
    ("system", "machine", "folder"),
    [
        ("Linux", "x86_64", "linux-x86_64"),
        ("Linux", "arm64", "linux-aarch64"),
        ("Darwin", "arm64", "darwin-arm64"),
        ("Darwin", "AMD64", "darwin-x86_64"),
    ],
)
def test_the_package_has_a_folder_for_each_system_and_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, machine: str, folder: str
) -> None:
    program = tmp_path / PACKAGE / "_binaries" / folder / "valkey-server"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o700)
    (tmp_path / PACKAGE / "__init__.py").touch()
    monkeypatch.setenv("PATH", "")
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)  # it has a plugin for pytest, which is loaded
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert find_redis_server() == program


def test_what_redis_6_left_in_a_directory_is_read_and_kept(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(zlib.decompress(b85decode(APPEND_ONLY_FILE_OF_REDIS_6)))
    for _ in range(2):  # the first start moves the file into a directory, from which the second one reads it
        with embedded_redis(tmp_path) as url, connected(url) as client:
            assert (client.get("city"), client.get("country")) == ("Lyon", "France")
            assert client.hgetall("job") == {"status": "queued"}
            assert client.lrange("queue", 0, -1) == ["one", "two"]
            assert client.zrange("jobs", 0, -1, withscores=True) == [("one", 1.5)]
            assert client.xrange("steps") == [("1-1", {"json": "{}"})]
