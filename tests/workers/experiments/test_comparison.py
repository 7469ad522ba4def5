"""Methods beside each other, on a bundled model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.contract import Hyperparameters
from app.domain.errors import RequestError
from workers.editing.layer_plans import PLANS
from workers.editing.methods import METHODS
from workers.experiments import comparison as module
from workers.experiments import sequence
from workers.experiments.cases import DataSet
from workers.experiments.comparison import OWN_SPREAD, WAYS, Comparison, Table, Way
from workers.experiments.in_context import IKE
from workers.experiments.run_folder import Wanted
from workers.models import bundled

APART = Way(method="memit", plan="boundary", hyperparameters=Hyperparameters(early_stop=1))
CHOSEN = (Way(method="memit", plan="even"), Way(method="memit", plan="boundary"), APART, Way(method="ft-l"))


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("comparison")
    data = DataSet.read(str(bundled("atlas-gpt2") / "facts.json"))
    few = Hyperparameters(v_num_grad_steps=12, num_steps=4)
    wanted = Wanted(
        model="atlas-gpt2",
        dataset=data.name,
        digest=data.digest,
        facts=4,
        batch=2,
        every=4,
        hyperparameters=few,
        unheld="keep",
        spoken=0,
    )
    return Comparison(folder, wanted, data, CHOSEN)


@pytest.fixture(scope="module")
def table(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Table:
    return comparison.run("cpu", tmp_path_factory.mktemp("kept"))


def test_every_method_is_there_with_its_own_spread_and_with_blue() -> None:
    assert {way.method for way in WAYS} == {*METHODS, IKE}
    assert {way.plan for way in WAYS} - {None} == PLANS.keys()
    for method, own in OWN_SPREAD.items():
        plain = {way.plan for way in WAYS if way.method == method and way.hyperparameters == Hyperparameters()}
        assert plain >= {own, "boundary"}


def test_rows_that_differ_in_hyperparameters_have_names_of_their_own_beside_the_plain_one() -> None:
    assert len({way.name for way in WAYS}) == len(WAYS)
    way = next(way for way in WAYS if way.hyperparameters.early_stop == 2)
    assert (way.title, way.name) == (
        "memit, even, early_stop=2, update_norm_lambda=10.0",
        "memit:even:early_stop=2:update_norm_lambda=10.0",
    )
    apart = [way for way in WAYS if way.hyperparameters != Hyperparameters()]
    assert apart
    assert all(Way(method=way.method, plan=way.plan) in WAYS for way in apart)


def test_a_rows_own_hyperparameters_go_before_those_of_all() -> None:
    way = Way(method="memit", hyperparameters=Hyperparameters(early_stop=2))
    assert way.of(Hyperparameters(v_lr=0.3, early_stop=9)) == Hyperparameters(v_lr=0.3, early_stop=2)


def test_the_unedited_model_is_asked_once_for_all_rows(comparison: Comparison, tmp_path: Path) -> None:
    heard: list[str] = []
    two = replace(comparison, folder=tmp_path, ways=CHOSEN[:2])
    table = two.run("cpu", tmp_path / "kept", heard.append)
    assert sum("are asked of the unedited model" in line for line in heard) == 1
    assert table.rows[0].unedited == table.rows[1].unedited
    wanted = two.wanted.model_copy(update={"facts": 2, "every": 2})
    fewer = replace(two, wanted=wanted, ways=(CHOSEN[2], CHOSEN[0]))
    with pytest.raises(RequestError, match="another run lies in this folder"):
        fewer.run("cpu", tmp_path / "kept", heard.append)
    assert "2 facts are asked of the unedited model" in heard, "those of four facts were taken for those of two"


def test_each_row_is_of_the_same_facts(comparison: Comparison, table: Table) -> None:
    assert [row.way for row in table.rows] == list(CHOSEN)
    assert [(row.facts, row.written, row.error) for row in table.rows] == [(4, 4, None)] * 4
    assert all(row.unedited == table.rows[0].unedited for row in table.rows)
    assert len({row.edited.model_dump_json() for row in table.rows if row.edited}) == 4
    assert table.rows[1].edited is not None
    assert table.rows[1].edited.efficacy.exact.mean >= 0.5


def test_the_page_has_a_line_a_row_and_the_unedited_model(comparison: Comparison, table: Table) -> None:
    page = (comparison.folder / "comparison.md").read_text()
    assert page == table.as_page()
    titles = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")]
    assert titles[2:] == ["unedited", "memit, even", "memit, boundary", "memit, boundary, early_stop=1", "ft-l"]
    edited = table.rows[1].edited
    assert edited is not None
    assert edited.score is not None
    head, blue = (
        next(line for line in page.splitlines() if line.startswith(start)).split(" | ")
        for start in ("|  |", "| memit, boundary |")
    )
    assert blue[head.index("score")] == f"{edited.score:.1%}"
    assert len(json.loads((comparison.folder / "comparison.json").read_text())["rows"]) == 4


def test_a_row_that_is_run_later_joins_those_before_it(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def rows(*ways: Way, on: str) -> list[tuple[Way, str]]:
        monkeypatch.setattr(module, "machine", lambda _device: on)
        found = replace(comparison, folder=tmp_path, ways=ways).run("cpu", tmp_path / "kept", heard.append)
        assert Table.model_validate_json((tmp_path / "comparison.json").read_bytes()) == found
        return [(row.way, row.machine) for row in found.rows]

    even, blue = CHOSEN[:2]
    assert rows(blue, on="first") == [(blue, "first")]
    assert rows(even, on="second") == [(even, "second"), (blue, "first")], "in the order of the tables"
    assert rows(even, blue, on="third") == [(even, "second"), (blue, "first")], "neither is edited again"
    shutil.rmtree(tmp_path / "memit-even")
    assert rows(even, on="third") == [(even, "third"), (blue, "first")]
    assert sum("are asked of the unedited model" in line for line in heard) == 1


def test_a_table_of_something_else_is_written_anew(comparison: Comparison, table: Table, tmp_path: Path) -> None:
    other = table.model_copy(update={"wanted": table.wanted.model_copy(update={"facts": 3})})
    (tmp_path / "comparison.json").write_text(other.model_dump_json())
    found = replace(comparison, folder=tmp_path, ways=CHOSEN[:1]).run("cpu", tmp_path / "kept")
    assert [row.way for row in found.rows] == [CHOSEN[0]]


def test_rows_of_several_machines_say_which_they_were_run_on(table: Table) -> None:
    assert f"Machine: {table.rows[0].machine}. Each share" in table.as_page()
    moved = (table.rows[0].model_copy(update={"machine": "elsewhere"}), *table.rows[1:3])
    page = table.model_copy(update={"rows": moved}).as_page()
    assert "Machine: elsewhere (memit, even); " in page
    assert f"{table.rows[1].machine} (memit, boundary · memit, boundary, early_stop=1)." in page


def test_what_was_run_is_not_run_again(
    comparison: Comparison, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("edited again")

    monkeypatch.setattr(sequence, "carry_out", never)
    assert comparison.run("cpu", tmp_path).rows == table.rows
