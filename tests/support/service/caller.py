"""A caller that keeps a record of a service: each answer has to agree with the story so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.domain.contract import FactList, QueryReply, VersionList
from tests.support.service.service import MODEL, RunningService
from tests.support.service.story import Promise, Telling, as_told

LANDS = ("Japan", "Ghana", "Norway")
PROBES = [{"prompt": f"{city} is a city in", "candidates": LANDS, "max_new_tokens": 1} for city in ("Lyon", "Oslo")]

Check = tuple[str, bool | None]
"""The code of a refusal, and whether it is due; None: that depends on how far the jobs have come."""


class Witness:
    """Sends requests to a service, and checks what comes back.

    keyed: the request that came with each idempotency key, and its job.
    heard: what each version has answered.
    up: whether a worker was started. sure: whether it must be there, since it was started without a failpoint.
    """

    def __init__(self, service: RunningService) -> None:
        self.service = service
        self.story = Telling()
        self.keyed: dict[str, tuple[object, str]] = {}
        self.heard: dict[int, str] = {}
        self.up, self.sure = False, False

    @property
    def quiet(self) -> bool:
        """Whether all that was accepted has ended."""
        return not self.story.promises

    @property
    def unreachable(self) -> Check:
        """An edit is checked by a worker before it is accepted."""
        return "model_unavailable", False if self.sure else None if self.up else True

    def start(self, trap: str = "") -> None:
        self.service.start(trap)
        self.up, self.sure = True, not trap

    def submit(
        self, request: tuple[str, str, object], promise: Promise, key: str | None, tag: str | None, *checks: Check
    ) -> None:
        """Send a request: it is accepted, or refused for one of the reasons that apply.

        Args:
            tag: of ``If-Match``: the version that the service is at ("now"), or 0 ("old"), or no such header.
            checks: what is looked at, in this order, after whether the model is there and at the right version.
        """
        expected = None if tag is None else 0 if tag == "old" else self._head_told()
        condition = {} if expected is None else {"If-Match": f'"{expected}"'}
        response = self.service.sent(*request, condition | ({"Idempotency-Key": key} if key else {}))
        told = response.json()
        if key in self.keyed:
            same = self.keyed[key][0] == (request, condition)
            assert response.status_code == (202 if same else 422), response.text
            assert told["id" if same else "code"] == (self.keyed[key][1] if same else "idempotency_key_reused")
            return
        gone: Check = ("model_unavailable", False if self.sure else None)
        moved: Check = ("precondition_failed", False if expected is None else self._moved(expected))
        code = "accepted" if response.status_code == 202 else told["code"]
        assert code in _ends([gone, moved, *checks]), (code, [gone, moved, *checks])
        if code == "accepted":
            self.story.promises.append(replace(promise, job=told["id"], expected_version=expected))
            if key:
                self.keyed[key] = ((request, condition), told["id"])

    def ask(self, version: int | None) -> None:
        """One version answers, whole: the same words and probabilities, to the last digit, whenever it is asked."""
        least = self.story.head if version is None else 0
        body = {"prompts": PROBES, "version": version, "min_version": least, "wait_seconds": 60}
        response = self.service.sent("POST", "/query", body)
        if response.status_code == 503:
            assert not self.sure, response.text
            return
        assert response.status_code == 200, response.text
        reply = QueryReply.model_validate_json(response.content)
        assert int(response.headers["x-model-version"]) == reply.version
        assert reply.version == version if version is not None else reply.version >= self.story.head
        answers = repr(reply.answers)
        assert self.heard.setdefault(reply.version, answers) == answers

    def wait(self) -> None:
        """Have all that was accepted come to its end, as it should, and the log tell so."""
        for promise in list(self.story.promises):
            self.story.tell(self.service.ended(promise.job))
        if self.service.dead:
            self.start()
        self.up = True
        self._compare()
        self.ask(None)

    def look_back(self) -> None:
        """After another start, each version answers as it did, and a rollback as what it went back to."""
        self.service.stop()
        self.start()
        for version in range(len(self.story.chapters)):
            self.ask(version)
        for version, chapter in enumerate(self.story.chapters):
            assert self.heard[version] == self.heard[chapter.root]
        for job, status in self.story.ended.items():
            assert self.service.job(job).status is status

    def _moved(self, expected: int) -> bool | None:
        if self.quiet or expected < self.story.head:
            return expected != self.story.head
        return None

    def _head_told(self) -> int:
        tag = self.service.got(f"/models/{MODEL}/versions").headers["etag"]
        return int(tag.strip('"'))

    def _compare(self) -> None:
        told = VersionList.model_validate_json(self.service.got(f"/models/{MODEL}/versions").content)
        chapters = self.story.chapters
        assert [(each.version, each.kind, each.job, each.facts) for each in told.versions] == [
            (number, chapter.kind, chapter.job, chapter.facts) for number, chapter in enumerate(chapters)
        ]
        for number, chapter in enumerate(chapters):
            facts = FactList.model_validate_json(self.service.got(f"/models/{MODEL}/facts", version=number).content)
            assert [as_told(fact) for fact in facts.facts] == chapter.in_force()


def _ends(checks: Sequence[Check]) -> set[str]:
    """How a request may be answered, whose checks are made in this order."""
    ends = set()
    for code, due in checks:
        if due is not False:
            ends.add(code)
        if due:
            return ends
    return ends | {"accepted"}
