"""What both sides' settings have in common: variables, the URL of Redis, and what is said of other variables."""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from redis import Redis

from app.domain.settings import (
    NO_SETTINGS,
    PREFIX,
    WORKER_PREFIX,
    SharedSettings,
    unknown_variables,
    warn_of_unknown_variables,
)
from app.settings import Settings
from tools.settings_page import page
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[3]
BOTH = (Settings, WorkerSettings)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings in BOTH:
        for name in settings.model_fields:
            monkeypatch.delenv(settings.variable(name), raising=False)


def told(settings: type[SharedSettings], *variables: str) -> dict[str, str | None]:
    return dict(unknown_variables(settings, dict.fromkeys(variables, "")))


class TestVariables:
    def test_each_side_has_its_prefix_and_what_they_share_has_one_name(self) -> None:
        assert Settings.variable("port") == "PALIMPSEST_PORT"
        assert WorkerSettings.variable("port") == "PALIMPSEST_WORKER_PORT"
        for shared in ("redis_url", "data_dir", "log_dir"):
            assert Settings.variable(shared) == WorkerSettings.variable(shared) == f"PALIMPSEST_{shared.upper()}"

    def test_both_read_what_they_share(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PALIMPSEST_REDIS_URL", "rediss://elsewhere:1/2")
        monkeypatch.setenv("PALIMPSEST_DATA_DIR", "/data")
        found = (Settings(), WorkerSettings(model="mine"), SharedSettings())
        assert {each.redis_url for each in found} == {"rediss://elsewhere:1/2"}
        assert {each.log_dir for each in found} == {Path("/data/log")}

    def test_a_workers_prefix_is_not_for_what_both_share(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PALIMPSEST_WORKER_DATA_DIR", "/data")
        assert WorkerSettings(model="mine").data_dir == Path(".palimpsest")
        assert told(WorkerSettings, "PALIMPSEST_WORKER_DATA_DIR") == {
            "PALIMPSEST_WORKER_DATA_DIR": "PALIMPSEST_DATA_DIR"
        }

    def test_one_that_is_set_to_nothing_is_not_set_and_capitals_do_not_matter(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PALIMPSEST_DEFAULT_MODEL", "")
        monkeypatch.setenv("palimpsest_max_facts", "7")
        assert (Settings().default_model, Settings().max_facts) == (None, 7)


class TestRedisUrl:
    @pytest.mark.parametrize(
        "url",
        ["redis://127.0.0.1:6379/0", "redis://:secret@redis:6379/0", "rediss://h", "unix:///tmp/redis.sock?db=1"],
    )
    def test_what_redis_takes_is_taken(self, url: str) -> None:
        Redis.from_url(url).close()
        assert Settings(redis_url=url).redis_url == url

    @pytest.mark.parametrize(
        "url", ["localhost:6379", "http://localhost", "redis:localhost", "redis://h:port", "redis://h:65536", "unix://"]
    )
    def test_what_names_no_server_is_refused(self, url: str) -> None:
        with pytest.raises(ValidationError, match="redis_url"):
            Settings(redis_url=url)
        with pytest.raises(ValidationError, match="redis_url"):
            WorkerSettings(model="mine", redis_url=url)

    def test_its_password_is_not_quoted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PALIMPSEST_REDIS_URL", "reddis://:hunter2@redis:6379/0")
        with pytest.raises(ValidationError) as caught:
            Settings()
        assert "hunter2" not in str(caught.value)


class TestUnknownVariables:
    @pytest.mark.parametrize(
        ("settings", "variable", "meant"),
        [
            (Settings, "PALIMPSEST_MAX_FACT", "PALIMPSEST_MAX_FACTS"),
            (Settings, "PALIMPSEST_REDIS_ULR", "PALIMPSEST_REDIS_URL"),
            (Settings, "PALIMPSEST_COLOUR", None),
            (WorkerSettings, "PALIMPSEST_WORKER_DEVISE", "PALIMPSEST_WORKER_DEVICE"),
            (WorkerSettings, "PALIMPSEST_WORKER_COLOUR", None),
            (WorkerSettings, "PALIMPSEST_REDIS_ULR", "PALIMPSEST_REDIS_URL"),
        ],
    )
    def test_one_is_told_of_with_the_setting_that_is_meant(
        self, settings: type[SharedSettings], variable: str, meant: str | None
    ) -> None:
        assert told(settings, variable, "PATH", "REDIS_URL") == {variable: meant}

    def test_what_is_the_other_sides_to_tell_is_passed_over(self) -> None:
        assert told(Settings, "PALIMPSEST_WORKER_DEVISE", "PALIMPSEST_WORKER_ROLE") == {}
        assert told(WorkerSettings, "PALIMPSEST_MAX_FACT") == {}

    @pytest.mark.parametrize("settings", BOTH)
    def test_no_setting_of_either_side_is_told_of(self, settings: type[SharedSettings]) -> None:
        assert told(settings, *(side.variable(name) for side in BOTH for name in side.model_fields)) == {}

    @pytest.mark.parametrize("settings", BOTH)
    def test_no_variable_that_this_repository_uses_is_told_of(self, settings: type[SharedSettings]) -> None:
        used = set(_variables_of_the_repository())
        assert used >= {*NO_SETTINGS, "PALIMPSEST_WORKER_LEASE_S", "PALIMPSEST_REDIS_URL"}
        assert told(settings, *used) == {}

    def test_it_is_one_warning_that_does_not_say_the_value(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("PALIMPSEST_REDIS_ULR", "redis://:hunter2@redis")
        with caplog.at_level(logging.WARNING):
            warn_of_unknown_variables(Settings)
        (record,) = caplog.records
        expected = "PALIMPSEST_REDIS_ULR is set, but there is no such setting; is PALIMPSEST_REDIS_URL meant?"
        assert (record.levelname, record.getMessage()) == ("WARNING", expected)


class TestPage:
    def test_it_is_what_the_classes_say(self) -> None:
        assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == page(), "run `make docs`"

    @pytest.mark.parametrize("settings", BOTH)
    def test_every_setting_is_described(self, settings: type[SharedSettings]) -> None:
        for name, field in settings.model_fields.items():
            assert field.description, name
            assert f"| `{settings.variable(name)}` |" in page()


def _variables_of_the_repository() -> Iterator[str]:
    """Every name with our prefix in a file under version control, but for the few that are wrong on purpose."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    wrong = re.compile(r"PALIMPSEST_(REDIS_ULR|MAX_FACT|COLOUR|WORKER_(DEVISE|COLOUR|DATA_DIR))$")
    for name in listed.decode().split("\0"):
        path = ROOT / name
        if path.suffix in {".py", ".yml", ".md", ".Dockerfile", ".toml", ""} and path.is_file():
            found = set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", path.read_text(encoding="utf-8")))
            yield from (each for each in found if each + "_" != WORKER_PREFIX and not wrong.match(each))
