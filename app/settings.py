"""The front end's settings, from the environment (``PALIMPSEST_<NAME>``). An invalid one refuses to start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis import Redis

from app.domain.contract import Name
from app.domain.log.root import LogRootSetting

DATA_DIR = Path(".palimpsest")

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
WholeSeconds = Annotated[int, Field(ge=1)]


class Settings(BaseSettings):
    """What the front end needs to know before its first request.

    Raises:
        pydantic.ValidationError: a value is out of its range; the message names the variable.
    """

    model_config = SettingsConfigDict(env_prefix="PALIMPSEST_", env_ignore_empty=True, frozen=True)

    redis_url: str | None = Field(None, description="redis://, rediss:// or unix://; needed to serve.")
    redis_timeout_s: Seconds = 5.0
    data_dir: Path = DATA_DIR
    log_dir: LogRootSetting = Field(
        DATA_DIR / "log", description="Root of the edit logs, or a URL that fsspec knows; by default <data_dir>/log."
    )
    accepted_dir: Path = Field(
        DATA_DIR / "accepted", description="What was accepted and has not ended; by default <data_dir>/accepted."
    )
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000

    default_model: Name | None = Field(None, description="Takes requests that name no model.")
    max_facts: Count = Field(1000, description="Per edit batch.")
    max_body_bytes: Count = 4 * 1024 * 1024
    max_queued: Count = Field(1000, description="Jobs that may wait for one model.")
    max_questions: Count = Field(64, description="Requests that may wait for workers at the same time.")

    result_ttl_s: WholeSeconds = Field(30 * 24 * 3600, description="How long an ended job is remembered.")
    job_timeout_s: WholeSeconds = Field(24 * 3600, description="Last resort; workers have their own deadline.")
    job_retries: Count = Field(3, description="How often a job is tried again when its worker died.")
    idempotency_ttl_s: WholeSeconds = Field(
        24 * 3600, description="How long an Idempotency-Key is remembered; at most as long as an ended job."
    )
    recovery_interval_s: Seconds = Field(5.0, description="How often to look for accepted jobs that Redis has lost.")
    connect_timeout_s: Seconds = 2.0
    question_timeout_s: Seconds = 120.0

    @model_validator(mode="before")
    @classmethod
    def _under_data(cls, values: dict[str, Any]) -> dict[str, Any]:
        if "data_dir" in values:
            below = {f"{name}_dir": Path(values["data_dir"]) / name for name in ("log", "accepted")}
            return {**below, **values}
        return values

    @model_validator(mode="after")
    def _keys_end_before_jobs(self) -> Settings:
        if self.idempotency_ttl_s > self.result_ttl_s:
            raise ValueError("idempotency_ttl_s: a key may not be remembered longer than its job (result_ttl_s)")
        return self

    @field_validator("redis_url")
    @classmethod
    def _redis_url_names_a_server(cls, url: str | None) -> str | None:
        if url is not None:
            Redis.from_url(url).close()
        return url
