"""Tasks of lm-evaluation-harness, asked of a bundled model before and after edits, in a run and from a log."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from lm_eval import tasks as harness_tasks
from typer.testing import CliRunner

from app.domain.contract import Hyperparameters
from app.domain.errors import RequestError
from tests.support.tasks import write_group, write_task
from workers.cli import abilities
from workers.cli import evaluate as evaluate_command
from workers.editing.loading import load
from workers.editing.model.editable_model import EditableModel
from workers.experiments.abilities import Ability, Harness, Score, Tasks
from workers.experiments.ability_looks import AbilityLook, looks
from workers.experiments.ability_tables import draw, table
from workers.experiments.cases import DataSet
from workers.experiments.evaluation import Evaluation
from workers.experiments.run_folder import RunFolder, Wanted
from workers.models import bundled

MODEL = "atlas-gpt2"
FACTS = json.loads((bundled(MODEL) / "facts.json").read_text(encoding="utf-8"))[:4]


def question(record: dict[str, Any], *, new: bool) -> tuple[str, list[str], int]:
    """What a record's fact says, with its old and its new object to choose from; ``new``: the new one is right."""
    asked = record["requested_rewrite"]
    answers = [asked["target_true"]["str"], asked["target_new"]["str"]]
    return asked["prompt"].format(asked["subject"]), answers, int(new)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The task ``lands``: two facts with their new objects as answers, and two as they are; and others."""
    made = tmp_path_factory.mktemp("tasks")
    write_task(made, "lands", [question(each, new=number < 2) for number, each in enumerate(FACTS)], tag="two")
    write_task(made, "first", [question(FACTS[0], new=True)], tag="two")
    write_group(made, "all", ["lands", "first"])
    return made


@pytest.fixture
def no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the thousands of tasks that come with the harness, whose files take long to read."""
    whole: Callable[..., Any] = harness_tasks.TaskManager
    monkeypatch.setattr(
        harness_tasks, "TaskManager", lambda include_path, **_: whole(include_path=include_path, include_defaults=False)
    )


@pytest.fixture(scope="module")
def live() -> EditableModel:
    return load(str(bundled(MODEL)))


def log_probability(live: EditableModel, prompt: str, answer: str) -> float:
    """Of all tokens of the answer behind the prompt and a space, summed."""
    before, ids = (live.tokenizer(text)["input_ids"] for text in (prompt, f"{prompt} {answer}"))
    with torch.no_grad():
        logits = live.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logits[at - 1, ids[at]]) for at in range(len(before), len(ids)))


class TestTheHarness:
    def test_finds_the_answers_that_the_model_finds_likelier(self, live: EditableModel, folder: Path) -> None:
        write_task(folder / "more", "either", questions := [question(FACTS[2], new=new) for new in (True, False, True)])
        right = [
            max((0, 1), key=lambda at, each=each: log_probability(live, each[0], each[1][at])) == each[2]  # type: ignore[misc]
            for each in questions
        ]
        found = Harness(Tasks(("either",), folder / "more")).ask(live, "either")
        [score] = [each for each in found.scores if each.metric == "acc"]
        mean = sum(right) / 3
        assert 0 < mean < 1
        assert (score.task, score.questions) == ("either", 3)
        assert score.value == pytest.approx(mean)
        assert score.error == pytest.approx((mean * (1 - mean) / 2) ** 0.5)  # of a sample's mean

    def test_asks_the_weights_in_service_and_leaves_model_and_tokenizer_alone(
        self, live: EditableModel, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        harness = Harness(Tasks(("first",), folder))
        given: list[dict[str, Any]] = []
        wrapped = harness._wrapped

        def noting(**options: Any) -> Any:
            given.append(options)
            return wrapped(**options)

        monkeypatch.setattr(harness, "_wrapped", noting)
        live.tokenizer.pad_token = None
        harness.ask(live, "first")
        model, words = given[0]["pretrained"], given[0]["tokenizer"]
        pairs = zip(model.parameters(), live.model.parameters(), strict=True)
        assert all(one.data_ptr() == other.data_ptr() for one, other in pairs)
        assert model is not live.model
        assert (words.pad_token is None, live.tokenizer.pad_token) == (False, None)

    @pytest.mark.usefixtures("no_others")
    def test_shows_of_a_group_the_group_and_keeps_its_parts(self, live: EditableModel, folder: Path) -> None:
        found = Harness(Tasks(("all",), folder)).ask(live, "all")
        assert {(each.task, each.metric, each.questions) for each in found.scores} == {("all", "acc", 5)}
        assert {(each.task, each.questions) for each in found.parts} == {("lands", 4), ("first", 1)}
        accuracy = {each.task: each.value for each in found.parts if each.metric == "acc"}
        assert found.scores[0].value == pytest.approx((4 * accuracy["lands"] + accuracy["first"]) / 5)

    @pytest.mark.usefixtures("no_others")
    def test_shows_of_a_tag_its_tasks(self, live: EditableModel, folder: Path) -> None:
        found = Harness(Tasks(("two",), folder, limit=2)).ask(live, "two")
        assert {(each.task, each.questions) for each in found.scores} == {("lands", 2), ("first", 1)}
        assert (found.parts, found.limit) == ((), 2)

    @pytest.mark.usefixtures("no_others")
    def test_refuses_a_task_that_it_does_not_know_or_cannot_load(self, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(RequestError, match="knows no such task") as caught:
            Harness(Tasks(("lands", "nonsense"), folder))
        assert (caught.value.field, caught.value.value) == ("tasks", "nonsense")
        write_task(tmp_path, "lost", [question(FACTS[0], new=True)])
        (tmp_path / "lost.jsonl").unlink()
        with pytest.raises(RequestError, match=r"cannot be loaded: .*lost\.jsonl"):
            Harness(Tasks(("lost",), tmp_path))

    def test_says_what_to_install(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "lm_eval", None)
        with pytest.raises(RequestError, match=r"install palimpsest\[abilities\]"):
            Harness(Tasks(("lands",), folder))


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "facts.json"
    path.write_text(json.dumps(FACTS[:2]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def dataset(facts: Path) -> DataSet:
    return DataSet.read(str(facts))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


def evaluate(run: RunFolder, data: DataSet, data_dir: Path, tasks: Tasks | None) -> str:
    """Two facts, one after another."""
    few = Hyperparameters(v_num_grad_steps=12)
    wanted = Wanted(model=MODEL, dataset=data.name, digest=data.digest, facts=2, batch=1, every=1, hyperparameters=few)
    wanted = wanted.model_copy(update={"spoken": 0, "unheld": "keep"})
    return Evaluation(run, wanted, data, tasks).run("cpu", data_dir)


@pytest.fixture(scope="module")
def edited(dataset: DataSet, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that asked no task."""
    run = RunFolder(tmp_path_factory.mktemp("run"))
    evaluate(run, dataset, data_dir, None)
    return run


def accuracies(run: RunFolder) -> dict[str, float]:
    return {each.title: each.scores()["lands", "acc"].value for each in looks(run)}


class TestARun:
    def test_asks_before_all_edits_and_at_every_checkpoint(
        self, edited: RunFolder, dataset: DataSet, data_dir: Path, folder: Path, tmp_path: Path
    ) -> None:
        run = RunFolder(tmp_path)
        page = evaluate(run, dataset, data_dir, Tasks(("lands",), folder))
        # Each edit makes one more answer right: of the others, the answers are those that stand.
        assert accuracies(run) == {"unedited": 0.5, "1 facts": 0.75, "2 facts": 1.0}
        assert "| unedited | 0.500 ± 0.566 |" in page
        assert "![abilities.svg](abilities.svg)" in page
        assert "</svg>" in (run.path / "abilities.svg").read_text()
        told = json.loads((run.path / "report.json").read_text())["abilities"]
        assert [each["facts"] for each in told] == [0, 1, 2]
        assert "General abilities" not in (edited.path / "report.md").read_text()

    def test_that_is_over_may_be_asked_more_and_nothing_twice(
        self, edited: RunFolder, dataset: DataSet, data_dir: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first checkpoint's version is not in service any more."""
        asked, ask = list[str](), Harness.ask

        def stopping(self: Harness, editable: EditableModel, name: str) -> Ability:
            if len(asked) == 3:
                raise KeyboardInterrupt
            asked.append(name)
            return ask(self, editable, name)

        tasks = Tasks(("first", "lands"), folder)
        with monkeypatch.context() as patched:
            patched.setattr(Harness, "ask", stopping)
            with pytest.raises(KeyboardInterrupt):
                evaluate(edited, dataset, data_dir, tasks)
            assert asked == ["first", "lands", "first"]
            asked.clear()
            evaluate(edited, dataset, data_dir, tasks)
            assert asked == ["lands", "first", "lands"]
            asked.clear()
            evaluate(edited, dataset, data_dir, tasks)
            assert asked == []
            evaluate(edited, dataset, data_dir, Tasks(("first",), folder, limit=1))
            assert asked == ["first"] * 3  # of another number of questions
        assert accuracies(edited) == {"unedited": 0.5, "1 facts": 0.75, "2 facts": 1.0}

    def test_begins_nothing_without_its_tasks(
        self, dataset: DataSet, data_dir: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "lm_eval", None)
        with pytest.raises(RequestError, match="install"):
            evaluate(RunFolder(tmp_path), dataset, data_dir, Tasks(("lands",), folder))
        assert list(tmp_path.iterdir()) == []


def command(called: Callable[..., None], *arguments: object) -> Any:
    cli = typer.Typer()
    cli.command()(called)
    return CliRunner().invoke(cli, list(map(str, arguments)))


class TestTheCommands:
    def test_evaluate_asks_the_tasks_of_its_options(
        self, edited: RunFolder, facts: Path, data_dir: Path, folder: Path
    ) -> None:
        run = ("--facts", 2, "--batch", 1, "--every", 1, "--spoken", 0, "--unheld", "keep")
        where = ("--dataset", facts, "--data-dir", data_dir, "--out", edited.path)
        asked = ("--tasks", "lands", "--tasks", "first", "--task-path", folder, "--task-limit", 1)
        few = ("--hyperparameters", '{"v_num_grad_steps": 12}')
        done = command(evaluate_command, "--model", MODEL, *run, *where, *few, *asked)
        assert done.exit_code == 0, done.output
        assert [each.scores()["lands", "acc"].value for each in looks(edited)] == [0.0, 1.0, 1.0]
        assert [each.scores()["first", "acc"].questions for each in looks(edited)] == [1, 1, 1]

    def test_abilities_asks_versions_of_a_log(self, edited: RunFolder, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "abilities.json"
        asked = ("--tasks", "lands", "--task-path", folder)
        done = command(abilities, MODEL, "--log", edited.log, *asked, "--out", out)
        assert done.exit_code == 0, done.output
        rows = [line.split(" | ")[0] for line in done.stdout.splitlines() if line.startswith("| ")]
        assert rows[2:] == ["| unedited", "| version 2"]
        found = [AbilityLook.model_validate(each) for each in json.loads(out.read_text())]
        assert [(each.facts, each.scores()["lands", "acc"].value) for each in found] == [(0, 0.5), (2, 1.0)]
        one = command(abilities, MODEL, "--log", edited.log, *asked, "--version", 1)
        assert "| version 1 | 0.750 ± " in one.stdout

    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [((), 2, "--tasks"), (("--tasks", "lands", "--version", 7), 1, "unknown_version")],
    )
    def test_says_what_is_wrong(
        self, edited: RunFolder, folder: Path, arguments: tuple[object, ...], status: int, said: str
    ) -> None:
        done = command(abilities, MODEL, "--log", edited.log, "--task-path", folder, *arguments)
        assert (done.exit_code, said in done.output) == (status, True), done.output


def look(title: str, facts: int, **values: tuple[float, float | None]) -> AbilityLook:
    scores = [
        Score(task=task, metric="acc", value=value, error=error, questions=9) for task, (value, error) in values.items()
    ]
    return AbilityLook(title=title, facts=facts, asked={"mine": Ability(limit=9, harness="1.2", scores=tuple(scores))})


def test_a_table_has_a_row_a_look_and_a_column_a_figure() -> None:
    found = [look("unedited", 0, sst2=(0.5, 0.1), cola=(0.25, None)), look("9 facts", 9, sst2=(0.75, 0.0))]
    *lines, made = table(found).splitlines()[2:]
    assert lines == [
        "|  | sst2, acc | cola, acc |",
        "| --- | --- | --- |",
        "| unedited | 0.500 ± 0.196 | 0.250 |",
        "| 9 facts | 0.750 ± 0.000 | – |",
        "",
    ]
    assert made.startswith("By lm-evaluation-harness 1.2, the first 9 questions of each task: mine. ± 1.96")


def test_one_look_is_no_curve(tmp_path: Path) -> None:
    found = [look("unedited", 0, sst2=(0.5, 0.1)), look("9 facts", 9, sst2=(0.75, 0.0))]
    assert draw(found[:1], tmp_path) == ()
    assert draw(found, tmp_path) == ("abilities.svg",)
    assert [path.name for path in tmp_path.iterdir()] == ["abilities.svg"]
