"""A whole run on a bundled model: what its folder says, and that one which was stopped goes on where it was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.domain.contract import Hyperparameters
from app.domain.errors import RequestError
from workers.experiments import sequence
from workers.experiments.cases import DataSet
from workers.experiments.evaluation import Evaluation
from workers.experiments.run_folder import BatchLine, Checkpoint, RunFolder, Wanted
from workers.models import bundled

MODEL, BATCH, FACTS = "atlas-gpt2", 3, 8
PALIMPSEST = str(Path(sys.executable).with_name("palimpsest"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine facts that the model knows, one whose subject is nowhere in its prompt, and one with too long a question."""
    records = json.loads((bundled(MODEL) / "facts.json").read_text(encoding="utf-8"))[:10]
    records.insert(1, {**records[0], "requested_rewrite": {**records[0]["requested_rewrite"], "prompt": "Nothing is"}})
    records[4] = {**records[4], "paraphrase_prompts": ["And so on. " * 150]}
    path = tmp_path_factory.mktemp("data") / "some facts.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where statistics are kept."""
    return tmp_path_factory.mktemp("kept")


def wanted(data: DataSet, **changes: Any) -> Wanted:
    few = Hyperparameters(v_num_grad_steps=12)
    given = {"model": MODEL, "dataset": data.name, "digest": data.digest, "facts": FACTS, "batch": BATCH, "every": 6}
    return Wanted(**{**given, "hyperparameters": few, "spoken": 2, **changes})


@pytest.fixture(scope="module")
def whole(dataset: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that nobody stopped."""
    folder, data = RunFolder(tmp_path_factory.mktemp("whole")), DataSet.read(str(dataset))
    Evaluation(folder, wanted(data), data).run("cpu", data_dir)
    return folder


def checkpoint(folder: RunFolder, facts: int) -> Checkpoint:
    found = folder.checkpoint(facts)
    assert found is not None
    return found


class TestAWholeRun:
    def test_looks_at_all_facts_so_far_where_it_was_asked_to_and_at_the_end(self, whole: RunFolder) -> None:
        names = sorted(path.name for path in (whole.path / "checkpoints").iterdir())
        assert names == ["000006.json", "000008.json"]
        assert [len(checkpoint(whole, facts).answers) for facts in (6, 8)] == [6, 8]

    def test_notes_every_batch(self, whole: RunFolder) -> None:
        lines = whole.lines()
        assert [(line.batch, line.status, line.facts) for line in lines] == [
            (0, "succeeded", 3),
            (1, "succeeded", 3),
            (2, "succeeded", 2),
        ]
        assert [line.version for line in lines] == [1, 2, 3]
        assert all(line.seconds is not None and line.seconds > 0 for line in lines)
        assert checkpoint(whole, 8).written == sum(line.written for line in lines) > 0

    def test_says_which_records_were_left_out_and_why(self, whole: RunFolder) -> None:
        unusable = json.loads((whole.path / "unusable.json").read_text())
        left_out = [(each["record"], each["code"]) for each in unusable]
        assert left_out == [(1, "subject_not_in_prompt"), (4, "prompt_too_long")]

    def test_finds_the_edits_in_the_answers(self, whole: RunFolder) -> None:
        unedited, last = whole.unedited, checkpoint(whole, 8)
        assert unedited is not None
        assert not any(each.own.exact for each in unedited.plain)
        assert last.summary.efficacy.exact.mean >= 0.5
        assert last.norms
        assert min(last.norms.values()) > 0
        assert last.drift is not None
        assert last.drift.kl > 0
        assert last.log_bytes > 0

    def test_begins_its_page_with_what_holds_what_else_changed_and_what_it_cost(self, whole: RunFolder) -> None:
        page = (whole.path / "report.md").read_text()
        head = page.splitlines()[:10]
        assert head[0] == f"# {MODEL}: 8 facts of some facts.json"
        assert head[2].startswith("In batches of 3, with memit, plan boundary, layers ")
        assert [line.split("**")[1] for line in head if line.startswith("- **")] == [
            "Does it hold?",
            "What else changed?",
            "What did it cost?",
        ]
        told = json.loads((whole.path / "report.json").read_text())
        assert [each["facts"] for each in told["checkpoints"]] == [6, 8]
        assert [(each["from"], each["to"]) for each in told["by_age"]] == [(0, 2), (2, 4), (4, 6), (6, 8)]
        assert told["unusable"] == {"subject_not_in_prompt": 1, "prompt_too_long": 1}
        assert told["batches"] == {"succeeded": 3}

    def test_draws_curves(self, whole: RunFolder) -> None:
        page = (whole.path / "report.md").read_text()
        for name in ("scores.svg", "drift.svg"):
            assert "</svg>" in (whole.path / name).read_text()
            assert f"![{name}]({name})" in page

    def test_is_read_again_and_not_edited_again(
        self, whole: RunFolder, dataset: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def never(*_: object) -> None:
            raise AssertionError("edited again")

        monkeypatch.setattr(sequence, "carry_out", never)
        before, data = (whole.path / "report.json").read_text(), DataSet.read(str(dataset))
        Evaluation(whole, wanted(data), data).run("cpu", data_dir)
        assert (whole.path / "report.json").read_text() == before

    @pytest.mark.parametrize("change", [{"batch": 4}, {"method": "RECT"}, {"digest": "other"}, {"seed": 1}])
    def test_shares_its_folder_with_no_other(self, whole: RunFolder, dataset: Path, change: dict[str, Any]) -> None:
        with pytest.raises(RequestError, match="another run lies in this folder") as caught:
            whole.begin(wanted(DataSet.read(str(dataset)), **change))
        assert caught.value.field == next(iter(change))


def same(one: Checkpoint, two: Checkpoint) -> bool:
    """Whether all answers are the same, but for how sums are rounded."""
    numbers = zip(_flat(one), _flat(two), strict=True)
    return all(first == pytest.approx(second, rel=1e-4, abs=1e-6) for first, second in numbers)


def _flat(found: Checkpoint) -> Sequence[float]:
    return [each.nll for case in found.answers for each in (case.own, *case.paraphrases, *case.neighbours)]


class TestARunThatWasStopped:
    @pytest.mark.parametrize("noted", [0, 1, 2])
    def test_goes_on_after_the_last_batch_that_was_committed(
        self,
        noted: int,
        whole: RunFolder,
        dataset: Path,
        data_dir: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The batch was committed, and the machine stopped before it was noted."""
        folder, data = RunFolder(tmp_path / "run"), DataSet.read(str(dataset))
        note: Callable[[RunFolder, Sequence[BatchLine]], None] = RunFolder.note

        def stop(self: RunFolder, lines: Sequence[BatchLine]) -> None:
            if len(lines) > noted:
                raise KeyboardInterrupt
            note(self, lines)

        with monkeypatch.context() as patched:
            patched.setattr(RunFolder, "note", stop)
            with pytest.raises(KeyboardInterrupt):
                Evaluation(folder, wanted(data), data).run("cpu", data_dir)
        assert len(folder.lines()) == noted
        Evaluation(folder, wanted(data), data).run("cpu", data_dir)
        lines = folder.lines()
        assert [line.version for line in lines] == [1, 2, 3]  # nothing is there twice
        assert [line.seconds is None for line in lines] == [index == noted for index in range(3)]
        assert same(checkpoint(folder, 8), checkpoint(whole, 8))

    def test_may_be_killed(self, whole: RunFolder, dataset: Path, data_dir: Path, tmp_path: Path) -> None:
        out = tmp_path / "run"
        command = [
            *(PALIMPSEST, "evaluate", "--model", MODEL, "--dataset", str(dataset), "--facts", str(FACTS)),
            *("--batch", str(BATCH), "--every", "6", "--spoken", "2", "--out", str(out), "--data-dir", str(data_dir)),
            *("--hyperparameters", '{"v_num_grad_steps": 12}'),
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            deadline = time.monotonic() + 240
            while not (out / "batches.jsonl").is_file():
                assert running.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            running.send_signal(signal.SIGKILL)
        assert len(RunFolder(out).lines()) < 3
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert "Does it hold?" in done.stdout
        assert same(checkpoint(RunFolder(out), 8), checkpoint(whole, 8))


class TestTheCommand:
    @pytest.mark.parametrize(
        ("options", "status", "said"),
        [
            (("--hyperparameters", "{"), 2, "no JSON"),
            (("--hyperparameters", '{"v_lr": -1}'), 2, "v_lr"),
            (("--method", "nonsense"), 1, "unknown_method"),
            (("--plan", "nonsense"), 1, "unknown_plan"),
        ],
    )
    def test_says_what_is_wrong(
        self, options: tuple[str, ...], status: int, said: str, dataset: Path, data_dir: Path, tmp_path: Path
    ) -> None:
        command = [PALIMPSEST, "evaluate", "--model", MODEL, "--dataset", str(dataset), "--out", str(tmp_path / "run")]
        done = subprocess.run(
            [*command, "--data-dir", str(data_dir), *options], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == status, done.stderr
        assert said in done.stderr


def test_statistics_are_taken_at_layers_that_only_this_run_edits(dataset: Path, tmp_path: Path) -> None:
    data = DataSet.read(str(dataset))
    everywhere = Hyperparameters(v_num_grad_steps=1, layers=(0, 1, 2, 3))
    folder = RunFolder(tmp_path / "run")
    Evaluation(folder, wanted(data, facts=1, batch=1, every=1, hyperparameters=everywhere, unheld="keep"), data).run(
        "cpu", tmp_path / "kept"
    )
    assert [(line.written, line.error) for line in folder.lines()] == [(1, None)]
