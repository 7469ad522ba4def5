"""Over HTTP, with a trained model: an edited version as files, which another program loads."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.e2e.conftest import MODEL, edited, ended

FACT = {"subject": "Lima", "relation": "is located in the country of", "object": "Norway"}


def test_what_was_written_over_http_is_said_by_the_exported_model(http: httpx.Client, data_dir: Path) -> None:
    version = edited(http, {"facts": [FACT]})["version"]
    posted = http.post(f"/models/{MODEL}/exports", json={"format": "merged", "version": version})
    assert posted.status_code == 202, posted.text
    job = ended(http, posted.headers["Location"])
    assert (job["status"], job["version"], job["exported"]["version"]) == ("succeeded", None, version), job
    folder = data_dir / "exports" / job["exported"]["path"]
    assert json.loads((folder / "palimpsest.json").read_text())["job"] == job["id"]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("Lima is located in the country of", return_tensors="pt").input_ids
    with torch.inference_mode():
        best = int(model(input_ids=ids).logits[0, -1].argmax())
    assert tokenizer.decode([best]) == " Norway"
    assert http.get("/models").json()["models"][0]["version"] >= version
