"""`palimpsest log`: what it shows, what it checks, what it says to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.domain.log.edit_log import EditLog
from tests.support.logs import MODEL, UPDATE, commit, fact, log_with, revert, roll_back

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `palimpsest log ...` on the logs in ``tmp_path``: exit status and output, line breaks as spaces."""
    monkeypatch.setenv("COLUMNS", "250")

    def palimpsest(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["log", *arguments, "--log", str(tmp_path)])
        return done.exit_code, done.output

    return palimpsest


@pytest.fixture
def log(tmp_path: Path) -> EditLog:
    log = log_with(tmp_path)
    commit(log, 1, fact("Lyon"), fact("Nice"))
    commit(log, 2, fact("Lyon", obj="[b]Chile"))
    revert(log, (1, 1))
    roll_back(log, 1)
    return log


def version_file(root: Path, version: int, name: str) -> Path:
    return root / MODEL / "versions" / f"{version:08d}" / name


class TestShow:
    def test_lists_all_versions(self, run: Run, log: EditLog) -> None:
        log.write_snapshot(2, {"weights": b""})
        status, output = run("show", MODEL)
        assert status == 0
        for told in ("rollback to 1", "revert", "edit", "job-3", "memit boundary", "snapshot"):
            assert told in output

    def test_tells_what_one_version_changed(self, run: Run, log: EditLog) -> None:
        assert "Japan → [b]Chile" in run("show", MODEL, "2")[1]
        output = run("show", MODEL, "3")[1]
        assert "taken out" in output
        assert "Nice" in output

    def test_of_what_is_not_there(self, run: Run, log: EditLog) -> None:
        assert run("show", "nobody") == (1, "unknown_model: there is no edit log of nobody\n")
        assert run("show", MODEL, "9") == (1, f"unknown_version: {MODEL} has no version 9\n")


class TestVerify:
    def test_finds_nothing_wrong_with_a_whole_log(self, run: Run, log: EditLog) -> None:
        log.write_snapshot(2, {"weights": b"w"})
        for arguments in (("verify",), ("verify", MODEL)):
            status, output = run(*arguments)
            assert (status, output.count("whole")) == (0, 6)

    def test_names_damaged_tensors_and_the_version_to_go_back_to(self, run: Run, log: EditLog, tmp_path: Path) -> None:
        commit(log, 5, fact("Oslo"))
        version_file(tmp_path, 5, UPDATE).write_bytes(b"")
        status, output = run("verify")
        assert status == 1
        assert f"{MODEL}/versions/00000005/{UPDATE} has 0 bytes instead of 20" in output
        assert f"Restore {MODEL}/versions/00000005/{UPDATE}: 20 bytes, sha256" in output
        assert f"palimpsest log rollback {MODEL} --to 4" in output
        assert run("rollback", MODEL, "--to", "4")[0] == 0
        status, output = run("verify")
        assert status == 1
        assert "Version 6 can be started without what is damaged." in output
        assert [term.version for term in EditLog(tmp_path, MODEL).replay().rest] == [1]

    def test_a_snapshot_makes_up_for_damaged_tensors(self, run: Run, log: EditLog, tmp_path: Path) -> None:
        log.write_snapshot(1, {"weights": b"w"})
        version_file(tmp_path, 1, UPDATE).unlink()
        assert "Version 4 can be started without what is damaged." in run("verify")[1]

    def test_says_that_a_damaged_snapshot_alone_is_harmless(self, run: Run, log: EditLog, tmp_path: Path) -> None:
        log.write_snapshot(2, {"weights": b"w"})
        (tmp_path / MODEL / "snapshots" / "00000002" / "weights").write_bytes(b"v")
        status, output = run("verify")
        assert status == 1
        assert "snapshots/00000002/weights does not have the bytes" in output
        assert "`palimpsest log compact` removes them" in output
        assert run("compact", MODEL)[0] == 0
        assert run("verify")[0] == 0

    def test_says_which_versions_a_damaged_manifest_costs(self, run: Run, log: EditLog, tmp_path: Path) -> None:
        version_file(tmp_path, 3, "manifest.json").write_bytes(b"{}")
        status, output = run("verify")
        assert status == 1
        assert f"Restore {MODEL}/versions/00000003/manifest.json from a backup" in output
        assert "start it again at version 2." in output
        assert "not checked: it rests on version 3" in output

    def test_says_that_all_rests_on_the_base(self, run: Run, log: EditLog, tmp_path: Path) -> None:
        (tmp_path / MODEL / "base.json").write_bytes(b"{}")
        status, output = run("verify")
        assert (status, output.count("not checked: it rests on the base")) == (1, 4)

    def test_tells_how_to_mend_an_epoch(self, run: Run, log: EditLog, tmp_path: Path) -> None:
        (tmp_path / MODEL / "epoch").write_text("?")
        assert f"While no worker runs, remove {MODEL}/epoch" in run("verify")[1]
        (tmp_path / MODEL / "epoch").unlink()
        with log.lead() as epoch:
            assert epoch == 2


class TestCompact:
    def test_says_what_is_left(self, run: Run, log: EditLog) -> None:
        log.write_snapshot(4, {"weights": b"w"})
        assert run("compact", MODEL, "--before", "4") == (0, f"{MODEL}: snapshots [4], tensors from version 4 on.\n")
        assert run("verify")[1].count("its files were removed by compact") == 3
        assert run("show", MODEL)[1].count("compacted") == 3

    def test_says_why_not(self, run: Run, log: EditLog) -> None:
        status, output = run("compact", MODEL, "--before", "4")
        assert (status, output.split(":")[0]) == (1, "conflict")
        with log.lead():
            assert run("compact", MODEL)[1].startswith("log_locked:")
