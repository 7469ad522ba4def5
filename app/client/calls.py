"""Requests and what their answers are, as values: the client that waits and the one that awaits send the same ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from app.client.errors import UnexpectedAnswer, error_of
from app.domain.contract import (
    FactKey,
    FactList,
    GenerateReply,
    ImportReport,
    Job,
    JobList,
    ModelList,
    Proposal,
    ProposalList,
    QueryReply,
    VersionDetail,
    VersionDiff,
    VersionList,
)

ReplyT = TypeVar("ReplyT", bound=BaseModel)

JSON = "application/json"
JSON_LINES = "application/x-ndjson"
IDEMPOTENCY_KEY = "Idempotency-Key"
IF_MATCH = "If-Match"

Item = BaseModel | Mapping[str, Any]
"""A part of a request: a model of the contract, or a dict of its fields."""


@dataclass(frozen=True, slots=True)
class Call(Generic[ReplyT]):
    """One request.

    reply: what a good answer is parsed as.
    repeatable: sending it twice does what sending it once does, so that it may be sent again after a broken connection.
    """

    method: str
    path: str
    reply: type[ReplyT]
    params: Mapping[str, str | int | bool] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    repeatable: bool = False

    def parsed(self, response: httpx.Response) -> ReplyT:
        """What a response says.

        Raises:
            ApiError: it is a refusal. UnexpectedAnswer: it is none of ours.
        """
        if not response.is_success:
            raise error_of(response)
        try:
            return self.reply.model_validate_json(response.content)
        except ValidationError as error:
            raise UnexpectedAnswer(
                f"{self.method} {self.path}: {error.error_count()} fields are not as known"
            ) from None


JobCall = Call[Job]


def get(path: str, reply: type[ReplyT], **params: object) -> Call[ReplyT]:
    """Something to read. Parameters that are None are left out."""
    return Call("GET", path, reply, _given(params), repeatable=True)


def ask(path: str, reply: type[ReplyT], body: Mapping[str, Any]) -> Call[ReplyT]:
    """A question: it changes nothing, and costs what it costs, so that it is not sent again unasked."""
    return Call("POST", path, reply, headers={"Content-Type": JSON}, content=json_body(body))


def change(
    path: str, body: Mapping[str, Any] | None, key: str | None, if_match: int | None, method: str = "POST"
) -> Call[Job]:
    """A request for a job. It has an Idempotency-Key, the caller's or its own, and so may be sent again."""
    headers = {IDEMPOTENCY_KEY: key or token_hex(16)}
    if if_match is not None:
        headers[IF_MATCH] = f'"{if_match}"'
    if body is None:
        return Call(method, path, Job, headers=headers, repeatable=True)
    return Call(method, path, Job, headers={**headers, "Content-Type": JSON}, content=json_body(body), repeatable=True)


# --- what is there -------------------------------------------------------------------------------


def models() -> Call[ModelList]:
    """All models."""
    return get("/models", ModelList)


def versions(model: str, limit: int | None, before: int | None) -> Call[VersionList]:
    """A model's history, or a part of it."""
    return get(f"/models/{part(model)}/versions", VersionList, limit=limit, before=before)


def version(model: str, number: int) -> Call[VersionDetail]:
    """One version."""
    return get(f"/models/{part(model)}/versions/{number}", VersionDetail)


def diff(model: str, old: int, new: int) -> Call[VersionDiff]:
    """What lies between two versions."""
    return get(f"/models/{part(model)}/versions/diff", VersionDiff, **{"from": old, "to": new})


def facts(model: str, at: int | None) -> Call[FactList]:
    """The facts in force at a version, by default the newest."""
    return get(f"/models/{part(model)}/facts", FactList, version=at)


def proposals(model: str) -> Call[ProposalList]:
    """The edits that wait for approval."""
    return get(_proposals(model), ProposalList)


def proposal(model: str, proposal_id: str) -> Call[Proposal]:
    """One of them."""
    return get(f"{_proposals(model)}/{part(proposal_id)}", Proposal)


def jobs(model: str | None, status: str | None, limit: int, after: str | None) -> Call[JobList]:
    """The latest jobs."""
    return get("/jobs", JobList, model=model, status=status, limit=limit, after=after)


def job(job_id: str) -> Call[Job]:
    """One job."""
    return get(job_path(job_id), Job)


def job_path(job_id: str) -> str:
    """Where a job is."""
    return f"/jobs/{part(job_id)}"


# --- questions -----------------------------------------------------------------------------------


def query(prompts: str | Item | Sequence[str | Item], options: Mapping[str, Any]) -> Call[QueryReply]:
    """Questions; what is given as a text is a prompt."""
    listed = [prompts] if isinstance(prompts, str | BaseModel | Mapping) else list(prompts)
    asked = [{"prompt": each} if isinstance(each, str) else _fields(each) for each in listed]
    body = {"prompts": asked, **options} if asked else options
    return ask("/query", QueryReply, _given(body))


def chat(messages: str | Sequence[Item], asked: Mapping[str, Any], options: Mapping[str, Any]) -> Call[QueryReply]:
    """A reply to messages; a text is the user's. asked: how the prompt is to be answered."""
    turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else [_fields(m) for m in messages]
    return query({"messages": turns, **_given(asked)}, options)


def generate(prompts: str | Sequence[str], options: Mapping[str, Any]) -> Call[GenerateReply]:
    """Free text."""
    listed = [prompts] if isinstance(prompts, str) else list(prompts)
    return ask("/generate", GenerateReply, _given({"prompts": listed, **options}))


# --- changes -------------------------------------------------------------------------------------


def edit(batch: Sequence[Item] | Item, options: Mapping[str, Any], key: str | None, if_match: int | None) -> Call[Job]:
    """Facts to write."""
    listed = [batch] if isinstance(batch, BaseModel | Mapping) else list(batch)
    body = {"facts": [_fields(each) for each in listed], **_given(options)}
    return change("/edits", body, key, if_match)


def rollback(model: str, to: int, key: str | None, if_match: int | None) -> Call[Job]:
    """Back to a version."""
    return change(f"/models/{part(model)}/rollback", {"to": to}, key, if_match)


def revert(model: str, named: Sequence[FactKey | tuple[int, int]], key: str | None, if_match: int | None) -> Call[Job]:
    """Facts to take out."""
    keys = [each if isinstance(each, FactKey) else FactKey(version=each[0], index=each[1]) for each in named]
    return change(f"/models/{part(model)}/revert", {"facts": [_fields(each) for each in keys]}, key, if_match)


def revert_edit(edit_job: str, key: str | None, if_match: int | None) -> Call[Job]:
    """All facts of an edit to take out."""
    return change(f"/edits/{part(edit_job)}", None, key, if_match, method="DELETE")


def publish(model: str, proposal_id: str, key: str | None, if_match: int | None) -> Call[Job]:
    """A proposal to put in service."""
    return change(f"{_proposals(model)}/{part(proposal_id)}/publish", None, key, if_match)


def drop(model: str, proposal_id: str, key: str | None, if_match: int | None) -> Call[Job]:
    """A proposal to throw away."""
    return change(f"{_proposals(model)}/{part(proposal_id)}/drop", None, key, if_match)


def export(model: str, form: str, at: int | None, gguf_type: str | None, key: str | None) -> Call[Job]:
    """A version to be written down."""
    body = _given({"format": form, "version": at, "gguf_type": gguf_type})
    return change(f"/models/{part(model)}/exports", body, key, None)


def cancel(job_id: str) -> Call[Job]:
    """A job to end without a trace."""
    return Call("POST", f"{job_path(job_id)}/cancel", Job)


def import_facts(lines: bytes, params: Mapping[str, object], key: str) -> Call[ImportReport]:
    """Facts as JSON lines. A dry run changes nothing."""
    headers = {"Content-Type": JSON_LINES, IDEMPOTENCY_KEY: key}
    return Call("POST", "/edits/import", ImportReport, _given(params), headers, lines, repeatable=True)


def _proposals(model: str) -> str:
    return f"/models/{part(model)}/proposals"


def part(name: str) -> str:
    """A name as one part of a path, whatever is in it."""
    return quote(name, safe="@")


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _fields(item: Item) -> Mapping[str, Any]:
    """Its fields as JSON has them; of a model, those that were set."""
    return item.model_dump(mode="json", exclude_unset=True) if isinstance(item, BaseModel) else item


def json_body(body: Mapping[str, Any]) -> bytes:
    """In ASCII: what is no Unicode reaches the service, which says which field it is in."""
    return json.dumps(body, default=_plain).encode("ascii")


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return _fields(value)
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")
