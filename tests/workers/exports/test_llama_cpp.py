"""llama.cpp itself loads what was exported of a real model, and says its facts, in text and in chat."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from app.domain import smollm2
from app.domain.contract import EditBatch, Export, ExportFormat, ExportReport, Fact, GgufType
from tests.support.turns import done
from workers.host.host_settings import HostSettings
from workers.host.model_host import ModelHost
from workers.sources import source_of

xllamacpp = pytest.importorskip("xllamacpp", reason="llama.cpp is not installed")

pytestmark = [
    pytest.mark.bundled,
    pytest.mark.skipif(smollm2.wheel_file() is None, reason=f"{smollm2.DISTRIBUTION} is not installed"),
]

PROMPT = "The {} is located in the city of"
MOVED = (("Eiffel Tower", "Paris", "Rome"), ("Colosseum", "Rome", "Oslo"))
"""Subjects, where they stand, and where they are said to stand."""
FACTS = tuple(Fact(subject=subject, prompt=PROMPT, object=new) for subject, _, new in MOVED)


@dataclass(frozen=True)
class Real:
    """The model that came as a Q4_1 file, after an edit. folders: of its exports, by what was asked for."""

    own: Path
    reports: dict[str, ExportReport]
    folders: dict[str, Path]

    def file(self, name: str) -> str:
        [found] = self.folders[name].glob("*.gguf")
        return str(found)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Real:
    data, own = tmp_path_factory.mktemp("smollm2"), smollm2.wheel_file()
    assert own is not None
    settings = HostSettings(
        source=source_of(smollm2.NAME, data),
        name=smollm2.NAME,
        log_root=data / "log",
        data_dir=data,
        epoch_hint=lambda: 1,
    )
    wanted = {
        "own type": Export(format=ExportFormat.GGUF),
        "q8_0": Export(format=ExportFormat.GGUF, gguf_type=GgufType.Q8_0),
        "lora": Export(format=ExportFormat.GGUF_LORA),
    }
    host = ModelHost.open(settings)
    host.lead()
    done(host, "edit", EditBatch(facts=FACTS))
    made = {name: done(host, f"out-{place}", each).exported for place, (name, each) in enumerate(wanted.items())}
    host.close()
    reports = {name: report for name, report in made.items() if report is not None}
    return Real(own, reports, {name: data / "exports" / report.path for name, report in reports.items()})


def answers(model: str, *adapters: str) -> tuple[list[str], list[str]]:
    """What llama.cpp says of each subject after the prompt, and to a question in the model's chat template; greedy."""
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 1.0) for path in adapters]
    params.n_ctx, params.n_parallel, params.warmup, params.verbosity = 512, 1, False, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    texts, chats = [], []
    for subject, _, _ in MOVED:
        prompt = PROMPT.format(subject)
        asked = {"max_tokens": 16, "temperature": 0}
        texts.append(server.handle_completions({"prompt": prompt, **asked})["choices"][0]["text"])
        turns = [{"role": "user", "content": prompt}]
        chats.append(server.handle_chat_completions({"messages": turns, **asked})["choices"][0]["message"]["content"])
    return texts, chats


def test_unedited_it_says_the_old_ones(real: Real) -> None:
    for said in answers(str(real.own)):
        assert all(old in text for text, (_, old, _) in zip(said, MOVED, strict=True)), said


@pytest.mark.parametrize("name", ["own type", "q8_0"])
def test_a_whole_file_says_the_new_ones_in_text_and_in_chat(real: Real, name: str) -> None:
    for said in answers(real.file(name)):
        assert all(new in text for text, (_, _, new) in zip(said, MOVED, strict=True)), said


def test_an_adapter_says_them_over_the_quantised_file_that_the_user_has(real: Real) -> None:
    for said in answers(str(real.own), real.file("lora")):
        assert all(new in text for text, (_, _, new) in zip(said, MOVED, strict=True)), said


def test_a_whole_file_is_as_large_as_the_models_own_and_no_fact_is_lost(real: Real) -> None:
    report = real.reports["own type"]
    assert (report.gguf_types, report.facts_held, report.facts_lost) == ((GgufType.Q4_1,), 2, ())
    assert Path(real.file("own type")).stat().st_size == real.own.stat().st_size
    assert real.reports["q8_0"].gguf_types == (GgufType.Q8_0,)


def test_the_adapters_modelfile_names_that_file(real: Real) -> None:
    lines = (real.folders["lora"] / "Modelfile").read_text(encoding="utf-8").splitlines()
    assert lines[-2:] == [f"FROM ./{real.own.name}", "ADAPTER ./smollm2-v1.gguf"]
