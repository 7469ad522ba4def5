"""The live workers, and the requests that the front end sends them over HTTP."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from http import HTTPStatus
from threading import BoundedSemaphore
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError
from redis import Redis

from app.access.caller import ANYONE, Caller
from app.domain import worker_http
from app.domain.contract import (
    Between,
    CheckedBatches,
    EditBatch,
    EditBatches,
    Generate,
    GenerateReply,
    Problem,
    Prompt,
    Query,
    QueryReply,
    Question,
    UpdateNorms,
    WorkerCard,
)
from app.domain.errors import (
    CompactedVersion,
    ModelUnavailable,
    PalimpsestError,
    PromptTooLong,
    RequestError,
    Unavailable,
    UnknownModel,
)
from app.domain.log.pages import MovePage
from app.domain.manifest import LoggedFact
from app.domain.problems import error_of
from app.domain.prompts import filled
from app.edit_logs import EditLogs
from app.gathered_checks import GatheredChecks
from app.roster import Roster
from app.settings import Settings

logger = logging.getLogger(__name__)

AnswerT = TypeVar("AnswerT", bound=BaseModel)

PROMPTS_AT_ONCE = 256
"""The most prompts that one ``Query`` may carry."""
ATTEMPTS_AT_ONE_VERSION = 3


class Fleet:
    """The live workers. A request goes to one of a model's workers, and to the next if that one cannot be reached.

    Every method that asks a worker raises ``ModelUnavailable`` when none of the model's workers answers,
    ``Unavailable`` when too many requests wait already, and whatever the worker itself raised.
    """

    def __init__(self, redis: Redis, http: httpx.Client, logs: EditLogs, settings: Settings) -> None:
        self._roster = Roster(redis)
        self._http = http
        self._logs = logs
        self._default_model = settings.default_model
        self._places = BoundedSemaphore(settings.max_questions)
        self._turns = itertools.count()
        self._checks = GatheredChecks(self._check_one, self._check_all)
        self._caller = ANYONE

    def seen_by(self, caller: Caller) -> Fleet:
        """The same fleet as a caller sees it: other models than theirs are not known."""
        seen = copy(self)
        seen._caller, seen._logs = caller, self._logs.seen_by(caller)  # noqa: SLF001 - a copy of this one
        return seen

    def workers(self, model: str | None = None) -> list[WorkerCard]:
        """The live workers, of one model or of all, by model and name."""
        return [card for card in self._seen(self._roster.now()) if model in (None, card.model)]

    def resolve(self, name: str | None) -> str:
        """The live model that a request means: the one it names, else the default, else the only one.

        Raises:
            UnknownModel: no worker serves the name, and it has no edit log.
            ModelUnavailable: it is known, but no worker serves it now.
            RequestError: several models are live and the request names none.
        """
        default = self._default_model
        wanted = name or (default if default is not None and self._caller.may_touch(default) else None)
        live = sorted({card.model for card in self._seen(self._roster.lately())})
        if wanted not in live and (wanted or len(live) != 1):  # before refusing, read the cards again
            live = sorted({card.model for card in self._seen(self._roster.now())})
        if wanted in live:
            return wanted
        if name is not None and not (self._caller.may_touch(name) and self._logs.of(name).exists()):
            raise UnknownModel(f"No model {name} is known here.", field="model", value=name)
        if wanted is not None or not live:
            raise ModelUnavailable(f"No live worker serves {wanted or 'any model'}.", field="model", value=wanted)
        if len(live) > 1:
            raise RequestError(f"Several models are served, name one: {', '.join(live)}.", field="model")
        return live[0]

    def check(self, model: str, batch: EditBatch) -> None:
        """Have a worker check the whole batch against its tokenizer, window and layers; nothing is edited.

        Raises:
            RequestError: of the kind that fits, with the field and the value at fault.
        """
        with self._place():
            self._checks.check(model, batch)

    def probe(self, model: str, query: Query) -> QueryReply:
        """Put a query's prompts to the model; one version answers all of them."""
        return _parsed(QueryReply, self._ask(model, worker_http.PROBE, query))

    def generate(self, model: str, request: Generate) -> GenerateReply:
        """Have the model continue prompts; one version continues all of them."""
        return _parsed(GenerateReply, self._ask(model, worker_http.GENERATE, request))

    def update_norms(self, model: str, old: int, new: int) -> dict[int, float] | None:
        """Have a worker compare two versions' weights; None if no worker answers, or the tensors have been removed."""
        try:
            return _parsed(UpdateNorms, self._ask(model, worker_http.NORMS, Between(old=old, new=new))).norms
        except (CompactedVersion, Unavailable):
            return None

    def move_alias(self, model: str, move: MovePage) -> MovePage:
        """Have a worker write a move into the log; returns the one of that number that stands.

        It waits behind no question. A second worker, asked since the first one broke off, finds what that one wrote.

        Raises:
            Conflict: it does not follow on the alias's newest move. Unavailable: it could not be written.
        """
        return _parsed(MovePage, self._answer(model, worker_http.ALIASES, move))

    def recall(self, model: str, facts: Sequence[LoggedFact], query: Query) -> QueryReply:
        """Ask for each fact whether the model gives its object, in the facts' order.

        Args:
            query: says the least version, and how long to wait for it.

        Raises:
            ModelUnavailable: a new version was published between the parts of a long list, again and again.
            PromptTooLong: a prompt with its subject is longer than a query may be.
        """
        prompts = tuple(_question(fact) for fact in facts)
        parts = [prompts[at : at + PROMPTS_AT_ONCE] for at in range(0, len(prompts), PROMPTS_AT_ONCE)]
        for _ in range(ATTEMPTS_AT_ONE_VERSION):
            replies = [self.probe(model, query.model_copy(update={"prompts": part, "job": None})) for part in parts]
            if len({reply.version for reply in replies}) == 1:
                answers = itertools.chain.from_iterable(reply.answers for reply in replies)
                return QueryReply(model=model, version=replies[0].version, answers=tuple(answers))
        raise ModelUnavailable(f"{model} was edited while it was asked.", field="model", value=model)

    def _check_one(self, model: str, batch: EditBatch) -> None:
        self._answer(model, worker_http.CHECK, batch)

    def _check_all(self, model: str, batches: Sequence[EditBatch]) -> list[PalimpsestError | None]:
        said = self._answer(model, worker_http.CHECKS, EditBatches(batches=tuple(batches)))
        problems = _parsed(CheckedBatches, said).problems
        if len(problems) != len(batches):
            raise ModelUnavailable("The worker's answer is of other batches.", field="model", value=model)
        return [None if problem is None else error_of(problem) for problem in problems]

    def _seen(self, cards: Sequence[WorkerCard]) -> Iterator[WorkerCard]:
        return (card for card in cards if self._caller.may_touch(card.model))

    def _ask(self, model: str, path: str, request: BaseModel) -> bytes:
        with self._place():
            return self._answer(model, path, request)

    def _answer(self, model: str, path: str, request: BaseModel) -> bytes:
        body = request.model_dump_json()
        for card in self.candidates(model, request):
            try:
                response = self._http.post(
                    f"{card.url}{path}", content=body, headers={"Content-Type": "application/json"}
                )
            except httpx.ReadTimeout as error:
                raise ModelUnavailable(f"{model} took too long to answer.", field="model", value=model) from error
            except httpx.TransportError as error:
                logger.warning("worker %s of %s cannot be reached: %r", card.worker, model, error)
                continue
            if response.is_success:
                return response.content
            raise raised(response)
        raise ModelUnavailable(f"No live worker serves {model}.", field="model", value=model)

    def candidates(self, model: str, request: BaseModel) -> Iterator[WorkerCard]:
        """The model's workers in the order in which to ask them, then those that have registered in the meantime."""
        least = request.min_version if isinstance(request, Question) else 0
        asked: set[str] = set()
        for read in (self._roster.lately, self._roster.now):
            cards = [card for card in read() if card.model == model and card.url not in asked]
            first = next(self._turns) % len(cards) if cards else 0
            # By their last cards: first those that have the least version, then those nearest to it, which wait least.
            yield from sorted(cards[first:] + cards[:first], key=lambda card: -min(card.version, least))
            asked.update(card.url for card in cards)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """A place among the waiting requests, so that slow answers never use up the front end's threads."""
        if not self._places.acquire(blocking=False):
            raise Unavailable("Too many requests wait for an answer already.")
        try:
            yield
        finally:
            self._places.release()


def _question(fact: LoggedFact) -> Prompt:
    try:
        return Prompt(prompt=filled(fact.prompt, fact.subject), expected=fact.object)
    except ValidationError as error:
        raise PromptTooLong("The fact's prompt is too long to be asked.", field="job", value=fact.subject) from error


def _parsed(kind: type[AnswerT], body: bytes) -> AnswerT:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise unreadable() from error


def unreadable() -> ModelUnavailable:
    """The error of an answer that is none."""
    return ModelUnavailable("The worker's answer cannot be read; is it of another release?")


def raised(response: httpx.Response) -> PalimpsestError:
    """The error that a worker answered with."""
    if response.status_code == HTTPStatus.UNAUTHORIZED:  # it is this front end that it does not know, not the caller
        logger.error("a worker does not know this front end: PALIMPSEST_WORKER_SECRET must be the same on both sides")
        return ModelUnavailable("The worker does not take questions from this front end.")
    try:
        return error_of(Problem.model_validate_json(response.content))
    except ValidationError:
        return ModelUnavailable(f"The worker answered with status {response.status_code}.")
