"""Every error a caller can meet, each with its HTTP status and a stable code.

PalimpsestError                500 internal
├── RequestError               422 invalid_request
│   ├── SubjectNotInPrompt     422 subject_not_in_prompt
│   ├── AmbiguousSubject       422 ambiguous_subject
│   ├── SlotCount              422 slot_count
│   ├── EmptyText              422 empty_text
│   ├── ContradictoryFacts     422 contradictory_facts
│   ├── PromptTooLong          422 prompt_too_long
│   ├── TooManyFacts           422 too_many_facts
│   ├── UnknownMethod          422 unknown_method
│   ├── UnknownPlan            422 unknown_plan
│   ├── LayerOutOfRange        422 layer_out_of_range
│   ├── InvalidHyperparameter  422 invalid_hyperparameter
│   ├── IdempotencyKeyReused   422 idempotency_key_reused
│   ├── UnreadableFile         422 unreadable_file
│   ├── NoGgufFile             422 no_gguf_file
│   └── BodyTooLarge           413 body_too_large
├── Unauthenticated            401 unauthenticated
├── Forbidden                  403 forbidden
├── NotFound                   404 not_found
│   ├── UnknownJob             404 unknown_job
│   ├── UnknownModel           404 unknown_model
│   ├── UnknownVersion         404 unknown_version
│   ├── UnknownFact            404 unknown_fact
│   ├── UnknownProposal        404 unknown_proposal
│   └── UnknownAlias           404 unknown_alias
├── Conflict                   409 conflict
│   ├── RequestInFlight        409 request_in_flight
│   ├── LogLocked              409 log_locked
│   ├── StaleEpoch             409 stale_epoch
│   ├── VersionExists          409 version_exists
│   ├── CompactedVersion       409 compacted_version
│   ├── UnprovenVersion        409 unproven_version
│   ├── InseparableFacts       409 inseparable_facts
│   ├── TooManyProposals       409 too_many_proposals
│   └── ModelExists            409 model_exists
├── OwnProposal                403 own_proposal
├── PreconditionFailed         412 precondition_failed
├── PreconditionRequired       428 precondition_required
├── TooManyRequests            429 too_many_requests
├── Unavailable                503 unavailable
│   ├── RedisUnavailable       503 redis_unavailable
│   ├── ModelUnavailable       503 model_unavailable
│   └── VersionNotReached      503 version_not_reached
├── JobCancelled               409 job_cancelled
├── JobFailed                  500 edit_failed
│   ├── NonFiniteUpdate        500 non_finite_update
│   ├── DeadVersion            500 dead_version
│   └── DeadlineExceeded       500 deadline_exceeded
├── ExportFailed               500 export_failed
├── EngineFailed               502 engine_failed
│   ├── EngineUnreachable      502 engine_unreachable
│   └── RankTooHigh            502 rank_too_high
├── OnboardingFailed           500 onboarding_failed
├── NotSupervised              501 not_supervised
├── DamagedVersion             500 damaged_version
├── ModelMismatch              500 model_mismatch
├── UnsupportedStorage         500 unsupported_storage
├── UnsupportedPlacement       500 unsupported_placement
├── StatisticsMismatch         500 statistics_mismatch
├── ModelNotFound              500 model_not_found
└── UnsupportedArchitecture    500 unsupported_architecture
"""

from __future__ import annotations

import re
from typing import ClassVar, Self


class PalimpsestError(Exception):
    """Base of the tree.

    Args:
        detail: one sentence for a person; says what went wrong and what would be right. It stands in log lines too, so
            it never has the text of a fact or a question: that goes into ``value``.
        field: dotted path of the offending field in the request (``facts.3.prompt``), or None.
        value: the offending value, or None.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    retry_after: int | None = None

    def __init_subclass__(
        cls, *, status: int | None = None, code: str | None = None, retry_after: int | None = None
    ) -> None:
        """``code``, which callers rely on, is by default the class's name in snake case; the others are inherited."""
        cls.code = code or re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        cls.status = cls.status if status is None else status
        cls.retry_after = cls.retry_after if retry_after is None else retry_after

    def __init__(self, detail: str, *, field: str | None = None, value: object = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.value = value

    def at(self, place: str) -> Self:
        """This error with ``place`` put before its field: ``error.at("facts.3")``."""
        self.field = place if self.field is None else f"{place}.{self.field}"
        return self


class RequestError(PalimpsestError, status=422, code="invalid_request"):
    """The request is at fault; sending it again will not help."""


class SubjectNotInPrompt(RequestError):
    """The prompt has neither a ``{}`` slot nor the subject's text."""


class AmbiguousSubject(RequestError):
    """The subject stands in the prompt more than once and no slot says which."""


class SlotCount(RequestError):
    """The prompt has more than one ``{}`` slot."""


class EmptyText(RequestError):
    """A subject, prompt or object is empty, or leaves no token after tokenising."""


class ContradictoryFacts(RequestError):
    """Two facts of one batch give the same subject and prompt different objects; the value has both indices."""


class PromptTooLong(RequestError):
    """The prompt, with its contexts and object, is longer than the model's window."""


class TooManyFacts(RequestError):
    """More facts in one batch than the service takes."""


class UnknownMethod(RequestError):
    """No such editing method."""


class UnknownPlan(RequestError):
    """No such layer plan."""


class LayerOutOfRange(RequestError):
    """A layer that the model does not have."""


class InvalidHyperparameter(RequestError):
    """A hyperparameter that does not exist, is not finite, or is out of its range."""


class IdempotencyKeyReused(RequestError):
    """The ``Idempotency-Key`` came with another request before."""


class UnreadableFile(RequestError):
    """A data file is not in a form that can be read: its encoding, its JSON, its columns."""


class NoGgufFile(RequestError):
    """The model did not come as a GGUF file, or its file is not there, so that none can be written."""

    never: ClassVar[str] = (
        "only a model that came as a GGUF file is written as one: export it as merged, and convert that folder with "
        "llama.cpp's convert_hf_to_gguf.py"
    )


class BodyTooLarge(RequestError, status=413):
    """The request body is larger than the service takes."""


class Unauthenticated(PalimpsestError, status=401):
    """The request brings no key, or none that is valid."""


class Forbidden(PalimpsestError, status=403):
    """The key is valid, and not for this."""


class NotFound(PalimpsestError, status=404):
    """What was asked for is not there."""


class UnknownJob(NotFound):
    """No job of that id, or it was forgotten long after it ended."""


class UnknownModel(NotFound):
    """No model of that name is known here."""


class UnknownVersion(NotFound):
    """The model's edit log has no such version."""


class UnknownFact(NotFound):
    """The version has no such fact: it was never written there, or has been taken out."""


class UnknownProposal(NotFound):
    """No such proposal waits: it was published, dropped, or has expired."""


class UnknownAlias(NotFound):
    """The model has no such alias, or not any more."""


class Conflict(PalimpsestError, status=409):
    """The state of the job, the model or its edit log does not allow what was asked."""


class RequestInFlight(Conflict):
    """The first request with this ``Idempotency-Key`` is not answered yet."""


class LogLocked(Conflict):
    """Another leader holds this model's edit log."""


class StaleEpoch(Conflict):
    """A newer leader has taken over; this one must not commit any more."""


class VersionExists(Conflict):
    """The version to be committed is already there."""


class CompactedVersion(Conflict):
    """The log was compacted: this version's tensors are no longer there."""


class UnprovenVersion(Conflict):
    """Too few of the model's inference servers have proven this version; the value names those that have not."""


class InseparableFacts(Conflict):
    """Facts to be taken out share a key with others that would stay; the value names those."""


class TooManyProposals(Conflict):
    """As many proposals wait as may; publish or drop some."""


class ModelExists(Conflict):
    """A model of that name is served, or is being added."""


class OwnProposal(PalimpsestError, status=403):
    """Who proposed a version may not publish it."""


class PreconditionFailed(PalimpsestError, status=412):
    """The model, or its alias, is at another version than ``If-Match`` demands."""


class PreconditionRequired(PalimpsestError, status=428):
    """The alias is there: ``If-Match`` has to say which version it is to be moved from."""


class TooManyRequests(PalimpsestError, status=429, retry_after=1):
    """The caller has sent as many requests as it may for now."""


class Unavailable(PalimpsestError, status=503, retry_after=5):
    """Something the service needs is away, or a queue is full; the same request may succeed later."""


class RedisUnavailable(Unavailable):
    """Redis does not answer, or refuses writes."""


class ModelUnavailable(Unavailable):
    """No live worker serves this model, or none gave an answer."""


class VersionNotReached(Unavailable, retry_after=1):
    """The model was not at the least version asked for within the time that the request would wait."""


class JobCancelled(PalimpsestError, status=409):
    """The job was cancelled before it committed; nothing of it stays."""


class JobFailed(PalimpsestError, code="edit_failed"):
    """The job could not be done; weights, previous keys and log are untouched."""


class NonFiniteUpdate(JobFailed):
    """The update, or a loss on the way to it, was NaN or infinite."""


class DeadVersion(JobFailed):
    """The edited model would say nothing any more: its next tokens are all alike, or NaN."""


class DeadlineExceeded(JobFailed):
    """The job took longer than the worker's deadline."""


class ExportFailed(PalimpsestError):
    """The export could not be written, or does not read back as the version; nothing of it stays."""


class EngineFailed(PalimpsestError, status=502):
    """An inference server refused what a follower asked of it, or its answer is none."""


class EngineUnreachable(EngineFailed):
    """An inference server does not answer, or not in time."""


class RankTooHigh(EngineFailed):
    """An adapter has a higher rank than the inference server takes; ``value`` is the highest one, if that is known."""


class OnboardingFailed(PalimpsestError):
    """The model could not be onboarded or loaded; it is not served."""


class NotSupervised(PalimpsestError, status=501):
    """This service cannot start or stop workers by itself: whoever started it runs them."""


class DamagedVersion(PalimpsestError):
    """A file of the edit log does not have the bytes that were committed."""


class ModelMismatch(PalimpsestError):
    """The edit log was written for another model, or other weights."""


class UnsupportedStorage(PalimpsestError):
    """The place given for the edit logs cannot keep them safely, or the package that reaches it is missing."""


class UnsupportedPlacement(PalimpsestError):
    """The model's weights cannot lie where they were asked to: accelerators, room on them, or a package is missing."""


class StatisticsMismatch(PalimpsestError):
    """The statistics were taken on another model, or lack a layer that is needed."""


class ModelNotFound(PalimpsestError):
    """What was named is no folder with a model and no GGUF file, and the hub has no such model or is out of reach."""


class UnsupportedArchitecture(PalimpsestError):
    """The model cannot be edited here: no single MLP down-projection a block (experts, for instance), files that are
    not read, or numbers that overflow."""
