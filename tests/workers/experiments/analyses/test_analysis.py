"""A whole analysis: its page and figures, and that one which was stopped goes on after its last section."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from app.domain.contract import Hyperparameters
from app.domain.errors import InvalidHyperparameter, RequestError
from tests.workers.experiments.analyses.conftest import LAYERS, MODEL
from workers.commands.analyse import analyse
from workers.experiments.analyses import analysis
from workers.experiments.analyses.analysis import Analyses, Analysis
from workers.experiments.analyses.asked import Asked
from workers.experiments.analyses.figures import draw
from workers.experiments.analyses.findings import Verdict, findings
from workers.experiments.analyses.page import as_page
from workers.experiments.analyses.residuals import Kind, Residuals
from workers.experiments.analyses.workbench import Workbench
from workers.experiments.cases import DataSet

SECTIONS = {"similarity", "contributions", "bound", "single_layer", "steps", "shift"}
FIGURES = {"contribution", "similarity", "single_layer", "steps", "bound", "shift"}


def never(*_: object, **__: object) -> None:
    raise AssertionError("computed again")


def figures_of(found: Analysis) -> dict[str, object]:
    return found.model_dump(include=SECTIONS)


class TestAWholeAnalysis:
    def test_is_in_its_file(self, whole: Analysis, folder: Path) -> None:
        assert Analysis.model_validate_json((folder / "analysis.json").read_bytes()) == whole
        assert whole.seconds.keys() == SECTIONS | {"setting"}
        assert all(getattr(whole, name) is not None for name in SECTIONS)
        assert whole.setting is not None
        assert (whole.setting.facts, whole.setting.layers) == (4, LAYERS)
        assert (whole.setting.unusable, whole.setting.sharing) == (1, 1)

    def test_edits_single_layers_with_one_residual_at_the_last(self, whole: Analysis) -> None:
        found = whole.single_layer
        assert found is not None
        assert list(found.edited[Kind.EVEN]) == list(LAYERS)
        assert found.edited[Kind.EVEN][2] == found.edited[Kind.COMPUTED][2]
        computed, even = (found.edited[kind][0].efficacy for kind in (Kind.COMPUTED, Kind.EVEN))
        assert computed.exact.mean > even.exact.mean
        assert computed.success is not None

    def test_begins_its_steps_on_the_unedited_model(self, whole: Analysis) -> None:
        found = whole.steps
        assert found is not None
        assert found.most == 9
        assert found.in_sequence[0] == found.unedited[0]
        assert all(0 <= taken <= 9 for steps in found.in_sequence.values() for taken in steps)
        assert sum(found.in_sequence[2]) < sum(found.unedited[2])

    def test_shifts_states_of_prompts_that_nothing_is_taught_of(self, whole: Analysis) -> None:
        found = whole.shift
        assert found is not None
        assert found.prompts > 8
        assert found.plane.points.keys() == {"unedited", "even", "boundary"}
        assert all(len(points) == found.prompts for points in found.plane.points.values())
        assert all(0 < each.states < 1 and each.centre <= each.states for each in found.moved.values())

    def test_says_of_each_finding_whether_it_holds(self, whole: Analysis) -> None:
        page, told = as_page(whole, ("bound.svg",)), findings(whole)
        assert {each.where.split(".")[0] for each in told} >= {"Fig", "Figs", "Theorem 4", "Lemma 4", "Table 1"}
        verdicts = [line.split(" | ")[2] for line in page.splitlines() if line.startswith("| ")][2:]
        assert verdicts == [f"**{each.verdict}**" for each in told]
        assert "![bound.svg](bound.svg)" in page
        assert next(each.verdict for each in told if each.where == "Theorem 4.1") is Verdict.HOLDS

    def test_draws_a_figure_a_section(self, whole: Analysis, tmp_path: Path) -> None:
        assert {Path(name).stem for name in draw(whole, tmp_path)} == FIGURES
        assert all("</svg>" in (tmp_path / f"{name}.svg").read_text() for name in FIGURES)


class TestAnAnalysisThatWasStopped:
    def test_goes_on_after_its_last_section(
        self,
        whole: Analysis,
        asked: Asked,
        data: DataSet,
        data_dir: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        analyses = Analyses(tmp_path, asked, data, "cpu", data_dir)
        with monkeypatch.context() as patched:
            patched.setattr(analysis, "steps", stop)
            with pytest.raises(KeyboardInterrupt):
                analyses.run()
        kept = Analysis.model_validate_json((tmp_path / "analysis.json").read_bytes())
        assert kept.single_layer is not None
        assert kept.steps is None
        for done in ("compute", "similarity", "contributions", "bound", "single_layer"):
            monkeypatch.setattr(analysis, done, never)
        again = Analyses(tmp_path, asked, data, "cpu", data_dir).run()
        assert again.steps == whole.steps
        assert again.single_layer == kept.single_layer
        assert figures_of(again).keys() == figures_of(whole).keys()

    def test_opens_no_model_once_it_is_done(
        self, whole: Analysis, folder: Path, asked: Asked, data: DataSet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Workbench, "open", never)
        monkeypatch.setattr(Residuals, "read", never)
        assert Analyses(folder, asked, data).run() == whole

    @pytest.mark.parametrize("change", [{"batch": 4}, {"digest": "other"}, {"hyperparameters": Hyperparameters()}])
    def test_shares_its_folder_with_no_other(
        self, whole: Analysis, folder: Path, asked: Asked, data: DataSet, change: dict[str, object]
    ) -> None:
        with pytest.raises(RequestError, match="another run lies in this folder") as caught:
            Analyses(folder, asked.model_copy(update=change), data).run()
        assert caught.value.field == next(iter(change))
        assert whole.asked == asked


def test_one_critical_layer_is_refused(asked: Asked, data: DataSet, data_dir: Path) -> None:
    one = asked.model_copy(update={"hyperparameters": Hyperparameters(layers=(1,))})
    with pytest.raises(InvalidHyperparameter, match="distributes nothing"):
        Workbench.open(one, data, "cpu", data_dir)


def test_critical_layers_are_all_between_the_presets_ends(asked: Asked, data: DataSet, data_dir: Path) -> None:
    found = Workbench.open(asked.model_copy(update={"hyperparameters": Hyperparameters()}), data, "cpu", data_dir)
    assert found.layers == (0, 1, 2)
    assert {preset.layers for preset in found.presets.values()} == {(0, 1, 2)}


def test_the_command_writes_a_page_with_its_figures(tmp_path: Path, data_dir: Path, whole: Analysis) -> None:
    facts, out, app = tmp_path / "facts.csv", tmp_path / "out", typer.Typer()
    rows = ("Oslo,The country where {} lies is,Japan", "Rome,The country where {} lies is,Peru")
    facts.write_text("\n".join(("subject,prompt,object", *rows, "Lyon,The country where {} lies is,Chile\n")))
    app.command()(analyse)
    options = ["--most", "2", "--out", out, "--data-dir", data_dir, "--hyperparameters", '{"v_num_grad_steps": 3}']
    done = CliRunner().invoke(app, list(map(str, [MODEL, "--facts", facts, *options])))
    assert done.exit_code == 0, done.output
    page = (out / "analysis.md").read_text(encoding="utf-8")
    assert page.startswith(f"# Residual distribution in {MODEL}\n\nMEMIT over 2 facts of facts.csv")
    assert all(f"![{name}.svg]({name}.svg)" in page for name in FIGURES)
    assert whole.asked.facts == 4
