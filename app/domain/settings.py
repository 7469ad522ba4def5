"""What the settings of the front end and of the workers have in common.

A setting comes from the variable of the environment that bears its name: ``PALIMPSEST_<NAME>`` for what both sides
share, and each side's own prefix for all else. A variable with our prefix that is no setting causes a warning.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app.domain.log.root import LogRootSetting

logger = logging.getLogger(__name__)

PREFIX = "PALIMPSEST_"
WORKER_PREFIX = "PALIMPSEST_WORKER_"
DATA_DIR = Path(".palimpsest")

NO_SETTINGS = frozenset(
    {
        # of the command line's client
        "PALIMPSEST_COMPLETE",
        "PALIMPSEST_ENGINE_KEY",
        "PALIMPSEST_KEY",
        "PALIMPSEST_URL",
        # of docker-compose.yml
        "PALIMPSEST_BIND",
        "PALIMPSEST_MODEL",
        "PALIMPSEST_MONITORING_KEY",
        "PALIMPSEST_REDIS_PASSWORD",
        "PALIMPSEST_REPLICAS",
        "PALIMPSEST_VLLM_GPU",
        # of the tests
        "PALIMPSEST_CRASH_SEED",
        "PALIMPSEST_CRASH_SHARE",
        "PALIMPSEST_FAILPOINTS",
        "PALIMPSEST_OUTAGE_S",
        "PALIMPSEST_SERVICE_LIVES",
    }
)
"""Variables with our prefix that are known and belong to neither side's settings."""

ALIKE = 0.7
"""Least similarity (difflib's ratio) at which an unknown name is taken for a misspelt setting."""

SECRET = re.compile(r"[\x21-\x7e]{16,512}")

REDIS_SCHEMES = ("redis", "rediss", "unix")


def _redis_url(url: str) -> str:
    """The URL, if it can name a Redis server. redis-py checks its options when it connects."""
    parts = urlsplit(url)
    if parts.scheme not in REDIS_SCHEMES or not url.startswith(f"{parts.scheme}://"):
        raise ValueError("a Redis URL begins with redis://, rediss:// or unix://")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("the port of a Redis URL is a number from 0 to 65535") from None
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("a Redis URL with unix:// names a socket")
    return url


def _sendable(secret: SecretStr) -> SecretStr:
    """The secret, if it can be sent in a header and is too long to be guessed."""
    if not SECRET.fullmatch(secret.get_secret_value()):
        raise ValueError("a secret has 16 to 512 letters, digits, and signs that are no spaces")
    return secret


Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65535)]
Secret = Annotated[SecretStr, AfterValidator(_sendable)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class SharedSettings(BaseSettings):
    """Where Redis is and where the data lie: both sides read the same variables.

    Raises:
        pydantic.ValidationError: a value is missing or out of its range. It names the setting, and does not quote the
            value: a URL may hold a password.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    redis_url: RedisUrl | None = Field(None, description="redis://, rediss:// or unix://.")
    data_dir: Path = Field(DATA_DIR, description="Edit logs and all else that is kept.")
    log_dir: LogRootSetting = Field(
        DATA_DIR / "log", description="Root of the edit logs, or a URL that fsspec knows; by default <data_dir>/log."
    )
    log_form: Literal["auto", "json", "text"] = Field(
        "auto", description="Of log lines: a JSON object each, or text; auto: text at a terminal, JSON elsewhere."
    )

    worker_secret: Secret | None = Field(
        None,
        description="What front end and workers know each other by, the same for all; needed where a worker's HTTP can "
        "be reached from other machines. Better not given as an option, which everybody on the machine can read.",
    )
    tracing: bool = Field(
        False,
        description="Traces by OpenTelemetry (extra `tracing`); also on where OTEL_EXPORTER_OTLP_ENDPOINT is set.",
    )

    folders: ClassVar[tuple[str, ...]] = ("log",)
    """What lies below ``data_dir`` unless ``<folder>_dir`` says otherwise."""

    @classmethod
    def variable(cls, name: str) -> str:
        """The variable of the environment that gives a setting."""
        prefix = PREFIX if name in SharedSettings.model_fields else cls.model_config.get("env_prefix", PREFIX)
        return f"{prefix}{name.upper()}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, by a source of our own: pydantic's knows only one prefix."""
        return init_settings, _Variables(settings_cls)

    @model_validator(mode="before")
    @classmethod
    def _below_data(cls, values: dict[str, Any]) -> dict[str, Any]:
        if "data_dir" not in values:
            return values
        return {**{f"{folder}_dir": Path(values["data_dir"]) / folder for folder in cls.folders}, **values}


class _Variables(PydanticBaseSettingsSource):
    """The environment. A variable that is set to nothing counts as not set, and capitals do not matter."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str | None, str, bool]:
        """The text of one setting's variable."""
        assert issubclass(self.settings_cls, SharedSettings)
        return _environment().get(self.settings_cls.variable(field_name)), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All settings that the environment gives."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: text for name, text in found.items() if text}


def faults(error: ValidationError) -> dict[str, str]:
    """What is wrong with each invalid setting, by its name; no value is quoted."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return {".".join(map(str, each["loc"][:1])): each["msg"].removeprefix("Value error, ") for each in found}


def warn_of_unknown_variables(settings: type[SharedSettings]) -> None:
    """One warning for each variable of the environment that looks like one of these settings and is none."""
    for variable, meant in unknown_variables(settings, _environment()):
        hint = f"; is {meant} meant?" if meant else ""
        logger.warning("%s is set, but there is no such setting%s", variable, hint)


def unknown_variables(
    settings: type[SharedSettings], environment: Mapping[str, str]
) -> Iterator[tuple[str, str | None]]:
    """Each variable with our prefix that is no setting, in order, and the one that is probably meant.

    The other side's variables are left to the other side: the front end ignores those with the workers' prefix; a
    worker ignores those without it, unless they resemble a setting that both share.
    """
    own = settings.model_config.get("env_prefix", PREFIX)
    known = {settings.variable(name) for name in settings.model_fields}
    others = {name for name in environment if name.startswith(WORKER_PREFIX) and own != WORKER_PREFIX}
    for variable in sorted(environment.keys() - known - others - NO_SETTINGS):
        if variable.startswith(own):
            yield variable, _meant(variable.removeprefix(own), settings, settings)
        elif variable.startswith(PREFIX) and (meant := _meant(variable.removeprefix(PREFIX), SharedSettings, settings)):
            yield variable, meant


def _meant(rest: str, among: type[SharedSettings], settings: type[SharedSettings]) -> str | None:
    """The variable of the setting whose name is most like the rest of a variable after its prefix, if one is."""
    variables = {name.upper(): settings.variable(name) for name in among.model_fields}
    found = difflib.get_close_matches(rest, variables, n=1, cutoff=ALIKE)
    return variables[found[0]] if found else None


def _environment() -> dict[str, str]:
    return {name.upper(): text for name, text in os.environ.items()}
