"""What becomes of a job, as it happens: a stream of server-sent events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response, status
from sse_starlette import EventSourceResponse

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import CallerDep, WatchDep
from app.domain.contract import JobId
from app.domain.errors import UnknownJob
from app.error_handlers import problems
from app.jobs.queue.glances import StepId
from app.jobs.watched_job import LAST

router = APIRouter(tags=["jobs"], dependencies=[requires(Scope.QUERY)])

EVENTS = """\
`status`: the job without its reports, at once and whenever its status or its place in the queue changes.
`progress`: a step that its worker has reported. `end`: the whole job; then the stream ends.
"""
EVENT = {
    "type": "object",
    "description": "One event.",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["status", "progress", "end"]},
        "data": {"type": "string", "description": "A `Job` as JSON, or a `Progress`."},
        "id": {"type": "string", "description": "What `Last-Event-ID` goes on from; a status has none."},
    },
}
PING_S = 15
GRACE_S = 2
"""For which a front end that is told to stop waits until its streams have come to an end."""


@router.get(
    "/jobs/{job}/events",
    response_class=Response,
    responses={
        status.HTTP_200_OK: {"description": EVENTS, "content": {"text/event-stream": {"schema": EVENT}}},
        status.HTTP_204_NO_CONTENT: {"description": "The last event was `end`: there is no more to come."},
        **problems(UnknownJob),
    },
)
async def follow_job(
    job: JobId,
    watch: WatchDep,
    caller: CallerDep,
    last: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            pattern=rf"^([0-9]{{1,20}}-[0-9]{{1,20}}|{LAST})$",
            description="The id of the last event that was heard: the steps after it are told again.",
        ),
    ] = None,
) -> Response:
    """Follow a job until it ends: its place in the queue, its steps with layer and loss, its end.

    Without `Last-Event-ID` the steps before are told as well, but of a job that has ended only the end.
    """
    found = await watch.find(job, caller)
    if last == LAST and found.status.final:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    after = None if last in (None, LAST) else StepId.of(last)
    events = watch.follow(found, after)
    return EventSourceResponse(events, ping=PING_S, shutdown_event=watch.stopping, shutdown_grace_period=GRACE_S)
