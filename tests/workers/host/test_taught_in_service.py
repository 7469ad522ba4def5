"""Paraphrases that a fact is taught with: from the request to the report, the log, and later batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.contract import EditBatch, EditReport, JobStatus, Rollback
from app.domain.errors import PromptTooLong, RequestError, SubjectNotInPrompt
from tests.support.tiny_models import CHAT, WINDOW, save_tiny
from tests.support.turns import digest_of, done
from tests.support.worker_bench import opened
from workers.host.model_host import ModelHost

CITY, RIVER, PHRASE = "{} is a city in", "The river runs through {}, in the country of", "People say that {} lies in"
TAUGHT = {"prompt": PHRASE, "teach": True}
FEW = {"v_num_grad_steps": 3}


@pytest.fixture
def host(model: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(model, tmp_path / "one") as found:
        yield found


def batch(*facts: dict[str, Any], **more: Any) -> EditBatch:
    sent = [{"subject": "Lyon", "object": "Japan", "prompt": CITY, **fact} for fact in facts]
    return EditBatch.model_validate({"facts": sent, "hyperparameters": FEW, "unheld": "keep", **more})


def edited(host: ModelHost, *facts: dict[str, Any], **more: Any) -> EditReport:
    asked = batch(*facts, **more)
    host.check(asked)
    report = done(host, f"job-{host.version}", asked).report
    assert report is not None
    return report


def taught(host: ModelHost) -> list[tuple[str, ...]]:
    """Of each fact in force."""
    return [known.fact.taught for known in host.knowledge.facts.values()]


TUNED = {"method": "ft-l", "hyperparameters": {"layers": [2], "num_steps": 100, "lr": 0.02, "norm_constraint": 5.0}}
"""Writes anything into a model of random weights."""


class TestReport:
    def test_what_was_taught_is_told_apart_from_what_was_only_asked(self, host: ModelHost) -> None:
        asked = ["Oslo, and never Lyon, was the capital of", TAUGHT]
        report = edited(host, {"paraphrases": asked}, **TUNED)
        [fact] = report.facts
        assert (fact.holds, fact.paraphrases[1], fact.taught) == (True, True, (1,))
        assert (report.paraphrases_hold, report.taught_hold) == (float(fact.paraphrases[0]), 1.0)

    def test_without_any_there_is_nothing_to_tell(self, host: ModelHost) -> None:
        report = edited(host, {"paraphrases": [PHRASE]})
        assert (report.facts[0].taught, report.taught_hold) == ((), None)
        assert report.paraphrases_hold in (0.0, 1.0)
        assert edited(host, {"paraphrases": [TAUGHT]}).paraphrases_hold is None

    def test_a_bound_on_paraphrases_does_not_count_it(self, host: ModelHost) -> None:
        """Three steps write nothing, so that no paraphrase holds."""
        for asked, status in ((TAUGHT, JobStatus.SUCCEEDED), (PHRASE, JobStatus.REJECTED)):
            sent = batch({"paraphrases": [asked]}, verify={"paraphrases": 1.0})
            assert done(host, f"job-{status}", sent).status is status


class TestChecks:
    @pytest.mark.parametrize(
        ("prompt", "error"), [("Oslo is", SubjectNotInPrompt), ("{} " + "q" * WINDOW, PromptTooLong)]
    )
    def test_one_at_fault_is_named(self, host: ModelHost, prompt: str, error: type[RequestError]) -> None:
        with pytest.raises(error) as caught:
            host.check(batch({}, {"paraphrases": ["fine", TAUGHT, {"prompt": prompt, "teach": True}]}))
        assert caught.value.field == "facts.1.paraphrases.2.prompt"


class TestLaterVersions:
    def test_facts_in_force_are_edited_again_with_it(self, host: ModelHost, model: Path, tmp_path: Path) -> None:
        """Also by a leader that has read the log, and not by one that sent another paraphrase or only asked for it."""
        digests = {}
        for name, asked in (("taught", TAUGHT), ("asked", PHRASE)):
            with opened(model, tmp_path / name) as one:
                edited(one, {"paraphrases": [asked]})
                first = digest_of(one)
            with opened(model, tmp_path / name, epoch=2) as again:
                assert taught(again) == [(PHRASE,) if name == "taught" else ()]
                assert digest_of(again) == first
                assert edited(again, {"prompt": RIVER, "object": "Ghana"}).companions == 1
                digests[name] = digest_of(again)
        edited(host, {"paraphrases": [TAUGHT]})
        edited(host, {"prompt": RIVER, "object": "Ghana"})
        assert taught(host) == [(PHRASE,), ()]
        assert digest_of(host) == digests["taught"] != digests["asked"]

    def test_going_back_brings_it_back(self, host: ModelHost) -> None:
        edited(host, {"paraphrases": [TAUGHT]})
        edited(host, {"object": "Ghana"})
        assert taught(host) == [()]
        assert done(host, "back", Rollback(to=1)).status is JobStatus.SUCCEEDED
        assert taught(host) == [(PHRASE,)]

    def test_a_later_fact_at_its_prompt_is_not_fought_and_it_stays_in_the_log(self, host: ModelHost) -> None:
        edited(host, {"paraphrases": [TAUGHT]})
        report = edited(host, {"prompt": PHRASE, "object": "Ghana"})
        assert (report.companions, taught(host)) == (1, [(PHRASE,), ()])


def test_in_chat_it_is_taught_as_a_users_turn(tmp_path: Path) -> None:
    chatting = save_tiny(tmp_path / "model", template=CHAT)
    with opened(chatting, tmp_path) as host:
        asked = {"prompt": "Tell me of {}.", "teach": True}
        edited(host, {"prompt": "Where is {}?", "chat": True, "paraphrases": [asked]})
        assert taught(host) == [("<user>\nTell me of {}.<|end|>\n<assistant>\n",)]
