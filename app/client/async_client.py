"""``AsyncClient``: the service, for programs that await its answers. All names are those of ``Client``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from app.client import alias_calls, calls, importing
from app.client.attempts import Attempts
from app.client.calls import Item
from app.client.client import DEFAULT_URL
from app.client.connection import AsyncConnection
from app.client.errors import ApiError
from app.client.handles import AsyncJobHandle
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


class AsyncClient:
    """A running service; arguments and errors as ``Client`` has them."""

    def __init__(
        self, url: str = DEFAULT_URL, key: str | None = None, *, timeout_s: float = 120.0, attempts: int = 3
    ) -> None:
        self._connection = AsyncConnection(url, key, timeout_s, Attempts(attempts))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """As ``Client.close``."""
        await self._connection.close()

    # --- changes ---------------------------------------------------------------------------------

    async def edit(
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
    ) -> AsyncJobHandle:
        """As ``Client.edit``: ``await (await client.edit([...])).wait()``."""
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
        return await self._job(calls.edit(facts, options, idempotency_key, if_match))

    async def import_file(
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
        """As ``Client.import_file``."""
        options = {"model": model, "method": method, "plan": plan, "unheld": unheld, "propose": propose or None}
        with await asyncio.to_thread(ReadFile, source, ImportFormat(format), chat=chat) as file:
            sending = importing.Sending(file, limit, dry_run=dry_run, key=idempotency_key, told=told, options=options)
            for part in sending.parts():
                try:
                    sending.answered(part, await self._connection.send(sending.call(part)))
                except ApiError as error:
                    sending.refused(error)
            return sending.report()

    async def rollback(
        self, model: str, to: int, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> AsyncJobHandle:
        """As ``Client.rollback``."""
        return await self._job(calls.rollback(model, to, idempotency_key, if_match))

    async def revert(
        self,
        model: str,
        facts: Sequence[FactKey | tuple[int, int]],
        *,
        idempotency_key: str | None = None,
        if_match: int | None = None,
    ) -> AsyncJobHandle:
        """As ``Client.revert``."""
        return await self._job(calls.revert(model, facts, idempotency_key, if_match))

    async def revert_edit(
        self, job: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> AsyncJobHandle:
        """As ``Client.revert_edit``."""
        return await self._job(calls.revert_edit(job, idempotency_key, if_match))

    async def publish(
        self, model: str, proposal: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> AsyncJobHandle:
        """As ``Client.publish``."""
        return await self._job(calls.publish(model, proposal, idempotency_key, if_match))

    async def drop(
        self, model: str, proposal: str, *, idempotency_key: str | None = None, if_match: int | None = None
    ) -> AsyncJobHandle:
        """As ``Client.drop``."""
        return await self._job(calls.drop(model, proposal, idempotency_key, if_match))

    async def export(
        self,
        model: str,
        format: ExportFormat | str,  # noqa: A002 - its name in the API
        version: int | None = None,
        *,
        gguf_type: GgufType | str | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncJobHandle:
        """As ``Client.export``."""
        return await self._job(calls.export(model, str(format), version, gguf_type, idempotency_key))

    async def move_alias(
        self, model: str, name: str, version: int, *, if_match: int | Literal["*"] | None = None
    ) -> Alias:
        """As ``Client.move_alias``."""
        return await self._connection.send(alias_calls.move(model, name, version, if_match))

    async def remove_alias(self, model: str, name: str, *, if_match: int | Literal["*"]) -> AliasMove:
        """As ``Client.remove_alias``."""
        return await self._connection.send(alias_calls.remove(model, name, if_match))

    # --- questions -------------------------------------------------------------------------------

    async def query(
        self,
        prompts: str | Item | Sequence[str | Item] = (),
        *,
        model: str | None = None,
        version: NamedVersion | None = None,
        job: str | None = None,
        min_version: int | None = None,
        wait_seconds: float | None = None,
    ) -> QueryReply:
        """As ``Client.query``."""
        options: dict[str, object] = {"model": model, "version": version, "job": job}
        options |= {"min_version": min_version, "wait_seconds": wait_seconds}
        return await self._connection.send(calls.query(prompts, options))

    async def chat(
        self,
        messages: str | Sequence[Item],
        *,
        model: str | None = None,
        version: NamedVersion | None = None,
        max_new_tokens: int | None = None,
        top_k: int | None = None,
    ) -> QueryReply:
        """As ``Client.chat``."""
        asked = {"max_new_tokens": max_new_tokens, "top_k": top_k}
        return await self._connection.send(calls.chat(messages, asked, {"model": model, "version": version}))

    async def generate(
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
        """As ``Client.generate``."""
        options: dict[str, object] = {"model": model, "version": version, "chat": chat}
        options |= {"max_new_tokens": max_new_tokens, "min_version": min_version}
        options |= {"do_sample": do_sample, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        options |= {"repetition_penalty": repetition_penalty, "num_return_sequences": num_return_sequences}
        return await self._connection.send(calls.generate(prompts, options))

    # --- what is there ---------------------------------------------------------------------------

    async def jobs(
        self,
        *,
        model: str | None = None,
        status: JobStatus | str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> JobList:
        """As ``Client.jobs``."""
        return await self._connection.send(calls.jobs(model, None if status is None else str(status), limit, after))

    async def job(self, job: str) -> AsyncJobHandle:
        """As ``Client.job``."""
        return await self._job(calls.job(job))

    async def models(self) -> ModelList:
        """As ``Client.models``."""
        return await self._connection.send(calls.models())

    async def versions(self, model: str, *, limit: int | None = None, before: int | None = None) -> VersionList:
        """As ``Client.versions``."""
        return await self._connection.send(calls.versions(model, limit, before))

    async def version(self, model: str, version: int) -> VersionDetail:
        """As ``Client.version``."""
        return await self._connection.send(calls.version(model, version))

    async def diff(self, model: str, old: int, new: int) -> VersionDiff:
        """As ``Client.diff``."""
        return await self._connection.send(calls.diff(model, old, new))

    async def facts(self, model: str, version: int | None = None) -> FactList:
        """As ``Client.facts``."""
        return await self._connection.send(calls.facts(model, version))

    async def proposals(self, model: str) -> ProposalList:
        """As ``Client.proposals``."""
        return await self._connection.send(calls.proposals(model))

    async def proposal(self, model: str, proposal: str) -> Proposal:
        """As ``Client.proposal``."""
        return await self._connection.send(calls.proposal(model, proposal))

    async def aliases(self, model: str) -> AliasList:
        """As ``Client.aliases``."""
        return await self._connection.send(alias_calls.aliases(model))

    async def alias(self, model: str, name: str) -> Alias:
        """As ``Client.alias``."""
        return await self._connection.send(alias_calls.alias(model, name))

    async def serving(self, model: str) -> Serving:
        """As ``Client.serving``."""
        return await self._connection.send(alias_calls.serving(model))

    async def _job(self, call: calls.JobCall) -> AsyncJobHandle:
        return AsyncJobHandle(self._connection, await self._connection.send(call))
