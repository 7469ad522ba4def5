"""A worker's settings: what is invalid refuses to start, and the name follows from the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.main import read_settings
from workers.models import bundled


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PALIMPSEST_REDIS_URL", "PALIMPSEST_DATA_DIR", "PALIMPSEST_LOG_DIR", "PALIMPSEST_WORKER_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("atlas-gpt2", "atlas-gpt2"),
        ("meta-llama/Llama-3-8B", "Llama-3-8B"),
        ("/models/mine/", "mine"),
    ],
)
def test_the_name_is_the_last_part_of_the_models_path(model: str, name: str) -> None:
    assert read_settings(["--model", model]).name == name


def test_a_bundled_model_is_found_by_its_name() -> None:
    assert read_settings(["--model", "atlas-gpt2"]).source == str(bundled("atlas-gpt2"))


def test_the_command_line_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALIMPSEST_WORKER_MODEL", "other")
    monkeypatch.setenv("PALIMPSEST_WORKER_PORT", "7000")
    monkeypatch.setenv("PALIMPSEST_REDIS_URL", "redis://elsewhere:1/2")
    settings = read_settings(["--model", "mine"])
    assert (settings.model, settings.port, settings.redis_url) == ("mine", 7000, "redis://elsewhere:1/2")


def test_the_log_lies_under_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(["--model", "mine"]).log_dir == Path(".palimpsest/log")
    assert read_settings(["--model", "mine", "--data-dir", "/data"]).log_dir == Path("/data/log")
    monkeypatch.setenv("PALIMPSEST_DATA_DIR", "/from/environment")
    assert read_settings(["--model", "mine"]).log_dir == Path("/from/environment/log")
    monkeypatch.setenv("PALIMPSEST_LOG_DIR", "/log")
    assert read_settings(["--model", "mine"]).log_dir == Path("/log")


def test_the_log_may_lie_in_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(["--model", "mine", "--log-dir", "s3://bucket//logs"]).log_dir == "s3://bucket//logs"
    monkeypatch.setenv("PALIMPSEST_LOG_DIR", "memory://logs")
    assert read_settings(["--model", "mine", "--data-dir", "/data"]).log_dir == "memory://logs"


def test_a_worker_leads_unless_it_is_told_otherwise() -> None:
    assert read_settings(["--model", "mine"]).role == "leader"
    assert read_settings(["--model", "mine", "--role", "auto"]).role == "auto"


def test_variables_of_other_programs_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:1/2")
    monkeypatch.setenv("DATA_DIR", "/elsewhere")
    monkeypatch.setenv("MODEL", "other")
    settings = read_settings(["--model", "mine"])
    assert (settings.redis_url, settings.data_dir) == ("redis://127.0.0.1:6379/0", Path(".palimpsest"))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--model", ""],
        ["--model", "mine", "--name", "../mine"],
        ["--model", "mine", "--port", "70000"],
        ["--model", "mine", "--dtype", "int8"],
        ["--model", "mine", "--device", "tpu"],
        ["--model", "mine", "--redis-url", "http://x"],
        ["--model", "mine", "--log-level", "loud"],
        ["--model", "mine", "--role", "boss"],
    ],
)
def test_an_invalid_value_refuses_to_start(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_settings(arguments)
    assert caught.value.code == 2
    invalid = arguments[-2].removeprefix("--").replace("-", "_") if arguments else "model"
    assert f"{invalid}:" in capsys.readouterr().err


def test_the_card_gives_an_address_that_others_can_reach() -> None:
    assert read_settings(["--model", "mine"]).url(81) == "http://127.0.0.1:81"
    assert read_settings(["--model", "mine", "--host", "::1"]).url(81) == "http://[::1]:81"
    assert "0.0.0.0" not in read_settings(["--model", "mine", "--host", "0.0.0.0"]).url(81)
    advertised = ["--model", "mine", "--advertise-url", "http://worker:8100/"]
    assert read_settings(advertised).url(81) == "http://worker:8100"
