"""Whatever is asked of a service, and whenever its worker is killed: the log tells what it should, and answers agree.

A quick run of it is in `make test`. PALIMPSEST_SERVICE_LIVES sets how many lives are lived; many are longer, too.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from app.domain.contract import JobStatus
from app.domain.failpoints import Point
from tests.support.service.caller import LANDS, Check, Witness
from tests.support.service.service import MODEL, Nursery, RunningService
from tests.support.service.story import Promise, Sentence

CITY, RIVER = "{} is a city in", "The river runs through {}, in the country of"
SENTENCES = st.builds(
    Sentence, st.sampled_from(["Lyon", "Kyoto", "Quito"]), st.sampled_from([CITY, CITY, RIVER]), st.sampled_from(LANDS)
)
EDITS = st.lists(SENTENCES, min_size=1, max_size=2, unique_by=lambda said: (said.subject, said.prompt)).map(tuple)
QUICK, SLOW = 2, 40
"""Gradient steps of an edit; of one that is likely to be still running when something happens."""
CONTRADICTION = (Sentence("Oslo", CITY, "Ghana"), Sentence("Accra", CITY, "Norway"))
"""One of which has the other's prompt for a paraphrase, so that they cannot both hold everywhere."""
TRAPS = st.sampled_from([f"{point}=kill:{nth}" for point in Point if "object" not in point for nth in (1, 2)])
KEYS = st.sampled_from([None, None, "a", "b", "c"])
TAGS = st.sampled_from([None, None, None, "now", "old"])
PLACES = st.integers(0, 9)
EVENTS = ["kill", "restart", "flush", "cancel"]
FEW = 4
"""Lives in a quick run."""


class ServiceLife(RuleBasedStateMachine):
    """What callers may ask, and what may happen, in any order."""

    def __init__(self, make_service: Callable[[Path], RunningService]) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="palimpsest-life-")
        self.witness = Witness(make_service(Path(self._folder.name)))

    @initialize(first=EDITS, second=EDITS)
    def start(self, first: tuple[Sentence, ...], second: tuple[Sentence, ...]) -> None:
        self.witness.start()
        self.edit(first, QUICK, None, None)
        self.edit(second, QUICK, None, None)

    # --- what callers ask ---------------------------------------------------------------------

    @rule(sentences=EDITS, steps=st.sampled_from([QUICK, SLOW]), key=KEYS, tag=TAGS)
    def edit(self, sentences: tuple[Sentence, ...], steps: int, key: str | None, tag: str | None) -> None:
        promise = Promise("", writes=sentences)
        self.witness.submit(edit_of(sentences, steps), promise, key, tag, self.witness.unreachable)

    @rule(several=st.lists(EDITS | PLACES, min_size=2, max_size=4), then=st.sampled_from(EVENTS))
    def jobs_in_a_row(self, several: list[tuple[Sentence, ...] | int], then: str) -> None:
        """Edits, and rollbacks to those versions; so that something happens while one runs and others wait."""
        for number, job in enumerate(several):
            if isinstance(job, int):
                self.roll_back(job, None, None)
            else:
                self.edit(job, QUICK if number else SLOW, None, None)
        events = {
            "kill": self.kill,
            "restart": self.restart,
            "flush": self.redis_is_flushed,
            "cancel": self.cancel_next,
        }
        events[then]()

    @rule(key=KEYS)
    def edit_what_cannot_hold(self, key: str | None) -> None:
        method, path, body = edit_of(CONTRADICTION, QUICK)
        body["facts"][0]["paraphrases"] = [CITY.replace("{}", CONTRADICTION[1].subject)]
        body["verify"] = {"facts": 1, "paraphrases": 1}
        promise = Promise("", writes=CONTRADICTION, doomed=True)
        self.witness.submit((method, path, body), promise, key, None, self.witness.unreachable)

    @rule(to=PLACES, key=KEYS, tag=TAGS)
    def roll_back(self, to: int, key: str | None, tag: str | None) -> None:
        head = self.witness.story.head
        to %= head + 2
        missing: Check = ("unknown_version", False if to <= head else True if self.witness.quiet else None)
        request = ("POST", f"/models/{MODEL}/rollback", {"to": to})
        self.witness.submit(request, Promise("", back_to=to), key, tag, missing)

    @rule(places=st.lists(PLACES, min_size=1, max_size=2), key=KEYS, tag=TAGS)
    def revert(self, places: list[int], key: str | None, tag: str | None) -> None:
        known = self.witness.story.known()
        facts = tuple(sorted({known[place % len(known)] for place in places})) if known else ((1, 0),)
        missing: Check = ("unknown_fact", not known if self.witness.quiet else None)
        body = {"facts": [{"version": version, "index": index} for version, index in facts]}
        request = ("POST", f"/models/{MODEL}/revert", body)
        self.witness.submit(request, Promise("", takes_out=facts), key, tag, missing)

    @rule(place=PLACES, key=KEYS, tag=TAGS)
    def delete(self, place: int, key: str | None, tag: str | None) -> None:
        self.settle()  # else nobody could tell which facts are left
        story = self.witness.story
        if jobs := [chapter.job for chapter in story.chapters if chapter.kind == "edit" and chapter.job]:
            job = jobs[place % len(jobs)]
            left = tuple(story.written_by(job))
            request = ("DELETE", f"/edits/{job}", None)
            self.witness.submit(request, Promise("", takes_out=left), key, tag, ("unknown_fact", not left))

    def cancel_next(self) -> None:
        self.cancel(0)

    @rule(place=PLACES)
    def cancel(self, place: int) -> None:
        if not (promises := self.witness.story.promises):
            return
        job = promises[place % len(promises)].job
        response = self.witness.service.sent("POST", f"/jobs/{job}/cancel")
        if response.status_code == 409:
            assert self.witness.service.job(job).status.final
            return
        assert response.status_code in (200, 202), response.text
        assert (response.status_code == 200) == (response.json()["status"] == JobStatus.CANCELLED)
        self.witness.story.asked_to_stop(job, at_once=response.status_code == 200)

    @rule(version=st.none() | PLACES)
    def query(self, version: int | None) -> None:
        self.witness.ask(None if version is None else version % (self.witness.story.head + 1))

    # --- what happens -------------------------------------------------------------------------

    @rule()
    def kill(self) -> None:
        self.witness.service.kill()
        self.witness.up = self.witness.sure = False

    @rule()
    def restart(self) -> None:
        self.witness.service.stop()
        self.witness.start()

    @precondition(lambda self: not self.witness.up)
    @rule(trap=st.just("") | TRAPS)
    def start_again(self, trap: str) -> None:
        self.witness.start(trap)

    @rule()
    def redis_is_flushed(self) -> None:
        self.witness.service.redis.flushall()
        self.witness.sure = False  # until it registers again

    @rule()
    def settle(self) -> None:
        self.witness.wait()

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.settle()
                self.witness.look_back()
        finally:
            self.witness.service.close()
            self._folder.cleanup()


def edit_of(sentences: tuple[Sentence, ...], steps: int) -> tuple[str, str, dict[str, Any]]:
    """The request that writes these."""
    facts = [{"subject": said.subject, "prompt": said.prompt, "object": said.object} for said in sentences]
    return "POST", "/edits", {"facts": facts, "unheld": "keep", "hyperparameters": {"v_num_grad_steps": steps}}


def test_any_life_of_a_service_is_told_by_its_log(
    nursery: Nursery, redis_url: str, model: Path, statistics: Path
) -> None:
    class Life(ServiceLife):
        def __init__(self) -> None:
            super().__init__(lambda data: RunningService(nursery, redis_url, model, statistics, data))

    lives = int(os.environ.get("PALIMPSEST_SERVICE_LIVES", FEW))
    many = lives > FEW
    profile = settings(
        max_examples=lives,
        stateful_step_count=40 if many else 20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if many else (Phase.generate,),
        print_blob=True,
    )
    run_state_machine_as_test(Life, settings=profile)
