"""The front end's settings, from the environment (``PALIMPSEST_<NAME>``). With an invalid one it does not start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, SecretStr, model_validator

from app.domain.contract import Name
from app.domain.settings import DATA_DIR, Count, LogLevel, Port, RedisUrl, Seconds, SharedSettings

WholeSeconds = Annotated[int, Field(ge=1)]


class Settings(SharedSettings):
    """What the front end needs to know before its first request."""

    redis_url: RedisUrl | None = Field(None, description="redis://, rediss:// or unix://; needed to serve.")
    redis_timeout_s: Seconds = Field(5.0, description="Longest wait for one answer of Redis.")
    accepted_dir: Path = Field(
        DATA_DIR / "accepted", description="Journal of the accepted jobs; by default <data_dir>/accepted."
    )
    keys_dir: Path = Field(DATA_DIR / "keys", description="API keys, a file each; by default <data_dir>/keys.")
    allow_open: bool = Field(
        False,
        description="While no API key exists, let in whoever can reach the service, and not this machine alone: "
        "only where something else keeps strangers out.",
    )
    host: str = Field("127.0.0.1", description="Address that `palimpsest serve` listens on.")
    port: Port = Field(8000, description="Port that `palimpsest serve` listens on.")

    supervised: bool = Field(
        False,
        description="Whether `palimpsest serve` runs this front end, and starts and stops workers as it is asked.",
    )
    models_dir: Path | None = Field(
        None, description="Folder with models that callers may add by the names of their folders; none by default."
    )
    default_model: Name | None = Field(None, description="The model for requests that name none.")
    max_facts: Count = Field(1000, description="Most facts in one batch.")
    max_body_bytes: Count = Field(4 * 1024 * 1024, description="Largest body of a request.")
    max_queued: Count = Field(1000, description="Jobs that may wait for one model.")
    max_requests_per_minute: Count | None = Field(
        None, description="Requests a minute of one caller: of a key, or of an address where there are no keys."
    )
    max_questions: Count = Field(64, description="Requests that may wait for workers at the same time.")
    max_texts: Count = Field(256, description="Requests below /v1 whose texts may be written at the same time.")

    result_ttl_s: WholeSeconds = Field(30 * 24 * 3600, description="How long an ended job is remembered.")
    job_timeout_s: WholeSeconds = Field(
        24 * 3600, description="RQ's timeout of a job, which our workers replace by their own deadline."
    )
    job_retries: Count = Field(3, description="How often a job is tried again when its worker died.")
    idempotency_ttl_s: WholeSeconds = Field(
        24 * 3600, description="How long an Idempotency-Key is remembered; at most as long as an ended job."
    )
    recovery_interval_s: Seconds = Field(5.0, description="How often to look for accepted jobs that Redis has lost.")
    connect_timeout_s: Seconds = Field(2.0, description="Longest wait for a connection to Redis or a worker.")
    silence_s: Seconds = Field(
        2.0, description="Longest wait for a worker's sign of life; a silent one gets no questions, and loses its own."
    )
    question_timeout_s: Seconds = Field(120.0, description="Longest wait for a worker's answer.")
    pass_through: bool = Field(
        True,
        description="Whether what is asked of an alias below /v1 is answered by an inference server that has proven "
        "the version, where there is one.",
    )
    proven_share: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0,
        description="Share of the answering inference servers that must have proven a version before an alias may "
        "point to it for the first time; 0: it is not asked.",
    )
    engine_key: SecretStr | None = Field(
        None, description="Key that inference servers ask for (vLLM's `--api-key`), sent as a bearer token."
    )
    engine_patience_s: Seconds = Field(
        10.0, description="Longest wait for an inference server's first words, then the next one or a worker is asked."
    )
    log_level: LogLevel = Field("INFO", description="From which level on the front end's log lines are written.")

    folders: ClassVar[tuple[str, ...]] = ("log", "accepted", "keys")

    @model_validator(mode="after")
    def _keys_end_before_jobs(self) -> Settings:
        if self.idempotency_ttl_s > self.result_ttl_s:
            raise ValueError("idempotency_ttl_s: a key may not be remembered longer than its job (result_ttl_s)")
        return self
