"""A model's history and the facts in force."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.dependencies import LogDep
from app.domain.contract import FactList, Version, VersionList
from app.domain.edit_log import Manifest
from app.domain.errors import DamagedVersion, UnknownModel, UnknownVersion
from app.error_handlers import problems

router = APIRouter(tags=["models"])


@router.get("/models/{model}/versions", responses=problems(DamagedVersion, UnknownModel))
def list_versions(log: LogDep) -> VersionList:
    """The model's history, from its base, version 0, to the newest version."""
    edits = [_version(manifest) for manifest in log.manifests()]
    base = Version(version=0, kind="base", created=log.base().created)
    return VersionList(model=log.model, head=len(edits), versions=(base, *edits))


@router.get("/models/{model}/facts", responses=problems(DamagedVersion, UnknownModel, UnknownVersion))
def list_facts(log: LogDep, version: Annotated[int | None, Query(ge=0)] = None) -> FactList:
    """The facts in force at a version, by default the newest, in the order in which they were written."""
    at = log.head() if version is None else version
    return FactList(model=log.model, version=at, facts=log.facts_in_force(at))


def _version(manifest: Manifest) -> Version:
    report = manifest.report
    return Version(
        version=manifest.version,
        kind=manifest.kind,
        job=manifest.job,
        created=manifest.created,
        method=manifest.method,
        plan=manifest.plan,
        facts=len(manifest.facts),
        facts_hold=report.facts_hold if report else None,
        update_norms=report.update_norms if report else {},
    )
