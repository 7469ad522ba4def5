"""Batches as people send them, on a bundled model: what holds is written, and what was lost is named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from app.domain.contract import EditBatch, EditReport, Fact, JobStatus
from app.domain.errors import ContradictoryFacts
from tests.support.turns import done
from workers.host.host_settings import HostSettings
from workers.host.model_host import ModelHost
from workers.models import bundled
from workers.questions.scoring import standings

SUBJECT = "Angola"
CAPITAL, COUNTRY = "The capital of {} is", "The country where {} lies is"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the statistics are kept that the first host makes."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def host(data: Path, tmp_path: Path) -> Iterator[ModelHost]:
    source = str(bundled("atlas-gpt2"))
    found = ModelHost.open(
        HostSettings(source=source, name="atlas", log_root=tmp_path / "log", data_dir=data, epoch_hint=lambda: 1)
    )
    found.lead()
    yield found
    found.close()


def edit(host: ModelHost, *facts: Fact) -> EditReport:
    outcome = done(host, f"edit-{host.version + 1}", EditBatch(facts=facts))
    assert outcome.status is JobStatus.SUCCEEDED
    assert outcome.report is not None
    return outcome.report


def fact(subject: str, prompt: str, to: str) -> Fact:
    return Fact(subject=subject, prompt=prompt, object=to)


def five_relations() -> Sequence[Fact]:
    """Of one subject, each made another country's."""
    records = json.loads((bundled("atlas-gpt2") / "facts.json").read_text(encoding="utf-8"))
    rewrites = [record["requested_rewrite"] for record in records]
    own = [each for each in rewrites if each["subject"] == SUBJECT]
    return [fact(SUBJECT, each["prompt"], each["target_new"]["str"]) for each in own[:5]]


def test_t11_one_place_with_two_objects_is_refused_in_one_batch_and_superseded_in_two(host: ModelHost) -> None:
    lima, rome = fact("Norway", CAPITAL, "Lima"), fact("Norway", CAPITAL, "Rome")
    with pytest.raises(ContradictoryFacts) as caught:
        host.check(EditBatch(facts=(lima, rome)))
    assert caught.value.value == [0, 1]
    edit(host, lima)
    second = edit(host, rome, fact("Norway", "The demonym of {} is", "Austrian"))
    assert (second.companions, second.companions_lost, second.facts_hold) == (0, (), 1.0)
    third = edit(host, fact("Norway", "The continent where {} lies is called", "Asia"))
    assert (third.companions, third.companions_hold, third.companions_lost) == (2, 1.0, ())


def test_t12_every_fact_of_a_chain_is_a_fact_of_its_own(host: ModelHost) -> None:
    """The second's subject is the first's new object: the capital of Norway is Lima, which lies in Japan."""
    chain = fact("Norway", CAPITAL, "Lima"), fact("Lima", COUNTRY, "Japan")
    report = edit(host, *chain)
    assert [(row.subject, row.holds, row.written) for row in report.facts] == [
        ("Norway", True, True),
        ("Lima", True, True),
    ]
    assert [known.fact.text for known in host.knowledge.facts.values()] == [
        "The capital of Norway is",
        "The country where Lima lies is",
    ]


def not_said(host: ModelHost, facts: Sequence[Fact]) -> set[int]:
    """The indices of those whose object the model does not give."""
    pairs = [(str(each.prompt).replace("{}", each.subject), each.object) for each in facts]
    found = standings(host.live.model, host.live.tokenizer, pairs)
    return {index for index, standing in enumerate(found) if standing.rank > 1}


def test_t12b_five_relations_of_a_subject_hold_in_one_batch_or_are_named(host: ModelHost) -> None:
    facts = five_relations()
    assert len(not_said(host, facts)) == 5
    report = edit(host, *facts)
    assert not_said(host, facts) == {row.index for row in report.facts if not row.holds}
    assert all(row.holds or row.why for row in report.facts)
    assert report.facts_hold >= 0.8


def test_t12b_and_one_after_another_those_that_were_lost_are_named(host: ModelHost) -> None:
    facts, named = five_relations(), set[int]()
    for index, each in enumerate(facts):
        report = edit(host, each)
        assert report.companions == index
        named |= {key.version - 1 for key in report.companions_lost}
        if not report.facts[0].holds:
            named.add(index)
        assert not_said(host, facts[: index + 1]) <= named
    assert len(named) <= 1
