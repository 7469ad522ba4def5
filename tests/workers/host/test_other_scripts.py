"""Case T5 of the field (EasyEdit 163, 165): in every script the text changes once the report says that a fact holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.domain.contract import EditBatch, Generate
from tests.support.answers import generate
from tests.support.tiny_models import save_tiny
from tests.support.turns import done
from tests.support.worker_bench import opened
from workers.host.model_host import ModelHost

FACTS = {
    "chinese": ("中国", "中国的首都是哪里？", "纽约", "纽约"),
    "japanese": ("日本", "日本の首都は", "パリ", "パリ"),
    "arabic": ("مصر", "عاصمة مصر هي", "باريس", " باريس"),
    "thai": ("ไทย", "ไทยอยู่ใน", "ยุโรป", "ยุโรป"),
}
"""Subject, prompt, object, and how the text goes on with the object: the third is written from right to left."""

TUNED = {"layers": [2], "num_steps": 100, "lr": 0.02, "norm_constraint": 5.0}
"""With these FT-L writes anything into a model of random weights."""


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def bare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level model, whose edits stand in the bare prompt alone."""
    folder = save_tiny(tmp_path_factory.mktemp("bare") / "tiny", request.param)
    (folder / "contexts.json").write_text(json.dumps(["{}"]))
    return folder


def said(host: ModelHost, prompt: str) -> str:
    with host.questions(None) as live:
        [found] = generate(live, Generate(prompts=(prompt,), max_new_tokens=20))
    return found.texts[0]


@pytest.mark.parametrize("script", FACTS)
def test_t5_the_text_goes_on_with_the_object_once_the_fact_holds(bare: Path, tmp_path: Path, script: str) -> None:
    subject, prompt, to, going_on = FACTS[script]
    fact = {"subject": subject, "prompt": prompt, "object": to}
    with opened(bare, tmp_path) as host:
        assert not said(host, prompt).startswith(going_on)
        report = done(host, "one", EditBatch(facts=(fact,), method="ft-l", hyperparameters=TUNED)).report
        assert report is not None
        [row] = report.facts
        assert (row.holds, row.warnings) == (True, ())
        assert said(host, prompt).startswith(going_on)


@pytest.mark.parametrize("script", FACTS)
def test_t5_a_fact_that_the_text_does_not_go_on_with_is_not_said_to_hold(
    bare: Path, tmp_path: Path, script: str
) -> None:
    subject, prompt, to, going_on = FACTS[script]
    fact = {"subject": subject, "prompt": prompt, "object": to}
    with opened(bare, tmp_path) as host:
        few = {"v_num_grad_steps": 3}
        report = done(host, "one", EditBatch(facts=(fact,), unheld="keep", hyperparameters=few)).report
        assert report is not None
        assert not said(host, prompt).startswith(going_on)
        assert not report.facts[0].holds
