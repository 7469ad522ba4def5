"""The edit logs of all models, for reading: the front end never writes one, and has workers move aliases."""

from __future__ import annotations

from copy import copy

from app.access.caller import ANYONE, Caller
from app.domain.contract import AnyVersion, NamedVersion, is_alias
from app.domain.errors import UnknownAlias, UnknownModel
from app.domain.log.pages import ProposalPage
from app.domain.log.reader import LogReader
from app.domain.log.root import LogRoot
from app.domain.manifest import Manifest


class EditLogs:
    """The logs under one root. Each is opened once, because an open log remembers what it has verified."""

    def __init__(self, root: LogRoot) -> None:
        self._root = root
        self._open: dict[str, LogReader] = {}
        self._caller = ANYONE

    def seen_by(self, caller: Caller) -> EditLogs:
        """The logs as a caller sees them: of other models than theirs there are none."""
        seen = copy(self)
        seen._caller = caller  # noqa: SLF001 - a copy of this one
        return seen

    def models(self) -> list[str]:
        """Names of the models that have a log, sorted."""
        return [model for model in LogReader.models(self._root) if self._caller.may_touch(model)]

    def of(self, model: str) -> LogReader:
        """A model's log, which may not exist yet.

        Raises:
            UnknownModel: no model can have that name, or the caller's key is not good for it.
        """
        if not self._caller.may_touch(model):
            raise UnknownModel(f"No model {model} has an edit log here.", field="model", value=model)
        if model in self._open:
            return self._open[model]
        log = LogReader(self._root, model)
        return self._open.setdefault(model, log) if log.exists() else log

    def pinned(self, model: str, version: NamedVersion | None) -> AnyVersion | None:
        """The version that is named, an alias by where it points to now.

        Raises:
            UnknownAlias: the model has no such alias; the field is ``version``.
            DamagedVersion: where it points to cannot be told.
        """
        if not is_alias(version):
            return version
        try:
            return self.of(model).aliases.version(version)
        except UnknownAlias as error:
            raise error.at("version") from None

    def find_job(self, job_id: str) -> tuple[str, Manifest] | None:
        """The model that a job edited and the version that it committed, if it did.

        Raises:
            DamagedVersion: a manifest does not have the bytes that were committed.
        """
        for model in self.models():
            if manifest := self.of(model).find_job(job_id):
                return model, manifest
        return None

    def find_proposal(self, job_id: str) -> tuple[str, ProposalPage] | None:
        """The model that a job edited and the proposal that it made, if it did and it lies there still.

        Raises:
            DamagedVersion: the proposal does not have the bytes that were written.
        """
        for model in self.models():
            if page := self.of(model).proposals.of_job(job_id):
                return model, page
        return None
