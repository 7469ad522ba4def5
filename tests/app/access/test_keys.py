"""Keys on disk: shown once, kept as hashes, whole or not there; a name stands for one key for ever."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.access.caller import Caller, Scope
from app.access.keyring import KeyRing
from app.access.keys import KeyFolder
from app.domain.errors import Conflict, NotFound, PalimpsestError, Unauthenticated
from app.domain.failpoints import armed


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestAKey:
    def test_is_known_by_who_has_it(self, keys: KeyFolder) -> None:
        key = keys.create("ci", [Scope.EDIT, Scope.QUERY, Scope.EDIT], ["atlas"])
        expected = Caller("ci", frozenset({Scope.EDIT, Scope.QUERY}), frozenset({"atlas"}))
        assert KeyRing.read(keys).caller(key.encode()) == expected

    def test_is_of_256_random_bits_and_never_the_same(self, keys: KeyFolder) -> None:
        made = {keys.create(f"key-{number}", [Scope.QUERY]) for number in range(20)}
        assert len(made) == 20
        assert all(len(key.removeprefix("palimpsest_")) == 43 for key in made)  # 32 bytes in base64

    def test_is_kept_as_its_hash_alone(self, keys: KeyFolder, tmp_path: Path) -> None:
        key = keys.create("ci", [Scope.QUERY])
        kept = b"".join(path.read_bytes() for path in (tmp_path / "keys").iterdir())
        assert hashlib.sha256(key.encode()).hexdigest().encode() in kept
        assert key.encode() not in kept
        assert key.removeprefix("palimpsest_").encode() not in kept

    def test_ends_when_it_expires(self, keys: KeyFolder) -> None:
        past = keys.create("past", [Scope.QUERY], expires=datetime.now(UTC) - timedelta(seconds=1))
        soon = keys.create("soon", [Scope.QUERY], expires=datetime.now(UTC) + timedelta(hours=1))
        ring = KeyRing.read(keys)
        assert ring.caller(soon.encode()).name == "soon"
        with pytest.raises(Unauthenticated, match="expired"):
            ring.caller(past.encode())

    def test_ends_when_it_is_revoked_and_stays_on_record(self, keys: KeyFolder) -> None:
        key = keys.create("ci", [Scope.QUERY])
        keys.revoke("ci")
        keys.revoke("ci")
        ring = KeyRing.read(keys)
        assert [record.state(datetime.now(UTC)) for record in ring.keys] == ["revoked"]
        with pytest.raises(Unauthenticated, match="revoked"):
            ring.caller(key.encode())

    @pytest.mark.parametrize(
        "wrong",
        [b"", b"palimpsest_", b"\xff\xfe", "palimpsest_ключ".encode(), b"a" * 100_000, b"0" * 64, b"ci"],
    )
    def test_is_not_guessed(self, keys: KeyFolder, wrong: bytes) -> None:
        keys.create("ci", [Scope.QUERY])
        with pytest.raises(Unauthenticated):
            KeyRing.read(keys).caller(wrong)

    def test_is_not_its_own_hash(self, keys: KeyFolder) -> None:
        keys.create("ci", [Scope.QUERY])
        [record] = keys.read()
        with pytest.raises(Unauthenticated):
            KeyRing.read(keys).caller(record.sha256.encode())


class TestAName:
    @pytest.mark.parametrize("name", ["", "../ci", "a/b", ".ci", "ci ", "ci\n", "ключ", "a" * 121, "a\x00b"])
    def test_is_never_a_path(self, keys: KeyFolder, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValidationError):
            keys.create(name, [Scope.QUERY])
        assert not (tmp_path / "keys").exists()

    def test_stands_for_one_key_for_ever(self, keys: KeyFolder) -> None:
        keys.create("ci", [Scope.QUERY])
        keys.revoke("ci")
        with pytest.raises(Conflict, match="for ever"):
            keys.create("ci", [Scope.QUERY])

    def test_is_given_once_however_many_want_it(self, keys: KeyFolder) -> None:
        def create(_: int) -> str | None:
            try:
                return keys.create("ci", [Scope.QUERY])
            except Conflict:
                return None

        with ThreadPoolExecutor(8) as pool:
            made = list(filter(None, pool.map(create, range(8))))
        assert len(made) == 1
        assert KeyRing.read(keys).caller(made[0].encode()).name == "ci"

    def test_that_nobody_has_cannot_be_revoked(self, keys: KeyFolder) -> None:
        with pytest.raises(NotFound):
            keys.revoke("nobody")


class TestWhatIsNoKey:
    @pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"name": "bad"}', b"\xff" * 100])
    def test_opens_nothing_and_shuts_the_service(self, keys: KeyFolder, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "keys").mkdir()
        (tmp_path / "keys" / "bad.json").write_bytes(content)
        ring = KeyRing.read(keys)
        assert (ring.keys, ring.damaged, ring.any) == ((), ("bad",), True)
        with pytest.raises(Conflict, match="cannot be read"):
            keys.revoke("bad")

    def test_a_copied_key_does_not_count_twice(self, keys: KeyFolder, tmp_path: Path) -> None:
        keys.create("ci", [Scope.QUERY])
        folder = tmp_path / "keys"
        (folder / "other.json").write_bytes((folder / "ci.json").read_bytes())
        ring = KeyRing.read(keys)
        assert ([record.name for record in ring.keys], ring.damaged) == (["ci"], ("other",))

    def test_a_scope_of_a_later_release_makes_the_key_good_for_nothing(self, keys: KeyFolder, tmp_path: Path) -> None:
        keys.create("ci", [Scope.QUERY])
        path = tmp_path / "keys" / "ci.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "scopes": ["query", "everything"]}))
        assert KeyRing.read(keys).damaged == ("ci",)

    def test_what_else_lies_there_is_left_alone(self, keys: KeyFolder, tmp_path: Path) -> None:
        (tmp_path / "keys").mkdir()
        for name in (".hidden.json", "..data", "README", "lock"):
            (tmp_path / "keys" / name).write_text("?")
        assert not KeyRing.read(keys).any

    def test_a_mounted_folder_of_links_is_read(self, keys: KeyFolder, tmp_path: Path) -> None:
        """As Kubernetes mounts a Secret."""
        key = keys.create("ci", [Scope.QUERY])
        mounted = tmp_path / "mounted"
        (mounted / "..2026").mkdir(parents=True)
        (mounted / "..2026" / "ci.json").write_bytes((tmp_path / "keys" / "ci.json").read_bytes())
        (mounted / "..data").symlink_to("..2026")
        (mounted / "ci.json").symlink_to("..data/ci.json")
        assert KeyRing.read(KeyFolder(mounted)).caller(key.encode()).name == "ci"


class TestAFullDisk:
    @pytest.mark.parametrize("point", ["log.write.before", "log.write.after", "log.fsync.before", "log.fsync.after"])
    @pytest.mark.parametrize("fault", ["enospc", "eio"])
    def test_leaves_no_key(self, keys: KeyFolder, tmp_path: Path, point: str, fault: str) -> None:
        with armed(f"{point}={fault}"), pytest.raises(OSError, match=r"\[Errno"):
            keys.create("ci", [Scope.QUERY])
        assert files(tmp_path / "keys") == ["lock"]
        assert keys.create("ci", [Scope.QUERY])

    @pytest.mark.parametrize("point", ["log.write.before", "log.write.after", "log.fsync.before", "log.fsync.after"])
    def test_that_stops_a_revocation_says_so(self, keys: KeyFolder, point: str) -> None:
        key = keys.create("ci", [Scope.QUERY])
        with armed(f"{point}=enospc"), pytest.raises(OSError, match=r"\[Errno"):
            keys.revoke("ci")
        assert KeyRing.read(keys).caller(key.encode()).name == "ci"
        keys.revoke("ci")
        with pytest.raises(PalimpsestError):
            KeyRing.read(keys).caller(key.encode())
