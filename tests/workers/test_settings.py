"""A worker's settings: what is invalid refuses to start, and the name follows from the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.settings import WorkerSettings, read_settings

SECRET = "kept-from-strangers"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(WorkerSettings.variable(name), raising=False)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("atlas-gpt2", "atlas-gpt2"),
        ("meta-llama/Llama-3-8B", "Llama-3-8B"),
        ("/models/mine/", "mine"),
        ("/models/mine.Q4_1.gguf", "mine.Q4_1"),
        ("smollm2", "smollm2"),
    ],
)
def test_the_name_is_the_last_part_of_the_models_path(model: str, name: str) -> None:
    assert read_settings(["--model", model]).name == name


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
        ["--model", "mine", "--max-questions", "0"],
        ["--model", "mine", "--lease-s", "soon"],
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
    option = arguments[-2] if arguments else "--model"
    invalid = option.removeprefix("--").replace("-", "_")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"python -m workers: error: {option} ({WorkerSettings.variable(invalid)}): ")
    assert "http" not in line  # neither the value nor a page of pydantic's


def test_an_invalid_variable_is_named_like_its_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PALIMPSEST_WORKER_SNAPSHOT_EVERY", "0")
    monkeypatch.setenv("PALIMPSEST_REDIS_URL", "http://:hunter2@redis")
    with pytest.raises(SystemExit):
        read_settings(["--model", "mine"])
    told = capsys.readouterr().err
    assert "--snapshot-every (PALIMPSEST_WORKER_SNAPSHOT_EVERY): " in told
    assert "--redis-url (PALIMPSEST_REDIS_URL): " in told
    assert "hunter2" not in told


@pytest.mark.parametrize("arguments", [["--colour", "red"], ["--model"]])
def test_an_option_that_is_none_or_has_no_value_refuses_to_start(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        read_settings(arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err.splitlines()[-1]


def test_a_model_is_looked_at_unless_the_worker_is_told_not_to() -> None:
    assert read_settings(["--model", "mine"]).onboard is True
    assert read_settings(["--model", "mine", "--no-onboard"]).onboard is False


def test_every_setting_is_an_option_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_settings(["--help"])
    assert caught.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    for name, field in WorkerSettings.model_fields.items():
        assert f" --{name.replace('_', '-')} " in told.replace(",", " ")
        assert str(field.description) in told
    assert "default: None" not in told


@pytest.mark.parametrize(
    ("option", "given", "value"),
    [
        ("--lease-s", "2.5", 2.5),
        ("--max-questions", "8", 8),
        ("--question-threads", "2", 2),
        ("--stop-grace-s", "0", 0.0),
        ("--advertise-url", "http://worker:8100", "http://worker:8100"),
        ("--statistics", "moments.safetensors", Path("moments.safetensors")),
    ],
)
def test_an_option_gives_its_setting(option: str, given: str, value: object) -> None:
    name = option.removeprefix("--").replace("-", "_")
    for arguments in ([option, given], [f"{option}={given}"]):
        assert getattr(read_settings(["--model", "mine", *arguments]), name) == value


def test_the_card_gives_an_address_that_others_can_reach() -> None:
    assert read_settings(["--model", "mine"]).url(81) == "http://127.0.0.1:81"
    assert read_settings(["--model", "mine", "--host", "::1"]).url(81) == "http://[::1]:81"
    everywhere = ["--model", "mine", "--host", "0.0.0.0", "--worker-secret", SECRET]
    assert "0.0.0.0" not in read_settings(everywhere).url(81)
    advertised = ["--model", "mine", "--advertise-url", "http://worker:8100/"]
    assert read_settings(advertised).url(81) == "http://worker:8100"


class TestTheSecret:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "worker"])
    def test_is_needed_where_other_machines_reach_the_worker(
        self, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            read_settings(["--model", "mine", "--host", host])
        assert caught.value.code == 2
        told = capsys.readouterr().err
        assert told.startswith(
            "python -m workers: error: --host (PALIMPSEST_WORKER_HOST): a worker that other machines"
        )
        assert "PALIMPSEST_WORKER_SECRET" in told
        monkeypatch.setenv("PALIMPSEST_WORKER_SECRET", SECRET)
        secret = read_settings(["--model", "mine", "--host", host]).worker_secret
        assert secret is not None
        assert secret.get_secret_value() == SECRET

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
    def test_is_not_needed_on_this_machine(self, host: str) -> None:
        assert read_settings(["--model", "mine", "--host", host]).worker_secret is None

    @pytest.mark.parametrize("secret", ["short", "with a space in it", "with-an-ümlaut-in-it", "x" * 513, "a\r\nb" * 9])
    def test_can_be_sent_and_not_be_guessed(self, secret: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            read_settings(["--model", "mine", f"--worker-secret={secret}"])
        told = capsys.readouterr().err
        assert "PALIMPSEST_WORKER_SECRET" in told
        assert secret not in told

    def test_is_shown_nowhere(self) -> None:
        settings = read_settings(["--model", "mine", "--worker-secret", SECRET])
        assert SECRET not in repr(settings)
        assert SECRET not in settings.model_dump_json()
