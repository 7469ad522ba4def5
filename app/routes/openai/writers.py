"""Who writes the texts of a request: an inference server that has the alias's version, or else a worker."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from app.dependencies import Services
from app.domain.contract import AnyVersion, Continue, is_alias
from app.domain.errors import ModelUnavailable
from app.engine_fleet import Upstream
from app.routes.asking import asked_of
from app.routes.openai.model_names import ModelName
from app.texts.pass_through import Passage
from app.texts.vllm import answers_alike
from app.texts.writing import Writing

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Addressed:
    """What a request names, looked up once. unserved: why no worker can be asked, if none can."""

    model: str
    version: AnyVersion | None
    upstreams: tuple[Upstream, ...] = ()
    unserved: ModelUnavailable | None = None


class Writers:
    """Those who can write the texts of one request, all from the version that was found at the beginning.

    A server comes before a worker, and after the worker there is nobody: whatever a server fails at or refuses, the
    worker decides.
    """

    def __init__(self, services: Services, addressed: Addressed, wanted: Continue, texts: int) -> None:
        self._services, self._addressed = services, addressed
        self.model = addressed.model
        self._wanted = wanted.model_copy(update={"version": addressed.version})
        self._texts = texts
        self._passage = _passage(addressed, self._wanted, texts)
        self.exhausted = False

    @classmethod
    async def of(cls, services: Services, name: ModelName, wanted: Continue, texts: int) -> Writers:
        """Look up what a request names.

        Raises:
            RequestError, UnknownModel, ModelUnavailable, UnknownAlias, DamagedVersion: as ``asked_of`` does.
        """
        return cls(services, await run_in_threadpool(_addressed, services, name, wanted), wanted, texts)

    async def begun(self) -> Writing:
        """The texts of the next one who begins to write.

        Raises:
            Unavailable: too many texts are being written. ModelUnavailable: nobody is left who could.
            PalimpsestError: what the worker refuses the request for.
        """
        passing, passage = self._services.passing, self._passage
        if passing is not None and passage is not None and (stream := await passing.open(passage)) is not None:
            return stream
        self.exhausted = True
        try:
            if self._addressed.unserved is not None:
                raise self._addressed.unserved
            return await self._services.texts.open(self.model, self._wanted, self._texts)
        except ModelUnavailable:
            if passage is not None and passage.refusal is not None:
                raise passage.refusal from None
            raise


def _addressed(services: Services, name: ModelName, wanted: Continue) -> Addressed:
    try:
        model, version = asked_of(services.fleet, services.logs, name.name, name.version)
    except ModelUnavailable as error:  # inference servers may well be there
        version = services.logs.pinned(name.name, name.version) if is_alias(name.version) else None
        upstreams = _upstreams(services, name, version, wanted)
        if not upstreams:
            raise
        return Addressed(name.name, version, upstreams, error)
    return Addressed(model, version, _upstreams(services, name, version, wanted))


def _upstreams(
    services: Services, name: ModelName, version: AnyVersion | None, wanted: Continue
) -> tuple[Upstream, ...]:
    """The servers that may be asked: what is addressed by a number or by no version is the workers' to answer."""
    if services.passing is None or not (is_alias(name.version) and isinstance(version, int) and answers_alike(wanted)):
        return ()
    try:
        return tuple(services.engines.upstreams(name.name, version))
    except RedisError as error:
        logger.warning("which inference servers there are cannot be told: %r", error)
        return ()


def _passage(addressed: Addressed, wanted: Continue, texts: int) -> Passage | None:
    if not (addressed.upstreams and isinstance(addressed.version, int)):
        return None
    return Passage(addressed.model, addressed.version, wanted, texts, list(addressed.upstreams))
