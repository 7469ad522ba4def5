"""Edit logs with real versions, and edits to be accepted."""

from __future__ import annotations

from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from app.domain.contract import EditBatch, EditReport, Fact
from app.domain.log.edit_log import EditLog
from app.domain.manifest import Base, Draft, LoggedFact, Manifest
from app.jobs.journal import AcceptedJob
from app.settings import Settings

LYON = Fact(subject="Lyon", relation="is located in the country of", object="Japan")
OSLO = Fact(subject="Oslo", relation="is located in the country of", object="Peru")
BATCH = EditBatch(facts=(LYON, OSLO), model="atlas")
REPORT = EditReport(
    method="memit",
    plan="boundary",
    layers=(2, 5),
    strict=False,
    hyperparameters={},
    facts=(),
    facts_hold=1.0,
    paraphrases_hold=None,
    neighbours_keep=None,
    update_norms={2: 0.5, 5: 0.25},
    seconds=1.5,
)


def accepted(model: str = "atlas", **more: Any) -> AcceptedJob:
    """The batch, for a model, as a job with an id of its own."""
    batch = BATCH.model_copy(update={"model": model})
    fields = {"job": token_hex(8), "model": model, "change": batch, "accepted": datetime.now(UTC)}
    return AcceptedJob(**{**fields, **more})


def begin(settings: Settings, model: str = "atlas") -> EditLog:
    """The model's log at version 0."""
    log = EditLog(settings.log_dir, model)
    log.create(
        Base(
            model=model,
            source=f"models/{model}",
            modules={2: "h.2.mlp"},
            weights_sha256={2: "0" * 64},
            contexts=("{}",),
            preset={},
            created=datetime.now(UTC),
        )
    )
    return log


def commit(log: EditLog, job: str, *facts: Fact) -> Manifest:
    """One more version, that this job made of these facts."""
    logged = tuple(LoggedFact(subject=fact.subject, prompt=fact.template, object=fact.object) for fact in facts)
    with log.lead() as epoch:
        draft = Draft(
            version=log.head() + 1,
            job=job,
            facts=logged,
            method="memit",
            plan="boundary",
            hyperparameters={},
            report=REPORT,
            epoch=epoch,
        )
        return log.commit(draft, {})
