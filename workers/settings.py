"""A worker's settings, from the command line and the environment. An invalid one refuses to start."""

from __future__ import annotations

import socket
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis import Redis

from app.domain.contract import Name
from app.domain.log.root import LogRootSetting
from workers.models import source_of

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
DATA_DIR = Path(".palimpsest")


class WorkerSettings(BaseSettings):
    """What a worker needs to know before it loads its model; ``PALIMPSEST_WORKER_<NAME>`` in the environment.

    Raises:
        pydantic.ValidationError: a value is missing or out of its range.
    """

    model_config = SettingsConfigDict(
        env_prefix="PALIMPSEST_WORKER_", env_ignore_empty=True, frozen=True, extra="ignore", populate_by_name=True
    )

    model: Annotated[str, Field(min_length=1)] = Field(description="Folder, hub id, or a bundled model's name.")
    name: Name = Field(description="What requests call the model; by default the last part of its path.")
    revision: str | None = Field(None, description="Of a hub id.")
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    dtype: Literal["float64", "float32", "bfloat16", "float16"] = "float32"
    preset: Path | None = Field(None, description="Hyperparameter file; by default the model's own.")
    statistics: Path | None = Field(None, description="Second moments made by `palimpsest statistics`.")

    redis_url: str = Field("redis://127.0.0.1:6379/0", validation_alias="PALIMPSEST_REDIS_URL")
    data_dir: Path = Field(DATA_DIR, validation_alias="PALIMPSEST_DATA_DIR")
    log_dir: LogRootSetting = Field(
        DATA_DIR / "log",
        validation_alias="PALIMPSEST_LOG_DIR",
        description="Root of the edit logs, or a URL that fsspec knows.",
    )

    role: Literal["leader", "replica", "auto"] = Field(
        "leader", description="leader: edits, or ends; replica: only follows; auto: leads when nobody does."
    )
    lease_s: Annotated[float, Field(ge=0.5, le=20)] = Field(
        10.0, description="How long a leader that is not heard of any more still counts as one."
    )
    follow_s: Annotated[float, Field(gt=0, le=1.5)] = Field(
        1.0, description="How often to look for new versions that nobody told of, and for a lead that is free."
    )

    host: str = Field("127.0.0.1", description="Interface of the worker's own HTTP; there is no access control.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(0, description="0 takes a free one.")
    advertise_url: str | None = Field(None, description="How the front end reaches this worker, if not by host.")

    max_batch_tokens: Annotated[int, Field(ge=1)] = 16384
    max_questions: Annotated[int, Field(ge=1)] = Field(256, description="May wait for an answer at the same time.")
    question_threads: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Cores that a batch of questions uses; by default half of them."
    )
    edit_nice: Annotated[int, Field(ge=0, le=19)] = Field(
        5, description="How far edits stand back behind questions on a busy processor; 0 for not at all."
    )
    earlier_versions: Annotated[int, Field(ge=1)] = Field(
        4, description="Earlier versions kept at hand for questions, each as large as the edited matrices."
    )
    snapshot_every: Annotated[int, Field(ge=1)] = Field(
        64, description="A start replays about so many versions at most; the others it reads from a snapshot."
    )
    deadline_s: Seconds = Field(4 * 3600.0, description="Longest time that one edit may take.")
    stop_grace_s: Annotated[float, Field(ge=0)] = Field(5.0, description="What a stop leaves a running job.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, values: dict[str, Any]) -> dict[str, Any]:
        derived: dict[str, Any] = {}
        if not values.get("name") and values.get("model"):
            derived["name"] = Path(values["model"]).resolve().name
        data_dir = values.get("data_dir", values.get("PALIMPSEST_DATA_DIR"))
        if data_dir is not None and not {"log_dir", "PALIMPSEST_LOG_DIR"} & set(values):
            derived["log_dir"] = Path(data_dir) / "log"
        return {**values, **derived}

    @field_validator("redis_url")
    @classmethod
    def _redis_url_names_a_server(cls, url: str) -> str:
        Redis.from_url(url).close()
        return url

    @cached_property
    def source(self) -> str:
        """What the model is loaded from: a folder of that name goes before a bundled model."""
        return source_of(self.model)

    def url(self, port: int) -> str:
        """The base URL that the worker's card gives, when its HTTP listens on ``port``."""
        if self.advertise_url:
            return self.advertise_url.rstrip("/")
        everywhere = self.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
        host = socket.gethostname() if everywhere else self.host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
