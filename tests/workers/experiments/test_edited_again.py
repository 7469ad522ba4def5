"""A run over data that edits a fact again, with reference texts, on a bundled model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.contract import Hyperparameters
from workers.experiments.cases import DataSet
from workers.experiments.evaluation import Evaluation
from workers.experiments.references import References
from workers.experiments.run_folder import RunFolder, Wanted
from workers.models import bundled


def again(record: dict[str, Any], object_: str) -> dict[str, Any]:
    return {**record, "requested_rewrite": {**record["requested_rewrite"], "target_new": {"str": object_}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Istanbul is in Oman, later in Peru, and in the same batch at last in Chad; another city is taught once."""
    path = tmp_path_factory.mktemp("data")
    first, other = json.loads((bundled("atlas-gpt2") / "facts.json").read_text(encoding="utf-8"))[:2]
    records = [first, other, again(first, "Peru"), again(first, "Chad")]
    (path / "facts.json").write_text(json.dumps(records), encoding="utf-8")
    rewrite = other["requested_rewrite"]
    texts = {
        rewrite["relation_id"]: {rewrite["target_new"]["str"]: [{"name": "", "text": other["generation_prompts"][0]}]}
    }
    (path / "snippets.json").write_text(json.dumps(texts), encoding="utf-8")
    data, references = DataSet.read(str(path / "facts.json")), References.read(path / "snippets.json")
    wanted = Wanted(
        model="atlas-gpt2",
        dataset=data.name,
        digest=data.digest,
        facts=4,
        batch=2,
        every=4,
        hyperparameters=Hyperparameters(v_num_grad_steps=12),
        unheld="keep",
        spoken=2,
        references=references.digest,
    )
    found = RunFolder(path / "run")
    Evaluation(found, wanted, data, references=references).run("cpu", path / "kept")
    return found


def test_of_a_fact_that_one_batch_has_twice_the_later_is_edited(folder: RunFolder) -> None:
    assert [(line.status, line.facts, line.written, line.error) for line in folder.lines()] == [
        ("succeeded", 2, 2, None),
        ("succeeded", 2, 1, None),
    ]


def test_a_superseded_fact_is_not_counted_as_lost(folder: RunFolder) -> None:
    last = folder.last_checkpoint
    assert last is not None
    assert last.superseded == (0, 2)
    assert not last.answers[0].own.exact
    assert last.answers[3].own.exact
    assert last.summary.efficacy.exact.cases == last.first.efficacy.exact.cases == 2
    told = json.loads((folder.path / "report.json").read_text())
    assert told["unedited"]["efficacy"]["exact"]["cases"] == 2
    assert [(each["from"], each["to"]) for each in told["by_age"]] == [(0, 1), (1, 2)]


def test_superseded_facts_are_told_apart(folder: RunFolder) -> None:
    told = json.loads((folder.path / "report.json").read_text())["retention"]
    assert (told["superseded"]["later"]["mean"], told["superseded"]["later"]["cases"]) == (1.0, 2)
    assert told["several"] is None
    assert "2 facts were edited again" in (folder.path / "report.md").read_text()


def test_probes_and_consistency_are_told_of_both_models(folder: RunFolder) -> None:
    told = json.loads((folder.path / "report.json").read_text())
    assert told["probes"]["choice"]["cases"] == told["probes_unedited"]["negated"]["cases"] == 2
    assert 0 < told["checkpoints"][0]["consistency"]["cosine"]["mean"] <= 1
    assert told["consistency_unedited"]["cosine"]["cases"] == 1
    page = (folder.path / "report.md").read_text()
    assert "| multiple choice | " in page
    assert "Consistency (TF-IDF cosine with reference texts, facts: 1): " in page
