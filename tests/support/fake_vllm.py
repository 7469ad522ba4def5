"""A server that answers as vLLM does, over a tiny model, with faults that a test arms."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from safetensors.torch import load_file
from transformers import PreTrainedModel

from workers.editing.loading import load
from workers.serving.server_thread import ServerThread

PREFIX = "base_model.model."


@dataclass
class Faults:
    """What goes wrong. statuses: by path, answers still to be given in place of the right one; 0: none, in time."""

    serves_base: bool = False
    forgets_at_once: bool = False
    max_lora_rank: int = 512
    says_limit: bool = True
    updating: bool = True
    statuses: dict[str, list[int]] = field(default_factory=dict)
    garbage: bool = False
    nan: bool = False
    hang: threading.Event | None = None


@dataclass
class FakeVllm:
    """One server. ``calls``: what it was asked to load and unload, in order."""

    base: PreTrainedModel
    name: str = "base"
    window: int = 48
    faults: Faults = field(default_factory=Faults)
    adapters: dict[str, tuple[str, PreTrainedModel]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    salts: set[str] = field(default_factory=set)
    url: str = ""

    def restart(self) -> None:
        """All adapters are forgotten, as when the process is started again."""
        self.adapters.clear()

    @property
    def served(self) -> set[str]:
        return set(self.adapters)

    def models(self) -> dict[str, Any]:
        base = {
            "id": self.name,
            "object": "model",
            "root": "/models/base",
            "parent": None,
            "max_model_len": self.window,
        }
        rest = [{"id": name, "root": path, "parent": self.name} for name, (path, _) in self.adapters.items()]
        return {"object": "list", "data": [base, *rest]}

    def load(self, name: str, path: str) -> Response:
        self.calls.append(("load", name))
        if name in self.adapters:
            return error(400, f"The lora adapter '{name}' has already been loaded.")
        folder = Path(path)
        if not (folder / "adapter_config.json").is_file():
            return error(404, f"Loading lora {name} failed: No adapter found for {path}")
        rank = int(json.loads((folder / "adapter_config.json").read_text())["r"])
        if rank > self.faults.max_lora_rank:
            limit = f" {self.faults.max_lora_rank}" if self.faults.says_limit else ""
            return error(500, f"LoRA rank {rank} is greater than max_lora_rank{limit}.")
        model = self.base if self.faults.serves_base else with_adapter(self.base, folder)
        if not self.faults.forgets_at_once:
            self.adapters[name] = path, model
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    def unload(self, name: str) -> Response:
        self.calls.append(("unload", name))
        if self.adapters.pop(name, None) is None:
            return error(404, f"The lora adapter '{name}' cannot be found.")
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    def complete(self, body: dict[str, Any]) -> Response:
        assert body["max_tokens"] == 1
        assert body["cache_salt"] not in self.salts  # what was cached must not answer
        self.salts.add(body["cache_salt"])
        if body["model"] != self.name and body["model"] not in self.adapters:
            return error(404, f"The model `{body['model']}` does not exist.")
        model = self.base if body["model"] == self.name else self.adapters[body["model"]][1]
        if any(len(ids) + 1 > self.window for ids in body["prompt"]):
            return error(400, "This model's maximum context length was exceeded.")
        choices = [
            {"index": index, "text": "", "prompt_logprobs": self.logprobs(model, ids)}
            for index, ids in enumerate(body["prompt"])
        ]
        if self.faults.nan:
            text = json.dumps({"model": body["model"], "choices": choices}).replace(
                '"logprob": -', '"logprob": NaN, "x": -'
            )
            return Response(text, media_type="application/json")
        return JSONResponse({"model": body["model"], "choices": choices})

    @staticmethod
    @torch.inference_mode()
    def logprobs(model: PreTrainedModel, ids: list[int]) -> list[Any]:
        logits = model(input_ids=torch.tensor([ids])).logits[0].float()
        scores = logits.log_softmax(-1)
        told: list[Any] = [None]
        for at, token in enumerate(ids[1:]):
            rank = 1 + int((scores[at] > scores[at, token]).sum())
            told.append({str(token): {"logprob": float(scores[at, token]), "rank": rank, "decoded_token": "?"}})
        return told


def with_adapter(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model with B A added to the weights, in its dtype; raises what a spoiled file raises."""
    tensors = load_file(folder / "adapter_model.safetensors")
    model = copy.deepcopy(base)
    for name in json.loads((folder / "adapter_config.json").read_text())["target_modules"]:
        right, left = (tensors[f"{PREFIX}{name}.lora_{side}.weight"] for side in ("A", "B"))
        weight = model.get_submodule(name).weight
        assert isinstance(weight, torch.Tensor)
        change = (left.to(weight.dtype) @ right.to(weight.dtype)).view(left.shape[0], right.shape[1])
        with torch.no_grad():
            weight += change if weight.shape == change.shape else change.T
    return model


def error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "Error", "param": None, "code": status}}, status)


def application(fake: FakeVllm) -> FastAPI:
    app = FastAPI()

    def fault(path: str) -> Response | None:
        if fake.faults.hang is not None:
            fake.faults.hang.wait(30)
        if left := fake.faults.statuses.get(path):
            return error(left.pop(0), "armed")
        return Response("<html>a proxy's page</html>") if fake.faults.garbage else None

    @app.get("/v1/models")
    def models() -> Response:
        return fault("/v1/models") or JSONResponse(fake.models())

    @app.post("/v1/completions")
    def completions(body: dict[str, Any]) -> Response:
        return fault("/v1/completions") or fake.complete(body)

    @app.post("/v1/{action}_lora_adapter")
    def adapter(action: str, body: dict[str, str], request: Request) -> Response:
        if not fake.faults.updating:
            return JSONResponse({"detail": "Not Found"}, 404)
        told = fault(request.url.path)
        if told is not None:
            return told
        try:
            return (
                fake.load(body["lora_name"], body["lora_path"]) if action == "load" else fake.unload(body["lora_name"])
            )
        except Exception as problem:
            return error(500, str(problem))

    return app


@contextmanager
def fake_vllm(folder: Path, dtype: str = "float32") -> Iterator[FakeVllm]:
    """A server over the model in a folder."""
    fake = FakeVllm(load(str(folder), device="cpu", dtype=dtype).model)
    thread = ServerThread("127.0.0.1", 0)
    thread.serve(application(fake))
    fake.url = f"http://127.0.0.1:{thread.port}"
    yield fake
    if fake.faults.hang is not None:
        fake.faults.hang.set()
    thread.close()
