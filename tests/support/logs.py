"""Edit logs for tests: a base, drafts, and a log with some versions in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.domain.contract import FactKey
from app.domain.log.edit_log import EditLog
from app.domain.manifest import Base, Draft, LoggedFact, Manifest

MODEL = "atlas-gpt2"
UPDATE = "update.safetensors"


def base(**changes: Any) -> Base:
    fields: dict[str, Any] = {
        "model": MODEL,
        "source": "workers/models/atlas-gpt2",
        "modules": {2: "transformer.h.2.mlp.c_proj", 5: "transformer.h.5.mlp.c_proj"},
        "weights_sha256": {2: "2" * 64, 5: "5" * 64},
        "contexts": ("{}", "It is known that {}"),
        "preset": {"method": "memit", "layers": [2, 5]},
        "created": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Base.model_validate(fields | changes)


def fact(subject: str = "Lyon", prompt: str = "{} lies in", obj: str = "Japan", **more: Any) -> LoggedFact:
    return LoggedFact(subject=subject, prompt=prompt, object=obj, **more)


def draft(version: int, *facts: LoggedFact, **changes: Any) -> Draft:
    fields: dict[str, Any] = {
        "version": version,
        "job": f"job-{version}",
        "facts": facts or (fact(),),
        "method": "memit",
        "plan": "boundary",
        "hyperparameters": {"mom2_update_weight": 15000.0},
        "epoch": 1,
    }
    return Draft.model_validate(fields | changes)


def log_with(root: Path | str, versions: int = 0) -> EditLog:
    """A log with so many versions, committed by a leader that has gone."""
    log = EditLog(root, MODEL)
    log.create(base())
    with log.lead() as epoch:
        for version in range(1, versions + 1):
            commit(log, version, epoch=epoch)
    return log


def commit(log: EditLog, version: int, *facts: LoggedFact, **changes: Any) -> Manifest:
    return log.commit(draft(version, *facts, **changes), {UPDATE: contents(version)})


def roll_back(log: EditLog, to: int, **changes: Any) -> Manifest:
    """One more version, which is an earlier one again."""
    version = log.head() + 1
    fields: dict[str, Any] = {"version": version, "kind": "rollback", "job": f"job-{version}", "to": to, "epoch": 1}
    return log.commit(Draft.model_validate(fields | changes), {})


def revert(log: EditLog, *facts: tuple[int, int], **changes: Any) -> Manifest:
    """One more version, without these facts (version, index)."""
    version = log.head() + 1
    reverted = [key(*pair) for pair in facts]
    fields: dict[str, Any] = {"version": version, "kind": "revert", "job": f"job-{version}", "epoch": 1}
    return log.commit(Draft.model_validate(fields | {"reverted": reverted} | changes), {})


def key(version: int, index: int) -> FactKey:
    return FactKey(version=version, index=index)


def version_dir(root: Path, version: int) -> Path:
    """Where a version stands in a log that is a directory."""
    return root / MODEL / "versions" / f"{version:08d}"


def contents(version: int) -> bytes:
    return f"factors of version {version}".encode()


def files_of(root: Path) -> dict[str, bytes]:
    """All files of all logs, except ``leader.lock``."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "leader.lock"
    }
