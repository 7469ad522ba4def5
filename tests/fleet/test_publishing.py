"""Twenty versions are published while clients stream from two vLLM servers, one of them killed: no text is mixed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from app.domain.smollm2 import NAME
from tests.fleet.conftest import Fleet
from tests.support.fleet.asking import TOKENS, Answer, Crowd
from tests.support.fleet.history import ASKED, twenty_moves

CLIENTS = 8
PROMPTS = (ASKED, "People travel to see the Eiffel Tower in")
KILLED_AFTER, STARTED_AFTER = 8, 11
MAY_BREAK = ("404", "Error(", "the stream has no end")
"""A version that was unloaded between two looks; a server that was killed. Nothing else: no 500, no wrong name."""


@pytest.fixture(scope="module")
def crowd(fleet: Fleet) -> Crowd:
    """What eight clients heard while twenty versions were published, and the second server was away for some."""
    first, second = fleet.servers
    crowd = Crowd([first.url, second.url], NAME, PROMPTS)
    with crowd.asking(CLIENTS):
        for number, move in enumerate(twenty_moves()):
            if number == KILLED_AFTER:
                fleet.until_served(6)
                second.kill()
            if number == STARTED_AFTER:
                second.start()
            move.made(fleet.client)
        fleet.until_served()
    return crowd


def expected(fleet: Fleet, versions: Iterable[int], prompts: Sequence[str]) -> dict[tuple[str, str], str]:
    """What the worker says: by the version's name and the prompt."""
    return {
        (f"{NAME}@{version}", prompt): text.texts[0]
        for version in versions
        for prompt, text in zip(
            prompts,
            fleet.client.generate(prompts, version=version, max_new_tokens=TOKENS).generations,
            strict=True,
        )
    }


def version_of(answer: Answer) -> int:
    return int(answer.name.rpartition("@")[2])


def test_every_answer_is_one_versions(fleet: Fleet, crowd: Crowd) -> None:
    versions = {version_of(answer) for answer in crowd.answers}
    said = expected(fleet, versions, PROMPTS)
    wrong = [answer for answer in crowd.answers if answer.text != said[answer.name, answer.prompt]]
    assert wrong == []
    assert len(crowd.answers) > 2 * CLIENTS
    assert len({said[f"{NAME}@{version}", ASKED] for version in versions}) > 5  # a mixed text would be seen


def test_streams_break_only_where_a_server_or_a_version_is_gone(crowd: Crowd) -> None:
    assert [words for words in crowd.broken if not any(each in words for each in MAY_BREAK)] == []


def test_the_server_that_was_killed_serves_the_newest_version_again(fleet: Fleet, crowd: Crowd) -> None:
    assert crowd.answers
    assert fleet.head == 20
    newest = {20, 19, 18, 17, 16}  # of which the last one comes first, and those before it afterwards
    fleet.until_told(lambda card: newest <= set(card.versions), "the five newest versions are not served")
    assert all(f"{NAME}@20" in server.models() for server in fleet.servers)
