"""``Client``: the service, for programs that wait for its answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from app.client import alias_calls, calls, importing
from app.client.attempts import Attempts
from app.client.calls import Item
from app.client.connection import Connection
from app.client.errors import ApiError
from app.client.handles import JobHandle
from app.client.read_file import ReadFile
from app.domain.contract import (
    Alias,
    AliasList,
    AliasMove,
    ExportFormat,
    FactKey,
    FactList,
    GenerateReply,
    GgufType,
    ImportFormat,
    ImportReport,
    JobList,
    JobStatus,
    ModelList,
    NamedVersion,
    Proposal,
    ProposalList,
    QueryReply,
    Serving,
    Unheld,
    VersionDetail,
    VersionDiff,
    VersionList,
)

DEFAULT_URL = "http://127.0.0.1:8000"


class Client:
    """A running service.

    Args:
        url: where it listens. key: an API key, if it wants one.
        timeout_s: longest wait for one answer. attempts: how often a request is sent at most, where that is safe.

    Every method raises ``ApiError`` for what the service refuses, and ``ServiceUnreachable`` if no answer comes.
    ``idempotency_key``, where a method takes it: under the same key, the same request gets the job of the first one;
    without, each call has one of its own, for its own attempts. ``if_match``: only if the model is at this version.
    """

    def __init__(
        self, url: str = DEFAULT_URL, key: str | None = None, *, timeout_s: float = 120.0, attempts: int = 3
    ) -> None:
        self._connection = Connection(url, key, timeout_s, Attempts(attempts))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    # --- changes ---------------------------------------------------------------------------------

    def edit(
        self,
        facts: Sequence[Item] | Item,
        *,
        model: str | None = None,
        method: str | None = None,
        plan: str | None = None,
        hyperparameters: Item | None = None,
        strict: bool | None = None,
        verify: Item | None = None,
        unheld: Unheld | None = None,
        propose: bool | None = None,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> JobHandle:
        """Write facts, all in one version: ``client.edit([{"subject": ..., "prompt": ..., "object": ...}]).wait()``.

        With ``propose``, or a key that may not publish, it waits as a proposal, which the job then names.
        """
        options = {
            "model": model,
            "method": method,
            "plan": plan,
            "hyperparameters": hyperparameters,
            "strict": strict,
            "verify": verify,
            "unheld": unheld,
            "propose": propose,
        }
        return self._job(calls.edit(facts, options, idempotency_key, if_match))

    def import_file(
        self,
        source: str | Path | bytes,
        *,
        format: ImportFormat | str = ImportFormat.AUTO,  # noqa: A002 - its name in the API
        dry_run: bool = False,
        model: str | None = None,
        limit: int | None = None,
        chat: bool = False,
        method: str | None = None,
        plan: str | None = None,
        unheld: Unheld | None = None,
        propose: bool = False,
        idempotency_key: str | None = None,
        told: importing.Told | None = None,
    ) -> ImportReport:
        """Write the facts of a data file (or of its contents), in as many jobs as it takes.

        ``jobs`` has them, without reports: an import that is sent again finds jobs that have ended.

        Args:
            idempotency_key: with the one of an import that was broken off, this one goes on with it.
            told: hears at first, and after each part, how many facts the service has answered for, and of how many.

        Raises:
            app.domain.errors.RequestError: nothing can be read of the file. OSError: it is not there.
        """
        options = {"model": model, "method": method, "plan": plan, "unheld": unheld, "propose": propose or None}
        with ReadFile(source, ImportFormat(format), chat=chat) as file:
            sending = importing.Sending(file, limit, dry_run=dry_run, key=idempotency_key, told=told, options=options)
            for part in sending.parts():
                try:
                    sending.answered(part, self._connection.send(sending.call(part)))
                except ApiError as error:
                    sending.refused(error)
            return sending.report()

    def rollback(
        self, model: str, to: int, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> JobHandle:
        """Make an earlier version the newest one, again."""
        return self._job(calls.rollback(model, to, idempotency_key, if_match))

    def revert(
        self,
        model: str,
        facts: Sequence[FactKey | tuple[int, int]],
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> JobHandle:
        """Take facts out, each named by its version and its index there, while later ones stay."""
        return self._job(calls.revert(model, facts, idempotency_key, if_match))

    def revert_edit(self, job: str, *, idempotency_key: str | None = None, if_match: int | None = None) -> JobHandle:
        """Take out what is left of an earlier edit."""
        return self._job(calls.revert_edit(job, idempotency_key, if_match))

    def publish(
        self, model: str, proposal: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> JobHandle:
        """Put a proposal in service; with the version that it rests on as ``if_match``, only as it was looked at."""
        return self._job(calls.publish(model, proposal, idempotency_key, if_match))

    def drop(
        self, model: str, proposal: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> JobHandle:
        """Throw a proposal away."""
        return self._job(calls.drop(model, proposal, idempotency_key, if_match))

    def export(
        self,
        model: str,
        format: ExportFormat | str,  # noqa: A002 - its name in the API
        version: int | None = None,
        *,
        gguf_type: GgufType | str | None = None,
        idempotency_key: str | None = None,
    ) -> JobHandle:
        """Write a version down for other programs, on the worker's machine; ``gguf_type`` is for the format gguf."""
        return self._job(calls.export(model, str(format), version, gguf_type, idempotency_key))

    def move_alias(self, model: str, name: str, version: int, *, if_match: int | Literal["*"] | None = None) -> Alias:
        """Have an alias such as ``production`` point to a version; one that is there only from ``if_match``."""
        return self._connection.send(alias_calls.move(model, name, version, if_match))

    def remove_alias(self, model: str, name: str, *, if_match: int | Literal["*"]) -> AliasMove:
        """Have an alias point nowhere; its last move is returned."""
        return self._connection.send(alias_calls.remove(model, name, if_match))

    # --- questions -------------------------------------------------------------------------------

    def query(
        self,
        prompts: str | Item | Sequence[str | Item] = (),
        *,
        model: str | None = None,
        version: NamedVersion | None = None,
        job: str | None = None,
        min_version: int | None = None,
        wait_seconds: float | None = None,
    ) -> QueryReply:
        """Ask a version, an alias or a proposal, by default what is live; with ``job``, for all its facts."""
        options: dict[str, object] = {"model": model, "version": version, "job": job}
        options |= {"min_version": min_version, "wait_seconds": wait_seconds}
        return self._connection.send(calls.query(prompts, options))

    def chat(
        self,
        messages: str | Sequence[Item],
        *,
        model: str | None = None,
        version: NamedVersion | None = None,
        max_new_tokens: int | None = None,
        top_k: int | None = None,
    ) -> QueryReply:
        """What the model replies to messages, greedily; a text is the user's. The reply is the one answer's text."""
        asked = {"max_new_tokens": max_new_tokens, "top_k": top_k}
        return self._connection.send(calls.chat(messages, asked, {"model": model, "version": version}))

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        model: str | None = None,
        version: NamedVersion | None = None,
        chat: bool | None = None,
        max_new_tokens: int | None = None,
        do_sample: bool | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        repetition_penalty: float | None = None,
        num_return_sequences: int | None = None,
        seed: int | None = None,
        min_version: int | None = None,
    ) -> GenerateReply:
        """Free text of a version, by default the live one; the options are those of ``POST /generate``."""
        options: dict[str, object] = {"model": model, "version": version, "chat": chat}
        options |= {"max_new_tokens": max_new_tokens, "min_version": min_version}
        options |= {"do_sample": do_sample, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        options |= {"repetition_penalty": repetition_penalty, "num_return_sequences": num_return_sequences}
        return self._connection.send(calls.generate(prompts, options))

    # --- what is there ---------------------------------------------------------------------------

    def jobs(
        self,
        *,
        model: str | None = None,
        status: JobStatus | str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> JobList:
        """The latest jobs, newest first, without their reports."""
        return self._connection.send(calls.jobs(model, None if status is None else str(status), limit, after))

    def job(self, job: str) -> JobHandle:
        """One job, to look at (``.job``) or to follow."""
        return self._job(calls.job(job))

    def models(self) -> ModelList:
        """What is served, and what was served and still has an edit log."""
        return self._connection.send(calls.models())

    def versions(self, model: str, *, limit: int | None = None, before: int | None = None) -> VersionList:
        """A model's history: its newest versions, by default 1,000 at most; or the newest before one."""
        return self._connection.send(calls.versions(model, limit, before))

    def version(self, model: str, version: int) -> VersionDetail:
        """One version, with what it changed and its report."""
        return self._connection.send(calls.version(model, version))

    def diff(self, model: str, old: int, new: int) -> VersionDiff:
        """What lies between two versions."""
        return self._connection.send(calls.diff(model, old, new))

    def facts(self, model: str, version: int | None = None) -> FactList:
        """The facts in force at a version, by default the newest."""
        return self._connection.send(calls.facts(model, version))

    def proposals(self, model: str) -> ProposalList:
        """The edits that wait to be published or dropped, oldest first, without their reports."""
        return self._connection.send(calls.proposals(model))

    def proposal(self, model: str, proposal: str) -> Proposal:
        """One of them, with its report; ``query`` asks it, with its id as the ``version``."""
        return self._connection.send(calls.proposal(model, proposal))

    def aliases(self, model: str) -> AliasList:
        """The names that point to versions, without their moves; ``query`` takes one as the ``version``."""
        return self._connection.send(alias_calls.aliases(model))

    def alias(self, model: str, name: str) -> Alias:
        """One of them, with its last moves."""
        return self._connection.send(alias_calls.alias(model, name))

    def serving(self, model: str) -> Serving:
        """The inference servers that follow the model, and which versions each has proven."""
        return self._connection.send(alias_calls.serving(model))

    def _job(self, call: calls.JobCall) -> JobHandle:
        return JobHandle(self._connection, self._connection.send(call))
