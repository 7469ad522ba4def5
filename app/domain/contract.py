"""What crosses HTTP and the queue. Everything else in the house passes these, never raw dicts.

Probabilities are in [0, 1]; ranks count from 1; times are UTC; durations are seconds.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

SLOT = "{}"
"""Stands in a prompt for the subject."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$")]
JobId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Request(BaseModel):
    """Base of what callers send: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reply(BaseModel):
    """Base of what the service says."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# --- edits -------------------------------------------------------------------------------------


class Fact(Request):
    """One fact to write: the prompt, with the subject in its slot, shall be continued by the object."""

    subject: Text
    object: Text
    relation: Text | None = Field(None, description="Makes the prompt '{} <relation>'.")
    prompt: Text | None = Field(
        None, description="With one {} where the subject stands, or the subject's own text exactly once."
    )
    previous: Text | None = Field(None, description="The object until now, for the record and the report.")
    paraphrases: tuple[Text, ...] = Field((), max_length=20, description="Whole prompts, or with one {}.")
    neighbours: tuple[Text, ...] = Field((), max_length=20, description="Whole prompts whose answers must not change.")
    id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Fact:
        if (self.relation is None) == (self.prompt is None):
            raise ValueError("give either relation or prompt")
        return self

    @property
    def template(self) -> str:
        """The prompt as given, or '{} <relation>'. Not yet checked for its slot."""
        return self.prompt if self.prompt is not None else f"{SLOT} {self.relation}"


class Verify(Request):
    """Shares that must hold after the edit; below any of them the batch is rejected and nothing changes."""

    facts: Share | None = None
    paraphrases: Share | None = None
    neighbours: Share | None = None


class Hyperparameters(Request):
    """Overrides of the preset, by the field names of the published hyperparameter files."""

    layers: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, min_length=1, description="Critical layers, rising."
    )
    v_num_grad_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    v_lr: Positive | None = None
    v_weight_decay: NonNegative | None = None
    kl_factor: NonNegative | None = None
    clamp_norm_factor: Positive | None = None
    mom2_update_weight: Positive | None = None
    L2: Positive | None = None
    nullspace_threshold: Positive | None = None
    rect_share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = Field(
        None, description="The part of its entries that RECT applies."
    )
    num_steps: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="Of FT-L, as the next two.")
    lr: Positive | None = None
    norm_constraint: Positive | None = None


class EditBatch(Request):
    """Facts that become one version together, or not at all."""

    facts: tuple[Fact, ...] = Field(min_length=1)
    model: Name | None = Field(None, description="May be left out when one model is served.")
    method: Annotated[str, StringConstraints(max_length=40)] | None = None
    plan: Annotated[str, StringConstraints(max_length=40)] | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    strict: bool = Field(False, description="Behave exactly as the published code does.")
    verify: Verify | None = None


# --- reports -----------------------------------------------------------------------------------


class Standing(Reply):
    """How an object stands as the continuation of a prompt, teacher forced.

    ``probability`` is the product over the object's tokens; ``rank`` the worst rank of any of them,
    so that rank 1 means that greedy decoding gives the whole object.
    """

    probability: float
    rank: int


class FactReport(Reply):
    """What became of one fact."""

    index: int
    id: str | None = None
    subject: str
    prompt: str
    object: str
    previous: str | None = None
    before: Standing
    after: Standing
    holds: bool
    paraphrases: tuple[bool, ...] = ()
    neighbours: tuple[bool, ...] = Field((), description="Whether each neighbour keeps its greedy answer.")


class EditReport(Reply):
    """What became of a batch, and how it was computed."""

    method: str
    plan: str
    layers: tuple[int, ...]
    strict: bool
    hyperparameters: dict[str, Any]
    facts: tuple[FactReport, ...]
    facts_hold: float
    paraphrases_hold: float | None
    neighbours_keep: float | None
    companions: int = Field(
        0, description="Earlier facts still in force that were optimised together with the batch, so that they hold."
    )
    companions_hold: float | None = None
    update_norms: dict[int, float] = Field(description="Frobenius norm of the update, per layer.")
    seconds: float
    peak_memory_mb: float | None = None


class InForceReport(Reply):
    """How the facts in force stand in a version that took something back: a rollback or a revert."""

    facts: int = Field(description="How many are in force.")
    facts_hold: float | None = Field(description="Share of them that holds; None of nothing.")
    held_before: float | None = Field(description="Share of the same facts that held in the version before.")
    lost: tuple[FactReport, ...] = Field(
        description="The first that held before and do not now; `index` is that among the facts in force."
    )
    update_norms: dict[int, float] = Field(description="Frobenius norm of the change, per layer.")
    seconds: float


# --- exports -----------------------------------------------------------------------------------


class ExportFormat(StrEnum):
    """What others can load a version from: a whole model, an adapter for the base model, or the bare updates."""

    MERGED = "merged"
    PEFT = "peft"
    UPDATES = "updates"


class Export(Request):
    """Write a version of a model down for others to load."""

    format: ExportFormat
    version: Annotated[int, Field(ge=0)] | None = Field(
        None, description="None: the one in service when the job's turn comes."
    )


class ExportReport(Reply):
    """What was written, and how it compares with the version when it is loaded again."""

    format: ExportFormat
    version: int
    path: str = Field(description="The folder, relative to where the worker keeps exports.")
    bytes: int = Field(description="Of its files.")
    rank: int | None = Field(None, description="Of the factors; None of a whole model.")
    error: float | None = Field(
        None,
        description="Frobenius norm of what the factors leave out of the change, relative to the change; the worst "
        "layer's. None of a whole model.",
    )
    max_logit_difference: float = Field(description="From the version's own logits, over a few prompts.")
    tolerance: float | None = Field(
        None, description="What the difference may be; None where the rank was cut, which `error` tells the cost of."
    )


# --- jobs --------------------------------------------------------------------------------------


class JobStatus(StrEnum):
    """Where a job stands. The last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the job will not change any more."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class Progress(Reply):
    """One step of a running job."""

    stage: Literal["targets", "solve", "write", "verify", "commit", "publish"]
    layer: int | None = None
    step: int | None = Field(None, description="Of the target optimisation, from 1.")
    steps: int | None = None
    loss: float | None = None
    facts_done: int | None = None
    facts: int | None = Field(None, description="Of the batch, and the earlier ones optimised together with it.")
    share: float = Field(0.0, description="Rough share of the whole job that is done, 0 to 1.")


class Problem(Reply):
    """An error as RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None
    value: Any = None


class JobOutcome(Reply):
    """What a worker hands back for a job, through the queue. Never raised, always returned."""

    status: JobStatus
    version: int | None = None
    report: EditReport | None = None
    in_force: InForceReport | None = None
    exported: ExportReport | None = None
    error: Problem | None = None


class Job(Reply):
    """A job as a caller sees it."""

    id: str
    model: str
    status: JobStatus
    position: int | None = Field(None, description="Jobs before it in the queue, while queued.")
    facts: int
    submitted: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    progress: Progress | None = None
    version: int | None = Field(None, description="The version that this job committed.")
    report: EditReport | None = Field(None, description="Of an edit.")
    in_force: InForceReport | None = Field(None, description="Of a rollback or a revert.")
    exported: ExportReport | None = Field(None, description="Of an export, which makes no version.")
    error: Problem | None = None


class JobList(Reply):
    """Jobs, newest first."""

    jobs: tuple[Job, ...]


# --- questions ---------------------------------------------------------------------------------


class Prompt(Request):
    """One question."""

    prompt: Text
    expected: Text | None = None
    candidates: tuple[Text, ...] = Field((), max_length=100)
    max_new_tokens: Annotated[int, Field(ge=0, le=512)] = 12
    top_k: Annotated[int, Field(ge=0, le=100)] = 5


class Question(Request):
    """What every question may say of the model that shall answer it."""

    model: Name | None = Field(None, description="May be left out when one model is served.")
    min_version: Annotated[int, Field(ge=0)] = Field(
        0, description="Answer from this version or a later one: with a job's version, one reads one's own write."
    )
    wait_seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = Field(
        10.0, description="How long the answer may wait for that version to be in service."
    )


class Query(Question):
    """Questions for the live model; or all the facts of an earlier edit, by its job's id."""

    prompts: tuple[Prompt, ...] = Field((), max_length=256)
    job: JobId | None = None
    version: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Answer from this version of the model's history; None: from the live one."
    )

    @model_validator(mode="after")
    def _prompts_or_job(self) -> Query:
        if bool(self.prompts) == (self.job is not None):
            raise ValueError("give either prompts or job")
        return self


class Candidate(Reply):
    """One object and how it stands."""

    text: str
    probability: float
    rank: int


class Expected(Candidate):
    """The expected object; ``greedy`` says whether greedy decoding gives all of it."""

    greedy: bool


class TopToken(Reply):
    """One of the most probable next tokens."""

    token: str
    probability: float


class Answer(Reply):
    """What the model says to one prompt."""

    prompt: str
    text: str = Field(description="Greedy continuation, the prompt not included.")
    expected: Expected | None = None
    candidates: tuple[Candidate, ...] = Field((), description="Most probable first.")
    top: tuple[TopToken, ...] = ()


class QueryReply(Reply):
    """Answers, all from one version's weights."""

    model: str
    version: int
    answers: tuple[Answer, ...]


class Generate(Question):
    """Free generation; sampling parameters as in transformers' ``generate``."""

    prompts: tuple[Text, ...] = Field(min_length=1, max_length=64)
    max_new_tokens: Annotated[int, Field(ge=1, le=2048)] = 32
    do_sample: bool = False
    temperature: Positive = 1.0
    top_k: Annotated[int, Field(ge=0)] = 50
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    repetition_penalty: Positive = 1.0
    num_return_sequences: Annotated[int, Field(ge=1, le=16)] = 1
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None


class Generation(Reply):
    """Continuations of one prompt, the prompt not included."""

    prompt: str
    texts: tuple[str, ...]


class GenerateReply(Reply):
    """Generations, all from one version's weights."""

    model: str
    version: int
    generations: tuple[Generation, ...]


# --- models and versions -----------------------------------------------------------------------


class WorkerCard(Reply):
    """What a live worker says of itself, in Redis and at ``/state``."""

    worker: str
    model: str
    source: str = Field(description="Path or hub id that the model was loaded from.")
    revision: str | None = None
    url: str = Field(description="Base URL of the worker's own HTTP.")
    role: Literal["leader", "replica"] = "leader"
    version: int
    behind: int | None = Field(
        0, description="Versions that are committed and not in service here yet; null: it cannot be told."
    )
    device: str
    dtype: str
    layers: int
    window: int = Field(description="Longest sequence the model takes, in tokens.")
    methods: tuple[str, ...]
    plans: tuple[str, ...]
    default_method: str
    default_plan: str
    started: datetime


class ModelView(Reply):
    """One served model."""

    id: str
    version: int
    live: bool
    workers: tuple[WorkerCard, ...] = ()


class ModelList(Reply):
    """What is served, and what was served and still has a log."""

    models: tuple[ModelView, ...]


class Version(Reply):
    """One version of a model, without its tensors."""

    version: int
    kind: Literal["base", "edit", "revert", "rollback"]
    job: str | None = None
    created: datetime
    method: str | None = None
    plan: str | None = None
    facts: int = 0
    facts_hold: float | None = None
    update_norms: dict[int, float] = {}


class VersionList(Reply):
    """A model's history, oldest first."""

    model: str
    head: int
    versions: tuple[Version, ...]


class FactInForce(Reply):
    """A fact that was written and not overwritten since; ``version`` and ``index`` name it to ``revert``."""

    subject: str
    prompt: str
    object: str
    previous: str | None = None
    id: str | None = None
    job: str
    version: int
    index: int


class FactList(Reply):
    """The facts in force at a version, in the order in which they were written."""

    model: str
    version: int
    facts: tuple[FactInForce, ...]


class Health(Reply):
    """Liveness or readiness."""

    status: Literal["ok", "unavailable"]
    detail: str | None = None
