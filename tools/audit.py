"""``python -m tools.audit``: known vulnerabilities of the pinned packages, as OSV has them; pip-audit asks.

Exit status 1 for a finding that ``accepted_findings.toml`` does not accept, and for an acceptance whose day is over. If
OSV cannot be reached, that is said, and is no failure: nothing is known of the pins then.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import httpx
import typer
from pydantic import BaseModel, ConfigDict, Field

ROOT = Path(__file__).parents[1]
PINS = ROOT / "constraints.txt"
ACCEPTED = Path(__file__).with_name("accepted_findings.toml")
OSV = "https://api.osv.dev/v1/query"
TIMEOUT_S = 15.0


class Acceptance(BaseModel):
    """A finding that somebody decided to live with, why, and until which day, that day included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    until: date


class _Accepted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    accepted: tuple[Acceptance, ...] = ()


class _Vulnerability(BaseModel):
    """What pip-audit says of one."""

    id: str
    aliases: tuple[str, ...] = ()
    fix_versions: tuple[str, ...] = ()
    description: str = ""

    @property
    def names(self) -> set[str]:
        return {self.id, *self.aliases}


class _Package(BaseModel):
    name: str
    version: str | None = None
    skip_reason: str | None = None
    vulns: tuple[_Vulnerability, ...] = ()


class _Answer(BaseModel):
    dependencies: tuple[_Package, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Lines to read, and which of them fail the build."""

    failures: tuple[str, ...]
    notes: tuple[str, ...]


def accepted_findings(path: Path) -> tuple[Acceptance, ...]:
    """The file's acceptances.

    Raises:
        pydantic.ValidationError, tomllib.TOMLDecodeError: it is not as its head says.
    """
    return _Accepted.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).accepted


def judge(packages: Sequence[_Package], accepted: Sequence[Acceptance], today: date) -> Verdict:
    """What fails: findings that nobody accepted, pins that nobody looked at, acceptances that are over."""
    over = {each.id for each in accepted if each.until < today}
    failures = [f"the acceptance of {each.id} ended on {each.until}" for each in accepted if each.id in over]
    notes, met = [], set[str]()
    for package in packages:
        if package.skip_reason is not None:
            failures.append(f"{package.name} was not looked at: {package.skip_reason}")
        for found in package.vulns:
            met |= found.names
            line = _told(package, found)
            reasons = [each.reason for each in accepted if each.id in found.names - over]
            if reasons:
                notes.append(f"accepted: {line} ({reasons[0]})")
            else:
                failures.append(line)
    notes += [f"the acceptance of {each.id} meets nothing any more" for each in accepted if each.id not in met | over]
    return Verdict(tuple(failures), tuple(notes))


def _told(package: _Package, found: _Vulnerability) -> str:
    names = ", ".join([found.id, *found.aliases])
    fixed = f"fixed in {', '.join(found.fix_versions)}" if found.fix_versions else "no fix is known"
    return f"{package.name} {package.version}: {names}, {fixed}: {found.description[:200]}"


def reachable(osv_url: str) -> bool:
    """Whether the service answers at all."""
    query = {"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "26.0"}
    try:
        return httpx.post(osv_url, json=query, timeout=TIMEOUT_S).is_success
    except httpx.HTTPError:
        return False


def findings(pins: Path, osv_url: str) -> Sequence[_Package]:
    """What pip-audit finds.

    Raises:
        RuntimeError: it gave no answer.
    """
    options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    service = ["--vulnerability-service", "osv", "--osv-url", osv_url]
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), *options, *service]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    try:
        return _Answer.model_validate_json(ended.stdout).dependencies
    except ValueError as error:
        raise RuntimeError(f"pip-audit gave no answer:\n{ended.stderr[-2000:]}") from error


def lines(verdict: Verdict) -> Iterator[str]:
    """The verdict for people."""
    yield from verdict.notes
    yield from (f"FAILS: {line}" for line in verdict.failures)


def main(
    pins: Annotated[Path, typer.Option(help="Exact pins, one a line.")] = PINS,
    accepted: Annotated[Path, typer.Option(help="Findings that are lived with.")] = ACCEPTED,
    osv_url: Annotated[str, typer.Option(help="OSV's query API.")] = OSV,
) -> None:
    """Look up the pins."""
    known, today = accepted_findings(accepted), datetime.now(UTC).date()
    looked = reachable(osv_url)
    packages = findings(pins, osv_url) if looked else ()
    verdict = judge(packages, known if looked else [each for each in known if each.until < today], today)
    for line in lines(verdict):
        typer.echo(line)
    if looked:
        typer.echo(f"{len(packages)} pins looked up, {len(verdict.failures)} things to mend")
    else:
        typer.echo(
            f"NOT LOOKED UP: {osv_url} cannot be reached; nothing is known of the pins' vulnerabilities", err=True
        )
    raise typer.Exit(1 if verdict.failures else 0)


if __name__ == "__main__":
    typer.run(main)
