"""Adding models while the service runs, and taking them away: checked here, done by whoever runs the workers."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from app.additions.wishes import Wish, Wishes
from app.domain.contract import AddModel, Job
from app.domain.errors import Conflict, ModelExists, NotSupervised, RequestError, Unavailable, UnknownModel
from app.domain.smollm2 import SHIPPED
from app.fleet import Fleet
from app.settings import Settings

logger = logging.getLogger(__name__)

ELSEWHERE = (
    "This service was not started by `palimpsest serve`, which alone can start and stop workers: start one yourself "
    "(`python -m workers --model ...`), and it joins; stop it, and it has left."
)


class Additions:
    """Accepts models to be added, and takes those away that were."""

    def __init__(self, fleet: Fleet, settings: Settings) -> None:
        self._fleet, self._settings = fleet, settings
        self._wishes = Wishes(settings.data_dir)

    def add(self, wanted: AddModel) -> Job:
        """Have a model served; its job tells how its onboarding and its start go on.

        Raises:
            NotSupervised: nobody is there who could start a worker.
            RequestError: it names no model that a caller may name.
            ModelExists: a model of that name is served or wanted already.
            Unavailable: it could not be written down.
        """
        self._refuse_unsupervised()
        source, name = self._source(wanted.model), wanted.called
        wish = Wish(name=name, model=source, job=token_hex(8), added=datetime.now(UTC), onboard=wanted.onboard)
        try:
            if self._fleet.workers(name) or not self._wishes.add(wish):
                raise ModelExists(f"A model {name} is served or being added already.", field="name", value=name)
        except OSError as error:
            raise Unavailable(f"The model could not be written down: {error.strerror}.") from error
        logger.info("to be added", extra={"job_id": wish.job, "model": name})
        return self._wishes.job(wish)

    def remove(self, name: str) -> None:
        """Have a model that was added served no longer. Its edit log stays, and so do its jobs that wait.

        Raises:
            NotSupervised: nobody is there who could stop a worker.
            Conflict: it was not added, but named when the service was started.
            UnknownModel: there is no such model.
        """
        self._refuse_unsupervised()
        if self._wishes.withdraw(name):
            logger.info("to be taken away", extra={"model": name})
            return
        if self._fleet.workers(name):
            detail = f"{name} was named when the service was started; start it without."
            raise Conflict(detail, field="model", value=name)
        raise UnknownModel(f"No model {name} was added.", field="model", value=name)

    def _refuse_unsupervised(self) -> None:
        if not self._settings.supervised:
            raise NotSupervised(ELSEWHERE)

    def _source(self, model: str) -> str:
        """What a worker loads: a name that comes along, a folder in ``models_dir``, or a hub id.

        Raises:
            RequestError: it is none of these. A hub id that is a path of this machine too is none.
        """
        if model in SHIPPED:
            return model
        owner, _, name = model.rpartition("/")
        if not owner:
            return str(self._folder(name))
        if Path(model).exists() or model.lower().endswith(".gguf"):  # a worker would take it for that
            raise _unnamed(model)
        return model

    def _folder(self, name: str) -> Path:
        root = self._settings.models_dir
        if root is not None:
            found = (root / name).resolve()
            if found.exists() and found.is_relative_to(root.resolve()):
                return found
        raise _unnamed(name)


def _unnamed(model: str) -> RequestError:
    names = ", ".join(sorted(SHIPPED))
    detail = f"Name a model that comes along ({names}), one of the service's models_dir, or a hub id."
    return RequestError(detail, field="model", value=model)
