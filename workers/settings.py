"""A worker's settings, from the command line and the environment. An invalid one refuses to start."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import CliSettingsSource, SettingsConfigDict

from app.domain.addresses import is_loopback
from app.domain.contract import Name
from app.domain.settings import WORKER_PREFIX, Count, LogLevel, Port, RedisUrl, Seconds, SharedSettings, faults

PROGRAM = "python -m workers"


class WorkerSettings(SharedSettings):
    """Hold one model, edit it, and answer questions put to it.

    Every option is also a variable of the environment, PALIMPSEST_WORKER_<NAME>; PALIMPSEST_REDIS_URL,
    PALIMPSEST_DATA_DIR and PALIMPSEST_LOG_DIR are those of the front end. The command line goes first.
    """

    model_config = SettingsConfigDict(env_prefix=WORKER_PREFIX)

    model: Annotated[str, Field(min_length=1)] = Field(
        description="Folder, hub id, GGUF file, or the name of a model that comes along."
    )
    name: Name = Field(
        "",
        validate_default=False,
        description="What requests call the model; by default the last part of its path, without .gguf.",
    )
    revision: str | None = Field(None, description="Of a hub id.")
    device: Annotated[str, Field(pattern=r"^(auto|all|cpu|mps|cuda(:\d+)?)$")] = Field(
        "auto",
        description="cpu, mps, cuda or cuda:<number>; auto: cuda if there is one, else cpu; "
        "all: the model's blocks over all GPUs that are visible, for a model larger than one.",
    )
    dtype: Literal["float64", "float32", "bfloat16", "float16"] = Field("float32", description="Of the live weights.")
    preset: Path | None = Field(None, description="Hyperparameter file; by default the model's own.")
    statistics: Path | None = Field(
        None, description="Second moments made by `palimpsest statistics`; by default from the model's own corpus."
    )
    onboard: bool = Field(
        True, description="Let a model without statistics and corpus write its own texts for them; else it is refused."
    )

    redis_url: RedisUrl = Field("redis://127.0.0.1:6379/0", description="redis://, rediss:// or unix://.")

    role: Literal["leader", "replica", "auto"] = Field(
        "leader", description="leader: edits, or ends; replica: only follows; auto: leads when nobody does."
    )
    lease_s: Annotated[float, Field(ge=0.5, le=20)] = Field(
        10.0, description="How long a leader that is not heard of any more still counts as one."
    )
    follow_s: Annotated[float, Field(gt=0, le=1.5)] = Field(
        1.0, description="How often to look for new versions that nobody told of, and for a lead that is free."
    )

    host: str = Field(
        "127.0.0.1", description="Interface of the worker's own HTTP; other than loopback only with a secret."
    )
    port: Port = Field(0, description="0 takes a free one.")
    advertise_url: str | None = Field(
        None, description="How the front end reaches this worker; by default by host and port."
    )

    max_batch_tokens: Count = Field(16384, description="Tokens in one pass through the model.")
    max_text_tokens: Count = Field(
        32768, description="Tokens of all texts that are written at one time, to their ends; each keeps its cache."
    )
    max_questions: Count = Field(256, description="May wait for an answer at the same time.")
    question_threads: Count | None = Field(
        None, description="Cores that a batch of questions uses; by default half of them."
    )
    edit_nice: Annotated[int, Field(ge=0, le=19)] = Field(
        10, description="How far edits stand back behind questions on a busy processor; 0 for not at all."
    )
    earlier_versions: Count = Field(
        4, description="Earlier versions kept at hand for questions, each as large as the edited matrices."
    )
    snapshot_every: Count = Field(
        64, description="A start replays about so many versions at most; the others it reads from a snapshot."
    )
    spread_facts: Annotated[int, Field(ge=0)] = Field(
        16, description="Least facts of a batch that the model's other workers help with; 0: they never do."
    )
    slice_lease_s: Annotated[float, Field(ge=0.5, le=600)] = Field(
        5.0, description="After so long without a sign of life from a helper, its slice is done again."
    )
    max_proposals: Count = Field(
        16, description="Edits that may wait to be published or dropped, each as large as its update."
    )
    proposal_ttl_s: Seconds = Field(30 * 24 * 3600.0, description="How long one of them waits until it is dropped.")
    deadline_s: Seconds = Field(4 * 3600.0, description="Longest time that one edit may take.")
    export_ttl_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        30 * 24 * 3600.0, description="How long the leader keeps a finished export; 0: for ever."
    )
    stop_grace_s: Annotated[float, Field(ge=0)] = Field(5.0, description="What a stop leaves a running job.")
    log_level: LogLevel = Field("INFO", description="From which level on the worker's log lines are written.")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("name") or not values.get("model"):
            return values
        path = Path(values["model"]).resolve()
        return {**values, "name": path.stem if path.suffix.lower() == ".gguf" else path.name}

    @field_validator("host")
    @classmethod
    def _reached_with_a_secret(cls, host: str, others: ValidationInfo) -> str:
        if others.data.get("worker_secret") is None and not is_loopback(host):
            raise ValueError(
                "a worker that other machines can reach needs PALIMPSEST_WORKER_SECRET, the same as the front end's; "
                "or else listens on 127.0.0.1"
            )
        return host

    def url(self, port: int) -> str:
        """The base URL that the worker's card gives, when its HTTP listens on ``port``."""
        if self.advertise_url:
            return self.advertise_url.rstrip("/")
        everywhere = self.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
        host = socket.gethostname() if everywhere else self.host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def read_settings(arguments: Sequence[str] | None = None) -> WorkerSettings:
    """Settings from the command line (this process's, unless another is given) and the environment.

    Raises:
        SystemExit: status 2, with a sentence that names the options and variables at fault; 0 after ``--help``.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    command_line: CliSettingsSource[Any] = CliSettingsSource(
        WorkerSettings,
        cli_prog_name=PROGRAM,
        cli_parse_args=given,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        formatter_class=_Help,
    )
    try:
        return WorkerSettings(_cli_settings_source=command_line)
    except ValidationError as error:
        sentences = [f"{_given_by(name)}: {fault}" for name, fault in faults(error).items()]
        sys.stderr.write(f"{PROGRAM}: error: {'; '.join(sentences)}\n")
        raise SystemExit(2) from None


def _given_by(name: str) -> str:
    return f"--{name.replace('_', '-')} ({WorkerSettings.variable(name)})"


class _Help(argparse.HelpFormatter):
    """Help that says nothing of a default that is none: the description does."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return (action.help or "").removesuffix(" (default: None)").removesuffix(" (default: )")
