"""Servers that fail, refuse or talk nonsense: the next one is asked, and at last a worker."""

from __future__ import annotations

import socket
import threading
import time

from fastapi.testclient import TestClient
from redis import Redis

from app.domain.errors import PromptTooLong
from app.domain.log.edit_log import EditLog
from app.domain.problems import problem_of
from app.main import create_app
from app.settings import Settings
from tests.support.texts_asked import (
    ASKED,
    COMPLETIONS,
    NAME,
    PATIENCE_S,
    STREAMED,
    chunks,
    first,
    text_of,
    written,
)
from tests.support.upstream import (
    CHAT,
    CUT,
    DONE,
    InferenceServer,
    Step,
    chunk,
    event,
    follows,
    says,
    server,
    writes,
)
from tests.support.worker_end import WorkerEnd

GARBAGE: dict[str, list[Step]] = {
    "no JSON": [b"data: {\n\n"],
    "no UTF-8": [b'data: {"model": "\xff"}\n\n'],
    "another version": [chunk(COMPLETIONS, "atlas@2", 0, "no")],
    "a text too many": [chunk(COMPLETIONS, NAME, 1, "no")],
    "a negative index": [chunk(COMPLETIONS, NAME, -1, "no")],
    "an end that we do not know": [chunk(COMPLETIONS, NAME, 0, "no", "tool_calls")],
    "an error": [event({"error": {"message": "out of memory", "type": "x", "code": 500}})],
    "nothing": [],
    "DONE alone": [DONE],
    "a web page": [b"<html>\n\n<p>It works!</p>\n\n"],
    "a cut": [CUT],
    "half an event": [first()[:-9], CUT],
    "reasoning apart": [chunk(CHAT, NAME, 0, "", delta={"reasoning_content": "hm"})],
}


class TestServersThatFail:
    @STREAMED
    def test_before_their_first_word_are_followed_by_the_next_one_and_rest(
        self, client: TestClient, engines: tuple[InferenceServer, InferenceServer], stream: bool
    ) -> None:
        engines[0].script = says(CUT)
        answers = [client.post(COMPLETIONS, json={**ASKED, "stream": stream}) for _ in range(2)]
        assert [text_of(answer) for answer in answers] == [" Peru", " Peru"]
        assert [len(each.asked) for each in engines] == [1, 2]

    @STREAMED
    def test_whatever_they_say_are_followed_by_a_worker_at_last(
        self, client: TestClient, engines: tuple[InferenceServer, InferenceServer], stream: bool
    ) -> None:
        for kind, steps in GARBAGE.items():
            for each in engines:
                each.asked.clear()
                each.script = says(*steps)
            assert text_of(client.post(COMPLETIONS, json={**ASKED, "stream": stream})) == "worker", kind
            assert [len(each.asked) for each in engines] == [1, 1], kind

    @STREAMED
    def test_or_refuse_leave_it_to_others(
        self, client: TestClient, engines: tuple[InferenceServer, InferenceServer], stream: bool
    ) -> None:
        """The next one may take what one does not, unless the request is at fault: then the worker decides."""
        for status in (400, 401, 403, 404, 413, 422, 429, 500, 503):
            for each in engines:
                each.asked.clear()
                each.status = status
            assert text_of(client.post(COMPLETIONS, json={**ASKED, "stream": stream})) == "worker", status
            asked = sum(len(each.asked) for each in engines)
            assert asked == (1 if status in (400, 413, 422) else 2), status

    def test_what_a_server_refuses_the_worker_decides(
        self, client: TestClient, engine: InferenceServer, worker: WorkerEnd
    ) -> None:
        engine.status = 400
        worker.refuses("/write", problem_of(PromptTooLong("Too long.", field="prompts.0", value="x")))
        refused = client.post(COMPLETIONS, json=ASKED)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "prompt_too_long")

    def test_one_that_is_gone_is_no_delay(self, client: TestClient, redis: Redis, engine: InferenceServer) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            gone = f"http://127.0.0.1:{taken.getsockname()[1]}"
        follows(redis, [server(gone, 1), server("nonsense", 1), server("ftp://x", 1), server(engine.url, 1)])
        started = time.monotonic()
        assert [text_of(client.post(COMPLETIONS, json=ASKED)) for _ in range(4)] == [" Peru"] * 4
        assert time.monotonic() - started < 10

    @STREAMED
    def test_one_that_says_nothing_is_waited_for_no_longer_than_is_set(
        self, client: TestClient, engines: tuple[InferenceServer, InferenceServer], stream: bool
    ) -> None:
        never = threading.Event()
        engines[0].script = says(b": still here\n\n", never)
        assert text_of(client.post(COMPLETIONS, json={**ASKED, "stream": stream})) == " Peru"
        assert engines[0].left.wait(PATIENCE_S)

    def test_in_the_midst_of_a_whole_answer_begin_anew_elsewhere(
        self, client: TestClient, engines: tuple[InferenceServer, InferenceServer], worker: WorkerEnd
    ) -> None:
        engines[0].script = says(first("half "), CUT)
        assert text_of(client.post(COMPLETIONS, json=ASKED)) == " Peru"
        engines[1].script = says(first("half "), b"data: nonsense\n\n")
        assert text_of(client.post(COMPLETIONS, json=ASKED)) == "worker"

    def test_in_the_midst_of_a_stream_end_it_with_an_error(
        self, client: TestClient, engine: InferenceServer, worker: WorkerEnd
    ) -> None:
        other = chunk(COMPLETIONS, "atlas@2", 0, "no")
        for steps in ([CUT], [b"data: x\n\n"], [], [DONE], [other], [event({"error": {}})]):
            engine.script = says(first(), *steps)
            *_, piece, last = chunks(client.post(COMPLETIONS, json={**ASKED, "stream": True}).text)
            assert piece["choices"][0]["text"] == " Pe"
            assert last["error"]["code"] == "model_unavailable"
        assert written(worker) == 0

    def test_without_numbers_a_stream_that_wants_none_is_whole(
        self, client: TestClient, engine: InferenceServer
    ) -> None:
        engine.script = says(first(), chunk(COMPLETIONS, NAME, 0, "ru", "stop"), DONE)
        assert text_of(client.post(COMPLETIONS, json={**ASKED, "stream": True})) == " Peru"
        assert text_of(client.post(COMPLETIONS, json=ASKED)) == "worker"

    def test_give_their_places_back(self, settings: Settings, log: EditLog, client: TestClient, redis: Redis) -> None:
        """As many as there are, all failures through: one place is enough."""
        with (
            InferenceServer([NAME], writes("x")) as engine,
            TestClient(create_app(settings.model_copy(update={"max_texts": 1}))) as narrow,
        ):
            follows(redis, [server(engine.url, 1)])
            for steps in GARBAGE.values():
                engine.script = says(*steps)
                for stream in (True, False):
                    assert text_of(narrow.post(COMPLETIONS, json={**ASKED, "stream": stream})) == "worker"
                engine.script = says(first(), CUT)
                narrow.post(COMPLETIONS, json={**ASKED, "stream": True})
            engine.script = writes("x")
            assert text_of(narrow.post(COMPLETIONS, json=ASKED)) == "x"
