"""A second model is added to a service that runs, is there after a restart, and is taken away; one cannot be had."""

from __future__ import annotations

import shutil
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import ended
from tests.support.served import PATIENCE_S, serving
from tests.support.tiny_models import save_tiny
from tests.support.worker_bench import opened


@dataclass(frozen=True)
class Home:
    """A tiny model, its statistics, and a folder with a copy of it that may be added."""

    root: Path

    @classmethod
    def prepare(cls, root: Path) -> Home:
        save_tiny(root / "tiny")
        with opened(root / "tiny", root / "made"):
            pass
        shutil.copytree(root / "tiny", root / "offered" / "second")
        return cls(root)

    def serving(self) -> AbstractContextManager[httpx.Client]:
        """`palimpsest serve` with one model, out of the hub's reach."""
        [statistics] = (self.root / "made" / "statistics").iterdir()
        environment = {
            "HF_HUB_OFFLINE": "1",
            "PALIMPSEST_MODELS_DIR": str(self.root / "offered"),
            "PALIMPSEST_WORKER_PRESET": str(self.root / "tiny" / "preset.json"),
            "PALIMPSEST_WORKER_STATISTICS": str(statistics),
        }
        return serving(str(self.root / "tiny"), self.root / "data", self.root / "serve.log", **environment)


def until_answered(http: httpx.Client, model: str, status: int = 200) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if asked(http, model).status_code == status:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)


def asked(http: httpx.Client, model: str) -> httpx.Response:
    body = {"model": model, "prompts": [{"prompt": "Lyon is a city in"}]}
    return http.post("/query", json=body)


def added(http: httpx.Client, model: str) -> dict[str, Any]:
    posted = http.post("/models", json={"model": model})
    assert posted.status_code == 202, posted.text
    return ended(http, posted.headers["Location"], PATIENCE_S)


def test_a_model_comes_stays_and_goes_while_another_one_answers(tmp_path: Path) -> None:
    home = Home.prepare(tmp_path)
    with home.serving() as http:
        assert asked(http, "second").status_code == 404
        job = added(http, "second")
        assert (job["kind"], job["status"], job["model"]) == ("onboard", "succeeded", "second"), job
        assert asked(http, "second").status_code == 200
        assert asked(http, "tiny").status_code == 200
        failed = added(http, "nobody/nothing")
        assert (failed["status"], failed["error"]["code"]) == ("failed", "onboarding_failed")
        assert asked(http, "nothing").status_code == 404
    with home.serving() as http:
        until_answered(http, "second")
        assert http.get(f"/jobs/{job['id']}").json()["status"] == "succeeded"
        assert http.delete("/models/second").status_code == 204
        until_answered(http, "second", 503)
        assert asked(http, "tiny").status_code == 200
        assert http.delete("/models/tiny").json()["code"] == "conflict"
