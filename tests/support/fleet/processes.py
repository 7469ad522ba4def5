"""Real vLLM servers on the CPU, and `palimpsest follow`: processes that are started, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.domain.contract import EngineServer
from app.local.stack import free_port
from tests.support.worker_process import until

PATIENCE_S = 900.0
"""A start takes 40 s on two idle cores, and many times that beside other work."""

PALIMPSEST = str(Path(sys.executable).with_name("palimpsest"))

OPTIONS = {
    "--dtype": "float32",
    "--max-model-len": "256",
    "--max-num-seqs": "16",
    "--max-loras": "8",
    "--max-cpu-loras": "16",
    "--max-lora-rank": "16",
    "--lora-target-modules": "down_proj",
    "--host": "127.0.0.1",
}
"""--lora-target-modules: what an edit changes; with its output layer too, vLLM on the CPU ends at prompt_logprobs.
--max-lora-rank: what the tests need, since every token takes time for it. --max-loras: versions that are asked at
once. --max-cpu-loras: versions that are held, more than a follower keeps."""


SERVERS_NICE = "5"
"""Servers that are asked all the time keep their cores busy: edits and the follower come first."""


class Program:
    """A process in a group of its own, which is killed with all that it has started; what it says goes to a file."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        self._command, self._environment = command, {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert not self.alive
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=output, stderr=output, process_group=0
            )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it and its children as a power cut would."""
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> int:
        """Ask it to end; its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE_S)


class VllmServer(Program):
    """``vllm serve`` with one thread, on one core of this machine."""

    def __init__(self, program: Path, model: Path, name: str, core: int, log: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        options = [part for option in OPTIONS.items() for part in option]
        command = [
            "nice",
            "-n",
            SERVERS_NICE,
            str(program),
            "serve",
            str(model),
            "--served-model-name",
            name,
            "--port",
            str(port),
            *options,
        ]
        environment = {
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": str(core),
            "OMP_NUM_THREADS": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": "",
        }
        super().__init__([*command, "--enable-lora", "--enforce-eager"], log, environment)

    def await_ready(self) -> None:
        """Return once it answers."""
        until(lambda: self._healthy() or not self.alive, f"{self.log} says why no vLLM answers", PATIENCE_S)
        assert self.alive, self.log.read_text()[-5000:]

    def models(self) -> set[str]:
        """The names that it answers to."""
        listed = httpx.get(f"{self.url}/v1/models", timeout=60.0, trust_env=False).raise_for_status().json()
        return {model["id"] for model in listed["data"]}

    def _healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5.0, trust_env=False).is_success
        except httpx.TransportError:
            return False


class FollowerProcess(Program):
    """``palimpsest follow vllm`` beside a service, of which only the data directory is named."""

    def __init__(self, data_dir: Path, servers: Sequence[VllmServer], log: Path, *options: str) -> None:
        urls = [part for server in servers for part in ("--url", server.url)]
        command = [PALIMPSEST, "follow", "vllm", *urls, *options]
        super().__init__(command, log, {"PALIMPSEST_DATA_DIR": str(data_dir), "OMP_NUM_THREADS": "1"})


@contextmanager
def ended_after(program: Program) -> Iterator[None]:
    """Nothing of it outlives the block."""
    try:
        yield
    finally:
        program.kill()


def serves(card: EngineServer, version: int) -> bool:
    """Whether a server has proven the version."""
    return card.state == "serving" and version in card.versions
