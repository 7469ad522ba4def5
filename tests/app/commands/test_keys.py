"""`palimpsest keys`, and `palimpsest serve` where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.access.caller import Scope
from app.access.keyring import KeyRing
from app.access.keys import KeyFolder
from app.cli import cli

Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFolder:
    monkeypatch.setenv("PALIMPSEST_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("KEYS_DIR", "ALLOW_OPEN", "HOST"):
        monkeypatch.delenv(f"PALIMPSEST_{name}", raising=False)
    return KeyFolder(tmp_path / "keys")


@pytest.fixture
def run(folder: KeyFolder) -> Run:
    return lambda *arguments: CliRunner().invoke(cli, list(arguments))


class TestCreate:
    def test_prints_the_key_and_nothing_else_where_a_script_reads(self, run: Run, folder: KeyFolder) -> None:
        done = run("keys", "create", "ci", "--scope", "query", "--scope", "edit", "--model", "atlas", "--days", "7")
        assert done.exit_code == 0
        [line] = done.stdout.splitlines()
        caller = KeyRing.read(folder).caller(line.encode())
        assert (caller.name, caller.scopes, caller.models) == (
            "ci",
            frozenset({Scope.QUERY, Scope.EDIT}),
            frozenset({"atlas"}),
        )
        assert "shown once" in done.stderr
        [record] = folder.read()
        assert record.expires is not None
        assert (record.expires - record.created).days in (6, 7)

    def test_is_for_asking_alone_unless_more_is_said(self, run: Run, folder: KeyFolder) -> None:
        key = run("keys", "create", "app").stdout.strip()
        caller = KeyRing.read(folder).caller(key.encode())
        assert (caller.scopes, caller.models) == (frozenset({Scope.QUERY}), None)

    @pytest.mark.parametrize(
        "arguments", [["../ci"], ["ci", "--model", "../atlas"], ["ci", "--scope", "all"], ["ci", "--days", "0"], [""]]
    )
    def test_takes_no_nonsense(self, run: Run, folder: KeyFolder, arguments: list[str]) -> None:
        done = run("keys", "create", *arguments)
        assert (done.exit_code != 0, done.stdout) == (True, "")
        assert folder.names() == []

    def test_never_takes_a_name_twice(self, run: Run) -> None:
        run("keys", "create", "ci")
        run("keys", "revoke", "ci")
        done = run("keys", "create", "ci")
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith("conflict: ")

    def test_says_when_it_cannot_write(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text("a file")
        done = run("keys", "create", "ci")
        assert (done.exit_code, done.stdout) == (1, "")
        assert str(tmp_path) in done.stderr


def test_keys_may_lie_elsewhere(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("keys", "create", "one", "--keys-dir", str(tmp_path / "one"))
    monkeypatch.setenv("PALIMPSEST_KEYS_DIR", str(tmp_path / "two"))
    run("keys", "create", "two")
    assert KeyFolder(tmp_path / "one").names() == ["one"]
    assert KeyFolder(tmp_path / "two").names() == ["two"]


class TestList:
    def test_shows_all_and_no_key(self, run: Run) -> None:
        key = run("keys", "create", "ci", "--scope", "edit", "--model", "atlas").stdout.strip()
        run("keys", "create", "app", "--days", "3")
        run("keys", "revoke", "app")
        done = run("keys", "list")
        assert done.exit_code == 0
        for told in ("ci", "valid", "edit", "atlas", "app", "revoked", "query"):
            assert told in done.stdout
        assert key not in done.stdout

    def test_names_what_is_damaged(self, run: Run, tmp_path: Path) -> None:
        run("keys", "create", "ci")
        (tmp_path / "keys" / "bad.json").write_text("{")
        done = run("keys", "list")
        assert done.exit_code == 1
        assert "ci" in done.stdout
        assert "bad" in done.stderr


class TestRevoke:
    def test_makes_a_key_good_for_nothing(self, run: Run, folder: KeyFolder) -> None:
        run("keys", "create", "ci")
        assert run("keys", "revoke", "ci").exit_code == 0
        assert [record.revoked is not None for record in folder.read()] == [True]

    def test_of_what_is_not_there(self, run: Run) -> None:
        done = run("keys", "revoke", "nobody")
        assert (done.exit_code, done.stderr) == (1, "not_found: There is no key nobody.\n")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_serving_other_machines_without_a_key_is_refused(run: Run, tmp_path: Path, host: str) -> None:
    done = run("serve", "--host", host, "--data-dir", str(tmp_path / "other"))
    told = " ".join(done.output.split())
    assert done.exit_code == 1
    assert told.startswith("forbidden: On ")
    assert "palimpsest keys create NAME" in told
    assert str(tmp_path / "other") in done.output.replace("\n", "")
    assert not (tmp_path / "other").exists()  # nothing was begun
