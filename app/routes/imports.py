"""Imports: a data file as people have it becomes edits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response, status

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import ImportingDep
from app.domain.contract import ImportFormat, ImportReport, Name, Unheld
from app.domain.errors import (
    BodyTooLarge,
    InvalidHyperparameter,
    LayerOutOfRange,
    RequestError,
    TooManyProposals,
    UnknownMethod,
    UnknownPlan,
    UnreadableFile,
)
from app.domain.imports.reading import read
from app.error_handlers import problems
from app.jobs.importing import Import
from app.routes import examples
from app.routes.changes import ANY_CHANGE, ConditionsDep

router = APIRouter(tags=["edits"], dependencies=[requires(Scope.EDIT)])

OBJECT = {"type": "object"}
TEXT = {"type": "string"}
MEDIA_TYPES: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "application/json": {"oneOf": [{"type": "array", "items": OBJECT}, OBJECT]},
        "application/x-ndjson": TEXT,
        "application/jsonl": TEXT,
        "text/csv": TEXT,
        "text/tab-separated-values": TEXT,
        "application/octet-stream": {"type": "string", "format": "binary"},
    }
)
"""What a file may come as, with its schema: nothing that a page of another site could send by a form."""


async def _file(request: Request) -> bytes:
    """The body as it is.

    Raises:
        RequestError: it does not come as a file.
    """
    sent_as = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent_as not in MEDIA_TYPES:
        detail = f"Send the file itself as the body, as one of {', '.join(MEDIA_TYPES)}."
        raise RequestError(detail, field="Content-Type", value=sent_as)
    return await request.body()


@router.post(
    "/edits/import",
    status_code=status.HTTP_202_ACCEPTED,
    responses={
        status.HTTP_200_OK: {"model": ImportReport, "description": "Of a dry run: nothing was queued."},
        status.HTTP_202_ACCEPTED: {"description": "The facts are queued; the answer has their jobs."},
        **problems(
            BodyTooLarge,
            InvalidHyperparameter,
            LayerOutOfRange,
            TooManyProposals,
            UnknownMethod,
            UnknownPlan,
            UnreadableFile,
            *ANY_CHANGE,
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": schema, "examples": examples.FILES[kind]} for kind, schema in MEDIA_TYPES.items()
            },
        }
    },
)
def import_facts(
    file: Annotated[bytes, Depends(_file)],
    importing: ImportingDep,
    conditions: ConditionsDep,
    request: Request,
    response: Response,
    file_format: Annotated[ImportFormat, Query(alias="format")] = ImportFormat.AUTO,
    dry_run: Annotated[bool, Query(description="Only say what could be used.")] = False,
    model: Annotated[Name | None, Query(description="May be left out when one model is served.")] = None,
    limit: Annotated[int | None, Query(ge=1, description="At most so many facts.")] = None,
    chat: Annotated[bool, Query(description="The prompts are a user's turns; the objects begin replies.")] = False,
    method: Annotated[str | None, Query(max_length=40)] = None,
    plan: Annotated[str | None, Query(max_length=40)] = None,
    strict: Annotated[bool, Query(description="Behave exactly as the published code does.")] = False,
    unheld: Annotated[Unheld, Query(description="What becomes of facts that do not hold.")] = "drop",
    propose: Annotated[bool, Query(description="Each batch waits as a proposal, and makes no version.")] = False,
) -> ImportReport:
    """Queue the facts of a data file: CounterFact, EasyEdit, zsRE and others, CSV, TSV, or facts as `POST /edits` has.

    Records that cannot be used are left out, and the answer says which and why. The rest is queued in batches, each a
    job and, if it succeeds, a version (or, with `propose`, a proposal). A dry run says the same, and queues nothing.
    """
    wanted = Import(
        read(file, file_format, chat=chat),
        model,
        {"method": method, "plan": plan, "strict": strict, "unheld": unheld, "propose": propose},
        limit,
    )
    if dry_run:
        response.status_code = status.HTTP_200_OK
        return importing.dry_run(wanted)
    asked = f"import {request.url.query}\n".encode()
    return importing.queue(wanted, conditions, hashlib.sha256(asked + file).hexdigest())
