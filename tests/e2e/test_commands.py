"""The command line against a running service: each command, as a table and as JSON, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.client import Client
from app.local.stack import Stack, free_port
from tests.e2e.conftest import MODEL

COUNTRY = "is located in the country of"
FACTS = (
    "subject,prompt,object,paraphrase,neighbour,expected\n"
    f"Sofia,{{}} {COUNTRY},Peru,The country where Sofia lies is,Varna {COUNTRY},Bulgaria\n"
    f"Minsk,Paris {COUNTRY},Peru,,,\n"
    f"Doha,{{}} {COUNTRY},,,,\n"
)


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended: its status, what it said on standard output and on standard error."""

    status: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        """Its JSON."""
        return json.loads(self.out)

    @property
    def words(self) -> str:
        """What it said, however it was broken into lines."""
        return " ".join(self.out.split())


Run = Callable[..., Done]


@pytest.fixture
def run(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `palimpsest ...` on the service, on a wide terminal."""
    monkeypatch.setenv("PALIMPSEST_URL", stack.url)
    monkeypatch.setenv("COLUMNS", "250")

    def palimpsest(*arguments: str, typed: str | None = None) -> Done:
        done = CliRunner().invoke(cli, list(arguments), input=typed)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Done(done.exit_code, done.stdout, done.stderr)

    return palimpsest


@pytest.fixture
def head(stack: Stack) -> int:
    """The newest version."""
    with Client(stack.url) as client:
        return client.versions(MODEL).head


@pytest.fixture
def file(tmp_path: Path) -> str:
    """One fact that can be used, and two that cannot."""
    path = tmp_path / "facts.csv"
    path.write_text(FACTS)
    return str(path)


def test_a_facts_way_through_all_commands(run: Run, head: int) -> None:
    shown = run("edit", "--subject", "Kyoto", "--prompt", f"{{}} {COUNTRY}", "--object", "Peru", "--neighbour", "Go to")
    assert shown.status == 0, shown
    for told in ("succeeded", f"version {head + 1}", "1 of 1 fact hold", f"Kyoto {COUNTRY}", "Peru", "holds"):
        assert told in shown.out
    job = run("jobs", "--limit", "1", "--json").told["jobs"][0]["id"]
    assert job in run("jobs").out
    assert f"Kyoto {COUNTRY}" in run("jobs", job).out
    assert run("jobs", job, "--follow", "--json").told["report"]["facts"][0]["holds"]

    assert f"{head + 1}" in run("versions").out
    assert run("versions", MODEL, "--json").told["head"] == head + 1
    for listed in (run("versions", MODEL, str(head + 1)), run("diff", MODEL, str(head), str(head + 1))):
        assert listed.status == 0
        for told in ("added", f"{head + 1}.0", f"Kyoto {COUNTRY}", "Peru"):
            assert told in listed.out
    assert run("versions", MODEL, str(head + 1), "--json").told["job"] == job
    assert run("diff", MODEL, str(head + 1), str(head), "--json").told["facts"]["taken_out"][0]["object"] == "Peru"
    assert f"{head + 1}.0" in run("versions", "--facts").out
    assert run("versions", "--facts", "--json").told["facts"][-1]["job"] == job

    reverted = run("revert", MODEL, f"{head + 1}.0", "--json")
    assert (reverted.status, reverted.told["version"]) == (0, head + 2)
    back = run("rollback", "--to", str(head + 1))
    assert (back.status, f"version {head + 3}" in back.out) == (0, True)
    out = run("revert", "--job", job)
    assert (out.status, f"version {head + 4}" in out.out) == (0, True)
    exported = run("export", MODEL, "--format", "updates", "--version", "0")
    assert (exported.status, "-updates" in exported.out) == (0, True)


class TestAsk:
    PROMPT = f"Paris {COUNTRY}"

    def test_one_question(self, run: Run) -> None:
        assert run("ask", self.PROMPT, "--max-new-tokens", "1").out == "France\n"
        shown = run("ask", self.PROMPT, "--max-new-tokens", "1", "--top", "2")
        assert "' France'" in shown.out
        told = run("ask", self.PROMPT, "--plain", "--json").told
        assert told["answers"][0]["text"].startswith(" France")

    def test_two_versions_stand_side_by_side(self, run: Run, head: int) -> None:
        shown = run("ask", self.PROMPT, "--version", "0", "--version", str(head), "--max-new-tokens", "1")
        assert f"{MODEL}, version 0" in shown.out
        assert f"{MODEL}, version {head}" in shown.out
        told = run("ask", self.PROMPT, "--version", "0", "--version", str(head), "--json").told
        assert [reply["version"] for reply in told] == [0, head]

    def test_lines_of_a_pipe_are_asked_one_by_one(self, run: Run) -> None:
        typed = f"{self.PROMPT}\n\nLyon {COUNTRY}\n"
        assert run("ask", "--max-new-tokens", "1", "--version", "0", typed=typed).out == "France\nFrance\n"


class TestProposals:
    FACT = ("--prompt", f"{{}} {COUNTRY}", "--object", "Peru")

    def propose(self, run: Run, subject: str) -> str:
        """The id of a proposal that writes one fact."""
        proposed = run("edit", "--subject", subject, *self.FACT, "--propose", "--json")
        assert (proposed.status, proposed.told["status"]) == (0, "proposed")
        return str(proposed.told["proposal"])

    def test_one_is_asked_shown_and_published(self, run: Run, head: int, tmp_path: Path) -> None:
        assert run("proposals", "list", "--json").told["proposals"] == []
        shown = run("edit", "--subject", "Nagoya", *self.FACT, "--propose")
        [proposal] = [each["id"] for each in run("proposals", "list", "--json").told["proposals"]]
        assert (shown.status, f"proposed, {proposal}, 1 of 1 fact hold" in shown.words) == (0, True)
        listed = run("proposals", "list", "--model", MODEL)
        for told in (proposal, f"version {head}", "as it is"):
            assert told in listed.out
        one = run("proposals", "show", proposal)
        for told in (
            f"{proposal} of {MODEL}",
            f"Nagoya {COUNTRY}",
            "Peru",
            "holds",
            f"rests on version {head}: as it is",
        ):
            assert told in one.out
        assert run("proposals", "show", proposal, "--json").told["id"] == proposal

        ask = ("ask", f"Nagoya {COUNTRY}", "--max-new-tokens", "1")
        assert run(*ask).out != run(*ask, "--version", proposal).out == "Peru\n"
        both = run(*ask, "--version", str(head), "--version", proposal)
        for told in (f"{MODEL}, version {head}", f"{MODEL}, {proposal}"):
            assert told in both.out
        file = tmp_path / "nagoya.csv"
        file.write_text(f"subject,prompt,object\nNagoya,{{}} {COUNTRY},Peru\n")
        found = run("check", "--facts", str(file), "--version", proposal, "--least", "1.0")
        assert (found.status, f"{MODEL}, {proposal}" in found.words) == (0, True)

        published = run("proposals", "publish", proposal, "--current")
        assert (published.status, f"succeeded, version {head + 1}, {proposal}" in published.words) == (0, True)
        assert run(*ask).out == "Peru\n"
        assert run("proposals", "list", "--json").told["proposals"] == []

    def test_one_that_the_model_has_left_behind_is_computed_anew_or_not_published(self, run: Run, head: int) -> None:
        first, second = self.propose(run, "Osaka"), self.propose(run, "Kobe")
        assert run("proposals", "publish", first).status == 0
        assert "computed anew" in run("proposals", "show", second).out
        refused = run("proposals", "publish", second, "--current", "--json")
        assert (refused.status, json.loads(refused.err)["code"]) == (1, "precondition_failed")
        anew = run("proposals", "publish", second, "--json")
        assert (anew.status, anew.told["version"]) == (0, head + 2)

    def test_one_is_dropped(self, run: Run, head: int) -> None:
        proposal = self.propose(run, "Sendai")
        dropped = run("proposals", "drop", proposal)
        assert (dropped.status, f"succeeded, {proposal}" in dropped.words) == (0, True)
        for decision in ("show", "publish", "drop"):
            gone = run("proposals", decision, proposal, "--json")
            assert (gone.status, json.loads(gone.err)["code"]) == (1, "unknown_proposal")
        assert run("versions", "--json").told["head"] == head


class TestFiles:
    def test_a_dry_run_says_what_can_be_used_and_changes_nothing(self, run: Run, file: str, head: int) -> None:
        shown = run("edit", file, "--dry-run")
        assert shown.status == 0
        for told in ("3 records (csv): 1 can be used", "subject_not_in_prompt", "empty_text", f"Sofia {COUNTRY}"):
            assert told in shown.out
        told = run("edit", file, "--dry-run", "--json").told
        assert (told["dry_run"], told["checked"], told["usable"], told["unusable"]) == (True, True, 1, 2)
        assert run("versions", "--json").told["head"] == head

    def test_a_dry_run_needs_no_service(self, run: Run, file: str) -> None:
        shown = run("edit", file, "--dry-run", "--url", f"http://127.0.0.1:{free_port()}")
        assert (shown.status, "1 can be used" in shown.out) == (0, True)
        assert "No worker has looked" in shown.err

    def test_its_facts_are_written_and_checked(self, run: Run, file: str, head: int) -> None:
        done = run("edit", file, "--json")
        assert done.status == 0, done
        assert [job["status"] for job in done.told["jobs"]] == ["succeeded"]
        found = run("check", "--facts", file, "--least", "1.0", "--json")
        assert (found.status, found.told["facts"], found.told["version"]) == (0, 1.0, head + 1)
        assert found.told["asked"] == {"facts": 1, "paraphrases": 1, "neighbours": 1}
        before = run("check", MODEL, "--facts", file, "--version", str(head), "--least", "1.0")
        assert (before.status, "Not as wanted" in before.out) == (3, True)
        assert run("check", "--json").told["asked"]["facts"] == len(run("versions", "--facts", "--json").told["facts"])

    def test_it_may_wait_as_a_whole(self, run: Run, file: str, head: int) -> None:
        done = run("edit", file, "--propose", "--json")
        assert (done.status, [job["status"] for job in done.told["jobs"]]) == (0, ["proposed"])
        assert run("proposals", "drop", done.told["jobs"][0]["proposal"]).status == 0
        assert run("versions", "--json").told["head"] == head

    def test_one_of_which_nothing_can_be_used_ends_with_1(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "none.csv"
        path.write_text("subject,prompt,object\nSofia,Paris is in,Peru\n")
        done = run("edit", str(path))
        assert (done.status, "0 can be used" in done.out) == (1, True)
        path.write_bytes("subject,prompt,object\nSão Paulo,{} is in,Peru\n".encode("cp1252"))
        done = run("edit", str(path), "--json")
        assert (done.status, json.loads(done.err)["code"]) == (1, "unreadable_file")


class TestEnds:
    def test_a_fact_that_does_not_hold_ends_with_3(self, run: Run) -> None:
        text = f"{{}} {COUNTRY}"
        done = run(
            "edit", "--subject", "Perth", "--prompt", text, "--object", "zx qv 8 jk w 3 pp", "--unheld", "reject"
        )
        assert (done.status, "does not hold" in done.out) == (3, True)

    def test_a_job_that_nobody_waits_for_ends_with_0_and_can_be_cancelled(self, run: Run) -> None:
        edit = ("edit", "--prompt", f"{{}} {COUNTRY}", "--object", "Peru", "--no-wait", "--json")
        first, second = (run(*edit, "--subject", name) for name in ("Basra", "Mosul"))
        assert (first.status, second.status) == (0, 0)
        cancelled = run("jobs", second.told["id"], "--cancel", "--json")
        assert (cancelled.status, cancelled.told["status"]) == (0, "cancelled")
        assert run("jobs", second.told["id"]).status == 1
        assert run("jobs", first.told["id"], "--follow").status == 0

    def test_a_refusal_ends_with_1_and_is_told_on_standard_error(self, run: Run) -> None:
        done = run("jobs", "nobody")
        assert (done.status, done.out) == (1, "")
        assert done.err == "unknown_job: No job nobody is known here. (job: 'nobody')\n"
        done = run("rollback", "--to", "9999", "--json")
        assert (done.status, json.loads(done.err)["code"]) == (1, "unknown_version")

    def test_a_service_that_is_not_there_ends_with_1(self, run: Run) -> None:
        for url in (f"http://127.0.0.1:{free_port()}", "localhost:8000"):
            done = run("jobs", "--url", url)
            assert (done.status, done.out) == (1, "")
            assert done.err.count("\n") == 1

    @pytest.mark.parametrize(
        "arguments",
        [
            ("edit",),
            ("edit", "--subject", "Oslo"),
            ("edit", "nowhere.csv"),
            ("edit", "--unheld", "maybe", "--subject", "a", "--prompt", "a", "--object", "b"),
            ("revert", MODEL),
            ("revert", MODEL, "1"),
            ("revert", MODEL, "1.0", "--job", "a"),
            ("jobs", "--follow"),
            ("export", "--format", "peft", "--device", "cpu"),
            ("export", "--format", "peft", "--out", "here"),
            ("rollback",),
            ("ask", "Oslo", "--version", "-1"),
            ("ask", "Oslo", "--version", "proposed-1"),
            ("check", "--version", "proposed-00000001"),
            ("proposals",),
            ("proposals", "publish"),
            ("nonsense",),
        ],
    )
    def test_wrong_use_ends_with_2(self, run: Run, arguments: tuple[str, ...]) -> None:
        assert run(*arguments).status == 2

    def test_a_models_words_steer_no_terminal(self, run: Run) -> None:
        done = run("edit", "--subject", "Oslo", "--prompt", "Paris\x1b[2J is", "--object", "x")
        assert (done.status, "\x1b[2J" in done.err, r"\x1b[2J" in done.err) == (1, False, True)
