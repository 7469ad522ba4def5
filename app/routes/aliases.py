"""Aliases: names that point to a version, such as `production`, and how they are moved."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Path, Response, status

from app.access.caller import Scope
from app.access.requires import requires
from app.aliases import IF_NONE_MATCH, MoveConditions
from app.dependencies import AliasesDep
from app.domain.contract import Alias, AliasList, AliasMove, AliasName, MoveAlias
from app.domain.errors import (
    BodyTooLarge,
    CompactedVersion,
    Conflict,
    DamagedVersion,
    ModelUnavailable,
    PreconditionFailed,
    PreconditionRequired,
    Unavailable,
    UnknownAlias,
    UnknownModel,
    UnknownVersion,
    UnprovenVersion,
)
from app.error_handlers import problems
from app.jobs.entity_tags import ETAG, IF_MATCH, entity_tag
from app.routes import examples

router = APIRouter(tags=["aliases"], dependencies=[requires(Scope.QUERY)])

AliasPath = Annotated[AliasName, Path()]

ANY_MOVE = (
    Conflict,
    DamagedVersion,
    ModelUnavailable,
    PreconditionFailed,
    PreconditionRequired,
    Unavailable,
    UnknownModel,
)


async def _conditions(
    if_match: Annotated[
        str | None,
        Header(
            alias=IF_MATCH,
            description="The version in quotes that the alias points to, as its `ETag` has it, or `*`. It is moved "
            "only from there; needed for one that is there.",
        ),
    ] = None,
    if_none_match: Annotated[
        str | None, Header(alias=IF_NONE_MATCH, description="`*`: only if there is no such alias yet.")
    ] = None,
) -> MoveConditions:
    return MoveConditions(if_match, if_none_match)


ConditionsDep = Annotated[MoveConditions, Depends(_conditions)]


@router.get("/models/{model}/aliases", responses=problems(DamagedVersion, UnknownModel))
def list_aliases(aliases: AliasesDep) -> AliasList:
    """The model's aliases by name, and the version that each points to."""
    return aliases.listed()


@router.get("/models/{model}/aliases/{alias}", responses=problems(DamagedVersion, UnknownAlias, UnknownModel))
def show_alias(aliases: AliasesDep, alias: AliasPath, response: Response) -> Alias:
    """One alias with its last moves: who had it point where, and when. Its ``ETag`` is the version."""
    return _tagged(aliases.shown(alias), response)


@router.put(
    "/models/{model}/aliases/{alias}",
    dependencies=[requires(Scope.PUBLISH)],
    responses={
        int(status.HTTP_201_CREATED): {"model": Alias, "description": "It is new."},
        **problems(BodyTooLarge, CompactedVersion, UnknownVersion, UnprovenVersion, *ANY_MOVE),
    },
)
def move_alias(
    alias: AliasPath,
    target: Annotated[MoveAlias, Body(openapi_examples=examples.ALIASES)],
    aliases: AliasesDep,
    conditions: ConditionsDep,
    response: Response,
) -> Alias:
    """Have an alias point to a version, durably and at once: whoever asks `<model>@<name>` next is answered from it.

    One that is there is moved with `If-Match: "<version it points to>"` (without: 428), and if it points elsewhere by
    now, not at all (412). One that is not there needs no header. Where inference servers follow the model, to a version
    only once they have proven it (409); back to one that the alias pointed to before, always.
    """
    moved, new = aliases.move(alias, target.version, conditions)
    response.status_code = status.HTTP_201_CREATED if new else status.HTTP_200_OK
    return _tagged(moved, response)


@router.delete(
    "/models/{model}/aliases/{alias}",
    dependencies=[requires(Scope.PUBLISH)],
    responses=problems(UnknownAlias, *ANY_MOVE),
)
def remove_alias(alias: AliasPath, aliases: AliasesDep, conditions: ConditionsDep) -> AliasMove:
    """Have an alias point nowhere, under the same conditions; the answer is its last move."""
    return aliases.remove(alias, conditions)


def _tagged(found: Alias, response: Response) -> Alias:
    response.headers[ETAG] = entity_tag(found.version)
    return found
