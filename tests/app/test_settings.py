"""Settings come from the environment; an invalid one refuses to start."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PALIMPSEST_{name.upper()}", raising=False)


def test_everything_has_a_default() -> None:
    settings = Settings()
    assert (settings.port, settings.max_facts, settings.redis_url) == (8000, 1000, None)
    assert settings.log_dir == settings.data_dir / "log"


def test_logs_and_accepted_jobs_are_kept_with_the_data_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALIMPSEST_DATA_DIR", "/data")
    assert Settings().log_dir == Path("/data/log")
    assert Settings().accepted_dir == Path("/data/accepted")
    monkeypatch.setenv("PALIMPSEST_LOG_DIR", "/log")
    monkeypatch.setenv("PALIMPSEST_ACCEPTED_DIR", "/accepted")
    assert (Settings().log_dir, Settings().accepted_dir) == (Path("/log"), Path("/accepted"))


def test_the_logs_may_lie_in_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALIMPSEST_LOG_DIR", "s3://bucket//logs")
    assert Settings().log_dir == "s3://bucket//logs"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_TIMEOUT_S", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("DEFAULT_MODEL", "../atlas"),
        ("MAX_FACTS", "0"),
        ("MAX_BODY_BYTES", "-1"),
        ("QUESTION_TIMEOUT_S", "inf"),
        ("RESULT_TTL_S", "0.5"),
        ("IDEMPOTENCY_TTL_S", str(31 * 24 * 3600)),  # longer than the job is remembered
    ],
)
def test_an_invalid_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"PALIMPSEST_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()
