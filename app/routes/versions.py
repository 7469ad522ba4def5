"""A model's history: its versions, what lies between them, and the facts in force."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import FleetDep, LogDep
from app.domain.contract import ChangedFact, FactDiff, FactList, Version, VersionDetail, VersionDiff, VersionList
from app.domain.errors import DamagedVersion, UnknownModel, UnknownVersion
from app.domain.history.history import FactChanges
from app.domain.log.reader import LogReader
from app.domain.manifest import Manifest
from app.error_handlers import problems
from app.jobs.entity_tags import ETAG, entity_tag

router = APIRouter(tags=["models"], dependencies=[requires(Scope.QUERY)])

MOST_VERSIONS = 1000
"""Of one answer: a log has many more, and each is a manifest to read."""

REFUSALS = problems(DamagedVersion, UnknownModel, UnknownVersion)


@router.get("/models/{model}/versions", responses=problems(DamagedVersion, UnknownModel))
def list_versions(
    log: LogDep,
    response: Response,
    before: Annotated[int | None, Query(ge=1, description="List what comes before this version.")] = None,
    limit: Annotated[
        int, Query(ge=1, le=MOST_VERSIONS, description="At most so many, the newest ones.")
    ] = MOST_VERSIONS,
) -> VersionList:
    """The model's history up to the newest version, which is its ``ETag``; the oldest is its base, version 0."""
    head, manifests = log.latest(limit, before)
    versions = [_version(manifest) for manifest in manifests]
    reached = not versions or versions[0].version == 1
    if reached and len(versions) < limit:
        versions.insert(0, _base(log))
    response.headers[ETAG] = entity_tag(head)
    return VersionList(model=log.model, head=head, versions=tuple(versions), has_more=versions[0].version > 0)


@router.get("/models/{model}/versions/diff", responses=REFUSALS)
def show_diff(
    log: LogDep,
    fleet: FleetDep,
    old: Annotated[int, Query(ge=0, alias="from")],
    new: Annotated[int, Query(ge=0, alias="to")],
) -> VersionDiff:
    """What lies between two versions, in either order: facts added, changed, taken out; norms of the change."""
    history = log.history(max(old, new))
    facts, norms = _diff(history.changes(old, new)), history.update_norms(old, new)
    if norms is None:
        norms = fleet.update_norms(log.model, old, new)
    return VersionDiff(model=log.model, old=old, new=new, facts=facts, update_norms=norms)


@router.get("/models/{model}/versions/{version}", responses=REFUSALS)
def show_version(log: LogDep, version: Annotated[int, Path(ge=0)]) -> VersionDetail:
    """One version: its kind and job, what it changed, its report."""
    if version == 0:
        return VersionDetail(**_base(log).model_dump())
    manifest, history = log.manifest(version), log.history(version)
    return VersionDetail(
        **_version(manifest).model_dump(),
        to=manifest.to,
        facts_in_force=len(history.facts(version)),
        changes=_diff(history.changes(version - 1, version)),
        strict=manifest.strict,
        hyperparameters=manifest.hyperparameters,
        report=manifest.report,
        in_force=manifest.in_force,
        proposal=manifest.proposal,
        approved_by=manifest.approved_by,
        epoch=manifest.epoch,
        parent=manifest.parent,
        bytes=sum(record.size for record in manifest.files.values()),
        compacted=version < log.compacted_before(),
    )


@router.get("/models/{model}/facts", responses=REFUSALS)
def list_facts(log: LogDep, response: Response, version: Annotated[int | None, Query(ge=0)] = None) -> FactList:
    """The facts in force at a version, by default the newest, in the order in which they were written.

    ``ETag`` is the version.
    """
    at = log.at(version)
    response.headers[ETAG] = entity_tag(at.version)
    return FactList(model=log.model, version=at.version, facts=at.facts_in_force())


def _base(log: LogReader) -> Version:
    return Version(version=0, kind="base", created=log.base().created)


def _version(manifest: Manifest) -> Version:
    told = manifest.report or manifest.in_force
    return Version(
        version=manifest.version,
        kind=manifest.kind,
        job=manifest.job,
        by=manifest.by,
        created=manifest.created,
        method=manifest.method,
        plan=manifest.plan,
        facts=len(manifest.facts),
        facts_hold=told.facts_hold if told else None,
        update_norms=told.update_norms if told else {},
    )


def _diff(changes: FactChanges) -> FactDiff:
    return FactDiff(
        added=tuple(held.view() for held in changes.added),
        changed=tuple(ChangedFact(before=before.view(), after=after.view()) for before, after in changes.changed),
        taken_out=tuple(held.view() for held in changes.taken_out),
    )
