"""All analyses of one model, section by section, in a folder that can be resumed.

<folder>/
  analysis.json          what was asked for, and each section that is done
  residuals.safetensors  the residuals that the sections compare
  analysis.md, *.svg
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from app.domain.settings import DATA_DIR
from app.domain.storage import durable_files
from workers.experiments.analyses.asked import Asked
from workers.experiments.analyses.bound import Bound, bound
from workers.experiments.analyses.contribution import Contributions, contributions
from workers.experiments.analyses.residuals import Residuals, compute
from workers.experiments.analyses.shift import Shift, shift
from workers.experiments.analyses.similarity import Similarity, similarity
from workers.experiments.analyses.single_layer import SingleLayer, single_layer
from workers.experiments.analyses.steps import Steps, steps
from workers.experiments.analyses.workbench import Workbench
from workers.experiments.answers import Kept
from workers.experiments.cases import DataSet
from workers.experiments.machine import machine
from workers.experiments.run_folder import refuse_other
from workers.experiments.sequence import Heard

ANALYSIS, RESIDUALS = "analysis.json", "residuals.safetensors"


class Setting(Kept):
    """What all sections are of. hyperparameters: MEMIT's, as taken. unusable, sharing: records passed over."""

    facts: int
    unusable: int
    sharing: int
    hyperparameters: Mapping[str, Any]
    machine: str

    @property
    def layers(self) -> tuple[int, ...]:
        """The critical layers."""
        return tuple(self.hyperparameters["layers"])


class Analysis(Kept):
    """What is known so far; None: not yet. seconds: by section, what it took."""

    asked: Asked
    setting: Setting | None = None
    similarity: Similarity | None = None
    contributions: Contributions | None = None
    bound: Bound | None = None
    single_layer: SingleLayer | None = None
    steps: Steps | None = None
    shift: Shift | None = None
    seconds: Mapping[str, float] = {}


@dataclass(frozen=True)
class Analyses:
    """The analyses of one model in one folder."""

    folder: Path
    asked: Asked
    data: DataSet
    device: str = "cpu"
    data_dir: Path = DATA_DIR
    heard: Heard = lambda _line: None

    def run(self) -> Analysis:
        """All sections, or what is left of them; each is written as it is done.

        Raises:
            RequestError: another analysis lies in the folder, or no record can be used. PalimpsestError: the model
                cannot be opened, or a solve has no answer.
        """
        durable_files.make_dir(self.folder)
        found = self._there()
        refuse_other(found.asked, self.asked)
        for name, section in self._sections().items():
            if getattr(found, name) is None:
                self.heard(name.replace("_", " "))
                began = time.monotonic()
                made = section()
                seconds = {**found.seconds, name: round(time.monotonic() - began, 1)}
                found = found.model_copy(update={name: made, "seconds": seconds})
                durable_files.replace_file(self.folder / ANALYSIS, found.model_dump_json(indent=1).encode())
        return found

    def _there(self) -> Analysis:
        path = self.folder / ANALYSIS
        return Analysis.model_validate_json(path.read_bytes()) if path.is_file() else Analysis(asked=self.asked)

    def _sections(self) -> Mapping[str, Callable[[], Kept]]:
        """In the order in which they are computed: what costs little comes first."""
        return {
            "setting": self._setting,
            "similarity": lambda: similarity(self._residuals),
            "contributions": lambda: contributions(self._bench, self._residuals),
            "bound": lambda: bound(self._bench, self._residuals),
            "single_layer": lambda: single_layer(self._bench, self._residuals, self.heard),
            "steps": lambda: steps(self._bench, self._residuals, self.heard),
            "shift": lambda: shift(self._bench, self.heard),
        }

    def _setting(self) -> Setting:
        chosen = self._bench.chosen
        return Setting(
            facts=len(chosen.facts),
            unusable=len(self.data.unusable) + chosen.unusable,
            sharing=chosen.sharing,
            hyperparameters={**self._bench.preset.as_dict(), "layers": list(self._bench.layers)},
            machine=machine(self.device),
        )

    @cached_property
    def _bench(self) -> Workbench:
        return Workbench.open(self.asked, self.data, self.device, self.data_dir)

    @cached_property
    def _residuals(self) -> Residuals:
        path = self.folder / RESIDUALS
        if path.is_file():
            return Residuals.read(path, self._bench.live.device)
        made = compute(self._bench, self.heard)
        made.save(path)
        return made
