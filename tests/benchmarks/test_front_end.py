"""How the benchmark of the front end reads streams, and what it counts as lost, cut off or mixed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from benchmarks.event_streams import DONE, Heard, complete_all, events, follow_all
from benchmarks.front_end import Found, Row, bounds, edits_row, streams_row
from benchmarks.question_load import Asked
from benchmarks.submissions import Submitted, lost, submit


class Service:
    """Answers as the service would; of its third job it knows nothing any more, the first has to be cancelled."""

    def __init__(self, *, fingerprints: tuple[str, ...] = ("v1", "v1"), cut: bool = False, known: bool = True) -> None:
        self.fingerprints, self.cut, self.known = fingerprints, cut, known
        self.cancelled: list[str] = []
        self.opened = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/cancel"):
            self.cancelled.append(path.split("/")[2])
            return httpx.Response(200)
        if path == "/v1/completions":
            chunks = [json.dumps({"system_fingerprint": each}) for each in self.fingerprints]
            chunks += [] if self.cut else [DONE]
            text = "".join(f"data: {chunk}\n\n" for chunk in chunks)
            return httpx.Response(200, text=text, headers={"X-Model-Version": "1"})
        if path.endswith("/events"):
            return httpx.Response(200 if self.known else 404, content=self._events())
        job = path.removeprefix("/jobs/")
        if job == "job2":
            return httpx.Response(404, json={"status": 404})
        return httpx.Response(200, json={"status": "cancelled" if job in self.cancelled else "succeeded"})

    async def _events(self) -> AsyncIterator[bytes]:
        self.opened += 1
        yield b": ping\n\nevent: status\ndata: {}\n\n"
        while not self.cancelled:
            await asyncio.sleep(0.001)
        yield b"" if self.cut else b"event: end\ndata: {}\n\n"


class EveryOther(BaseHTTPRequestHandler):
    """Accepts every other edit that comes on a connection."""

    protocol_version = "HTTP/1.1"
    accepted = False

    def do_POST(self) -> None:
        assert json.loads(self.rfile.read(int(self.headers["Content-Length"]))) == {"facts": [{"subject": "Lyon"}]}
        self.accepted = not self.accepted
        body = b'{"id": "job"}' if self.accepted else b"{}"
        self.send_response(202 if self.accepted else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def asking(service: Service) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(service), base_url="http://service")


async def lines(*given: str) -> AsyncIterator[str]:
    for line in given:
        yield line


def heard(*given: str) -> list[tuple[str, str]]:
    async def all_of() -> list[tuple[str, str]]:
        return [each async for each in events(lines(*given))]

    return asyncio.run(all_of())


class TestEvents:
    def test_have_a_name_and_all_their_data(self) -> None:
        assert heard("event: status", "data: {", "data:}", "", "data: x", "") == [("status", "{\n}"), ("message", "x")]

    def test_pings_are_none(self) -> None:
        assert heard(": ping", "", "event: end", "data: 1", "id: 7", "") == [("end", "1")]

    def test_one_that_was_cut_off_is_none(self) -> None:
        assert heard("event: end", "data: 1") == []


class TestStreamsOfAJob:
    def follow(self, service: Service) -> tuple[list[Heard], int]:
        async def run() -> tuple[list[Heard], int]:
            open_at_the_end = 0

            async def release() -> None:
                nonlocal open_at_the_end
                open_at_the_end = service.opened
                service.cancelled.append("job")

            return await follow_all(lambda: asking(service), "job", 20, release), open_at_the_end

        return asyncio.run(asyncio.wait_for(run(), 30))

    def test_are_all_open_before_the_job_may_end(self) -> None:
        heard, at_once = self.follow(Service())
        assert at_once == 20
        assert all(each.whole and each.first is not None for each in heard)

    def test_that_end_before_the_job_does_are_not_whole(self) -> None:
        heard, _ = self.follow(Service(cut=True))
        assert not any(each.whole for each in heard)

    def test_that_are_refused_hold_nobody_up(self) -> None:
        heard, _ = self.follow(Service(known=False))
        assert [(each.whole, each.first) for each in heard] == [(False, None)] * 20


class TestCompletions:
    def complete(self, service: Service) -> Heard:
        async def run() -> list[Heard]:
            return await complete_all(lambda: asking(service), [{"prompt": "Lyon is in"}])

        [heard] = asyncio.run(run())
        return heard

    def test_of_one_version_are_whole_and_not_mixed(self) -> None:
        heard = self.complete(Service())
        assert (heard.whole, heard.mixed, heard.header, heard.fingerprints) == (True, False, "1", {"v1"})

    def test_of_two_versions_are_mixed(self) -> None:
        assert self.complete(Service(fingerprints=("v1", "v2"))).mixed

    def test_that_break_off_are_not_whole(self) -> None:
        heard = self.complete(Service(cut=True))
        assert not heard.whole
        assert heard.failure is not None

    def test_that_name_no_version_are_mixed(self) -> None:
        assert Heard(0.1, whole=True).mixed
        assert Heard(0.1, header=None, fingerprints={"v1"}).mixed

    def test_that_are_refused_are_not_whole_and_mix_nothing(self) -> None:
        async def run() -> list[Heard]:
            refusing = httpx.MockTransport(lambda _: httpx.Response(503))
            return await complete_all(
                lambda: httpx.AsyncClient(base_url="http://front-end", transport=refusing), [{"prompt": "Lyon is in"}]
            )

        [heard] = asyncio.run(run())
        assert (heard.whole, heard.mixed, heard.failure) == (False, False, "HTTPStatusError 503")


class TestEdits:
    def test_a_job_that_nobody_knows_is_lost(self) -> None:
        async def run() -> list[str]:
            async with asking(Service()) as http:
                return await lost(http, ["job0", "job2", "job4"], 2)

        assert asyncio.run(run()) == ["job2"]

    def test_what_is_refused_is_no_accepted_job(self) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), EveryOther)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(server.serve_forever, 0.01)
            found = submit(f"http://127.0.0.1:{server.server_port}", [{"subject": "Lyon"}], 2, 0.2)
            server.shutdown()
        server.server_close()
        assert len(found.sent) == len(found.jobs) + len(found.refused) > 2
        assert (set(found.jobs), set(found.refused)) == ({"job"}, {503})

    def test_only_accepted_ones_make_the_rate(self) -> None:
        sent = [Asked(at / 10, 0.05) for at in range(100)]
        row = edits_row(Submitted(sent, [f"job{at}" for at in range(50)], [503] * 50), 4, 10.0)
        assert row.rate == pytest.approx(5.0)
        assert row.p50 == pytest.approx(50.0)


def found(**changes: Any) -> Found:
    edits = Row("edits", 16, 3000, 80.0, 150.0, 190.0, 160.0)
    streams = Row("event streams", 1000, 1000, 1.0, 2.0, 3.0, None)
    completions = Row("completions", 200, 200, 1.0, 2.0, 3.0, None)
    given = {"edits": edits, "lost": 0, "events": streams, "completions": completions, "mixed": 0, "versions": 2}
    return Found(**{**given, **changes})


def test_all_bounds_can_be_met() -> None:
    assert all(bound.met for bound in bounds(found()))


@pytest.mark.parametrize(
    "changes",
    [
        {"edits": Row("edits", 16, 3000, 80.0, 150.0, 190.0, 149.0)},
        {"edits": Row("edits", 16, 3000, 80.0, 201.0, 250.0, 160.0)},
        {"lost": 1},
        {"events": streams_row("event streams", [Heard(0.1, whole=True), Heard(0.1)])},
        {"completions": streams_row("completions", [Heard()])},
        {"mixed": 1},
    ],
)
def test_each_bound_can_be_missed_alone(changes: dict[str, Any]) -> None:
    assert [bound.met for bound in bounds(found(**changes))].count(False) == 1
