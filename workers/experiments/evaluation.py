"""A whole evaluation: the model is opened at the run's own log, edited, looked at, and reported on after every look."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from app.domain.imports.reading import reasons
from app.domain.settings import DATA_DIR
from workers.experiments import ability_tables, figures
from workers.experiments.abilities import Harness, Tasks
from workers.experiments.ability_looks import AbilityLooks, looks
from workers.experiments.cases import DataSet
from workers.experiments.further import Further
from workers.experiments.in_context import IKE, InContext
from workers.experiments.machine import machine
from workers.experiments.references import References
from workers.experiments.report import Found
from workers.experiments.run_folder import Checkpoint, RunFolder, Wanted
from workers.experiments.sequence import Heard, Run, host_of

REPORT, PAGE = "report.json", "report.md"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One run in its folder, of a data set that was read.

    tasks: asked at every checkpoint. references: texts that free text is compared with.
    """

    folder: RunFolder
    wanted: Wanted
    data: DataSet
    tasks: Tasks | None = None
    references: References | None = None

    def run(self, device: str, data_dir: Path = DATA_DIR, heard: Heard = lambda _line: None) -> str:
        """All of it, or what is left of it; the page that tells what was found.

        Raises:
            RequestError: another run lies in the folder, no record can be edited, or a task cannot be asked.
            PalimpsestError: as ``ModelHost.open`` does.
        """
        harness = None if self.tasks is None else Harness(self.tasks)
        self.folder.begin(self.wanted)
        page = ""
        with host_of(self.folder, self.wanted, device, data_dir) as host:
            kind = InContext if self.wanted.method == IKE else Run
            run = replace(kind.over(self.folder, self.wanted, host, self.data, heard), references=self.references)
            seen: list[Checkpoint] = []
            for checkpoint in run.go():
                seen.append(checkpoint)
                if harness is not None:
                    AbilityLooks(run, harness).at(checkpoint.facts)
                page = self._report(run, seen, device)
        return page

    def _report(self, run: Run, seen: list[Checkpoint], device: str) -> str:
        unedited = self.folder.unedited
        assert unedited is not None
        found = Found(
            self.wanted,
            run.preset,
            machine(device),
            reasons(run.unusable),
            unedited,
            self.folder.lines(),
            seen,
            reasons(run.unasked),
            looks(self.folder),
        )
        further = Further(run.cases[: found.last.facts], unedited, found.last)
        drawn = (*figures.draw(found, self.folder.path), *ability_tables.draw(found.abilities, self.folder.path))
        abilities = [ability_tables.table(found.abilities)] if found.abilities else []
        page = found.as_page(drawn, [*further.sections(), *abilities])
        self.folder.write_text(REPORT, found.as_json(further.figures()))
        self.folder.write_text(PAGE, page)
        return page
