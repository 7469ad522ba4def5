"""Requests on the wire: what is sent, what is sent again, what an answer becomes."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

import app.client as package
from app.client import (
    ApiError,
    AsyncClient,
    Client,
    ClientError,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    ServiceUnreachable,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
)
from app.domain.contract import EditBatch, Fact, FactKey, Job, JobStatus, Query, Verify
from app.local.stack import free_port
from tests.support.stand_in import Answering, StandIn, standing_in

JOB = Job(id="a", model="m", status=JobStatus.QUEUED, facts=1).model_dump(mode="json")
LYON = {"subject": "Lyon", "prompt": "{} lies in", "object": "Japan"}


def problem(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    body = {"title": "t", "status": status, "code": code, "detail": "why", "field": "facts.0", "value": [1]}
    return JSONResponse(body, status, headers, "application/problem+json")


def always(response: Callable[[], Response]) -> Answering:
    return lambda _request, _number: response()


def after(first: Callable[[], Response], good: object = JOB, times: int = 1) -> Answering:
    """A first answer, so many times, and then a good one."""
    return lambda _request, number: first() if number < times else JSONResponse(good)


def attempts(end: StandIn, call: Callable[[Client], object]) -> int:
    """How often a request was sent until it was answered well."""
    before = len(end.seen)
    with Client(end.url) as client:
        call(client)
    return len(end.seen) - before


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, InvalidRequest),
            (401, Unauthenticated),
            (403, Forbidden),
            (404, NotFound),
            (409, Conflict),
            (412, Conflict),
            (413, InvalidRequest),
            (422, InvalidRequest),
            (429, TooManyRequests),
            (503, Unavailable),
            (500, ApiError),
        ],
    )
    def test_a_problem_becomes_the_error_of_its_status(self, status: int, kind: type[ApiError]) -> None:
        headers = {"Retry-After": "0", "X-Request-ID": "r1"}
        with (
            standing_in(always(lambda: problem(status, "some_code", headers))) as end,
            Client(end.url) as client,
            pytest.raises(ApiError) as caught,
        ):
            client.models()
        error = caught.value
        assert type(error) is kind
        assert (error.status, error.code, error.detail, error.field, error.value) == (
            status,
            "some_code",
            "why",
            "facts.0",
            [1],
        )
        assert (error.retry_after, error.request_id) == (0.0, "r1")
        assert "some_code: why (facts.0)" in str(error)

    def test_all_that_is_wrong_with_a_request_is_kept(self) -> None:
        found = [{"field": "facts.0.subject", "code": "missing", "detail": "Field required"}]
        body = {
            "title": "t",
            "status": 422,
            "code": "invalid_request",
            "detail": "d",
            "errors": found,
            "errors_total": 1,
        }
        with (
            standing_in(always(lambda: JSONResponse(body, 422))) as end,
            Client(end.url) as client,
            pytest.raises(InvalidRequest) as caught,
        ):
            client.edit({})
        assert [each.field for each in caught.value.errors] == ["facts.0.subject"]

    def test_a_proxys_page_is_told_by_its_status(self) -> None:
        page = PlainTextResponse("<h1>Bad Gateway</h1>" + "x" * 5000, 502)
        with (
            standing_in(always(lambda: page)) as end,
            Client(end.url, attempts=1) as client,
            pytest.raises(ApiError, match="bad_gateway: <h1>Bad") as caught,
        ):
            client.models()
        assert len(caught.value.detail) == 200

    def test_another_service_is_no_answer(self) -> None:
        with (
            standing_in(always(lambda: PlainTextResponse("hello"))) as end,
            Client(end.url) as client,
            pytest.raises(UnexpectedAnswer),
        ):
            client.models()

    def test_nobody_is_told_as_such_and_no_password_is(self) -> None:
        with (
            Client(f"http://user:secret@127.0.0.1:{free_port()}") as client,
            pytest.raises(ServiceUnreachable) as caught,
        ):
            client.edit(LYON)
        assert "127.0.0.1" in str(caught.value)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("url", ["localhost:8000", "ftp://a", "http://", "http://a:port", ""])
    def test_what_is_no_url_is_refused(self, url: str) -> None:
        for kind in (Client, AsyncClient):
            with pytest.raises(ClientError):
                kind(url)

    @pytest.mark.parametrize("key", ["", " ", "a\nb", "schlüssel"])
    def test_what_is_no_key_is_refused_and_not_quoted(self, key: str) -> None:
        with pytest.raises(ClientError) as caught:
            Client(key=key)
        assert not key.strip() or key not in str(caught.value)


class TestAttempts:
    def test_what_is_read_is_read_again(self) -> None:
        for first in (
            lambda: problem(503, "unavailable"),
            lambda: problem(429, "too_many"),
            lambda: Response(status_code=502),
        ):
            with standing_in(after(first, {"models": []}, times=2)) as end:
                assert attempts(end, lambda client: client.models()) == 3

    def test_a_change_is_sent_again_under_the_same_key(self) -> None:
        for first in (lambda: problem(503, "unavailable"), lambda: problem(409, "request_in_flight")):
            with standing_in(after(first)) as end:
                assert attempts(end, lambda client: client.edit(LYON)) == 2
                keys = [request.headers["Idempotency-Key"] for request in end.seen]
                assert keys[0] == keys[1]
                attempts(end, lambda client: client.edit(LYON))
                assert end.seen[-1].headers["Idempotency-Key"] != keys[0]

    def test_all_changes_have_a_key_and_the_callers_if_given(self) -> None:
        changes: list[Callable[[Client], object]] = [
            lambda client: client.edit(LYON, idempotency_key="k"),
            lambda client: client.rollback("m", 0, idempotency_key="k"),
            lambda client: client.revert("m", [(1, 0)], idempotency_key="k"),
            lambda client: client.revert_edit("a", idempotency_key="k"),
            lambda client: client.export("m", "peft", idempotency_key="k"),
            lambda client: client.publish("m", "proposed-00000001", idempotency_key="k"),
            lambda client: client.drop("m", "proposed-00000001", idempotency_key="k"),
        ]
        with standing_in(always(lambda: JSONResponse(JOB))) as end, Client(end.url) as client:
            for change in changes:
                change(client)
            assert [request.headers["Idempotency-Key"] for request in end.seen] == ["k"] * len(changes)

    def test_other_refusals_are_final(self) -> None:
        for first in (lambda: problem(409, "conflict"), lambda: problem(422, "x"), lambda: problem(500, "internal")):
            with standing_in(always(first)) as end:
                with pytest.raises(ApiError):
                    attempts(end, lambda client: client.edit(LYON))
                assert len(end.seen) == 1

    def test_questions_and_cancels_are_sent_once(self) -> None:
        with standing_in(always(lambda: problem(503, "unavailable"))) as end:
            for call in (lambda c: c.query("a"), lambda c: c.generate("a"), lambda c: c.chat("a")):
                with pytest.raises(Unavailable):
                    attempts(end, call)
            assert len(end.seen) == 3

    def test_there_is_an_end_to_it(self) -> None:
        with standing_in(always(lambda: problem(503, "unavailable"))) as end:
            with pytest.raises(Unavailable):
                attempts(end, lambda client: client.models())
            assert len(end.seen) == 3

    def test_awaiting_does_the_same(self) -> None:
        async def edited(url: str) -> str:
            async with AsyncClient(url) as client:
                return (await client.edit(LYON)).id

        with standing_in(after(lambda: problem(503, "unavailable"), times=2)) as end:
            assert asyncio.run(edited(end.url)) == "a"
            assert len({request.headers["Idempotency-Key"] for request in end.seen}) == 1
            assert len(end.seen) == 3


class TestRequests:
    def sent(self, call: Callable[[Client], object], key: str | None = None) -> tuple[Request, Any]:
        """A request and its body."""
        with standing_in(always(lambda: JSONResponse(JOB | {"answers": [], "version": 1}))) as end:
            with Client(end.url, key) as client:
                call(client)
            return end.seen[0], json.loads(end.bodies[0] or b"null")

    def test_facts_may_be_models_or_fields(self) -> None:
        fact = Fact(**LYON, paraphrases=("Lyon is in",))
        for given in ([LYON, fact], [fact], fact, LYON):
            request, body = self.sent(lambda client, given=given: client.edit(given))  # type: ignore[misc]
            batch = EditBatch.model_validate(body)
            assert request.url.path == "/edits"
            assert {each.object for each in batch.facts} == {"Japan"}

    def test_what_is_not_given_is_not_sent(self) -> None:
        assert self.sent(lambda client: client.edit(LYON))[1] == {"facts": [LYON]}
        _, body = self.sent(lambda c: c.edit(LYON, method="memit", verify=Verify(facts=1.0), strict=False))
        assert body == {"facts": [LYON], "method": "memit", "verify": {"facts": 1.0}, "strict": False}
        assert self.sent(lambda client: client.edit(LYON, propose=True))[1] == {"facts": [LYON], "propose": True}

    def test_text_that_is_no_unicode_reaches_the_service(self) -> None:
        assert self.sent(lambda client: client.edit({**LYON, "object": "\ud800"}))[1]["facts"][0]["object"] == "\ud800"

    def test_the_key_is_a_bearers(self) -> None:
        request, _ = self.sent(lambda client: client.edit(LYON), key="pk-1")
        assert request.headers["Authorization"] == "Bearer pk-1"
        assert "Authorization" not in self.sent(lambda client: client.edit(LYON))[0].headers

    def test_a_condition_is_an_entity_tag(self) -> None:
        request, body = self.sent(lambda client: client.revert("m", [(1, 0), FactKey(version=2, index=3)], if_match=4))
        assert (request.url.path, request.headers["If-Match"]) == ("/models/m/revert", '"4"')
        assert body == {"facts": [{"version": 1, "index": 0}, {"version": 2, "index": 3}]}

    def test_a_proposal_is_decided_at_its_own_path(self) -> None:
        request, body = self.sent(lambda client: client.publish("m", "proposed-00000001", if_match=4))
        assert (request.method, request.url.path) == ("POST", "/models/m/proposals/proposed-00000001/publish")
        assert (request.headers["If-Match"], body) == ('"4"', None)
        request, body = self.sent(lambda client: client.drop("m", "proposed-00000001"))
        assert (request.method, request.url.path) == ("POST", "/models/m/proposals/proposed-00000001/drop")
        assert ("If-Match" in request.headers, body) == (False, None)

    def test_a_name_is_one_part_of_a_path(self) -> None:
        request, _ = self.sent(lambda client: client.rollback("../a b/c?d", 0))
        assert request.scope["raw_path"] == b"/models/..%2Fa%20b%2Fc%3Fd/rollback"

    def test_questions_may_be_texts_fields_or_chats(self) -> None:
        _, body = self.sent(lambda c: c.query(["a", {"prompt": "b", "top_k": 1}], model="m", version=2))
        query = Query.model_validate(body)
        assert ([each.prompt for each in query.prompts], query.version) == (["a", "b"], 2)
        assert self.sent(lambda client: client.query("a"))[1] == {"prompts": [{"prompt": "a"}]}
        _, body = self.sent(lambda client: client.query("a", version="proposed-00000001"))
        assert Query.model_validate(body).version == "proposed-00000001"
        assert self.sent(lambda client: client.query(job="j"))[1] == {"job": "j"}
        _, body = self.sent(lambda client: client.chat("Hello", max_new_tokens=3))
        assert (
            Query.model_validate(body).prompts[0].messages
            == Query.model_validate({"prompts": [{"messages": [{"role": "user", "content": "Hello"}]}]})
            .prompts[0]
            .messages
        )


def test_both_clients_have_the_same_names_and_arguments() -> None:
    def public(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(each).parameters) for name, each in found if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)
    assert public(package.JobHandle) == public(package.AsyncJobHandle)
    assert all(inspect.iscoroutinefunction(getattr(AsyncClient, name)) for name in public(AsyncClient))
