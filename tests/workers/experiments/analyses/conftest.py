"""A bundled model with a few facts, and all of its analyses, with few steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.domain.contract import Hyperparameters
from workers.experiments.analyses.analysis import Analyses, Analysis
from workers.experiments.analyses.asked import Asked
from workers.experiments.analyses.residuals import Residuals, compute
from workers.experiments.analyses.workbench import Workbench
from workers.experiments.cases import DataSet
from workers.models import bundled

MODEL, LAYERS, FACTS = "atlas-gpt2", (0, 1, 2), 4


@pytest.fixture(scope="package")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Twelve facts; the second one in other words after its subject; one whose subject is nowhere in its prompt."""
    records = json.loads((bundled(MODEL) / "facts.json").read_text(encoding="utf-8"))[:12]
    rewrite = records[1]["requested_rewrite"]
    records.insert(
        2, {**records[1], "requested_rewrite": {**rewrite, "prompt": "The country where {} can be found is"}}
    )
    records.insert(1, {**records[0], "requested_rewrite": {**records[0]["requested_rewrite"], "prompt": "Nothing is"}})
    path = tmp_path_factory.mktemp("data") / "facts.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return DataSet.read(str(path))


@pytest.fixture(scope="package")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where statistics are kept."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="package")
def asked(data: DataSet) -> Asked:
    few = Hyperparameters(layers=LAYERS, v_num_grad_steps=10)
    return Asked(model=MODEL, dataset=data.name, digest=data.digest, facts=FACTS, batch=2, hyperparameters=few)


@pytest.fixture(scope="package")
def bench(asked: Asked, data: DataSet, data_dir: Path) -> Workbench:
    return Workbench.open(asked, data, "cpu", data_dir)


@pytest.fixture(scope="package")
def residuals(bench: Workbench) -> Residuals:
    return compute(bench, lambda _line: None)


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the whole analysis."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="package")
def whole(folder: Path, asked: Asked, data: DataSet, data_dir: Path) -> Analysis:
    """One that nobody stopped."""
    return Analyses(folder, asked, data, "cpu", data_dir).run()
