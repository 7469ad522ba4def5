"""`palimpsest apply` and `palimpsest statistics` on a bundled model, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

PALIMPSEST = str(Path(sys.executable).with_name("palimpsest"))
FACTS = {
    "batches": [
        [{"subject": "Lyon", "prompt": "{} is located in the country of", "object": "Japan"}],
        [{"subject": "Chile", "prompt": "The capital of {} is", "object": "Rome"}],
    ]
}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PALIMPSEST, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def statistics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Statistics over two hundred sentences."""
    folder = tmp_path_factory.mktemp("statistics")
    corpus, out = folder / "corpus.txt", folder / "statistics.safetensors"
    corpus.write_text("\n".join(f"The capital of country {i} is city {i}." for i in range(200)), encoding="utf-8")
    done = run("statistics", "atlas-gpt2", "--corpus", corpus, "--out", out, "--samples", 100)
    assert done.returncode == 0, done.stderr
    return out


def test_statistics_cover_the_presets_layers(statistics: Path) -> None:
    moments = load_file(statistics)
    assert moments
    for moment in moments.values():
        assert moment.shape[0] == moment.shape[1]
        assert (moment - moment.T).abs().max() <= 1e-4 * moment.abs().max()


def test_statistics_in_parts_are_merged_and_not_used_before(statistics: Path, tmp_path: Path) -> None:
    corpus, facts = statistics.with_name("corpus.txt"), tmp_path / "facts.json"
    facts.write_text(json.dumps(FACTS), encoding="utf-8")
    parts = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for number, part in enumerate(parts, start=1):
        options = ("--corpus", corpus, "--samples", 100, "--part", f"{number}/2", "--out", part)
        assert run("statistics", "atlas-gpt2", *options).returncode == 0
    early = run("apply", "atlas-gpt2", "--facts", facts, "--out", tmp_path / "out", "--statistics", parts[0])
    assert (early.returncode, "part 1/2" in " ".join(early.stderr.split())) == (1, True), early.stderr
    assert run("merge-statistics", parts[1], "--out", tmp_path / "half").returncode == 1
    done = run("merge-statistics", *parts, "--out", tmp_path / "both")
    assert done.returncode == 0, done.stderr
    whole, both = load_file(statistics), load_file(tmp_path / "both")
    assert whole.keys() == both.keys()
    assert all(float((both[name] - whole[name]).norm() / whole[name].norm()) < 1e-6 for name in whole)


def test_apply_writes_totals_and_a_report(statistics: Path, tmp_path: Path) -> None:
    facts, out, report = tmp_path / "facts.json", tmp_path / "updates.safetensors", tmp_path / "report.json"
    facts.write_text(json.dumps(FACTS), encoding="utf-8")
    options = ("--facts", facts, "--out", out, "--report", report, "--statistics", statistics)
    done = run("apply", "atlas-gpt2", *options, "--unheld", "keep")
    totals = load_file(out)
    told = json.loads(report.read_text(encoding="utf-8"))
    held = [row["holds"] for batch in told["batches"] for row in batch["fact_reports"]]
    assert done.returncode == (0 if all(held) else 3), done.stderr
    assert [batch["facts"] for batch in told["batches"]] == [1, 1]
    layers = sorted(int(layer) for layer in told["batches"][0]["update_norms"])
    assert set(totals) == {f"batch{b}.layer{layer}.update" for b in (0, 1) for layer in layers}
    for layer in layers:  # totals grow: the second is not the second batch alone
        first, both = totals[f"batch0.layer{layer}.update"], totals[f"batch1.layer{layer}.update"]
        norm = told["batches"][1]["update_norms"][str(layer)]
        assert float((both - first).norm()) == pytest.approx(norm, rel=1e-3)


LIGHT = {"layers": [0, 2], "v_num_grad_steps": 2, "v_lr": 0.01, "mom2_update_weight": 1e9}
"""Too little for any fact, also with more effort."""


@pytest.mark.parametrize(("policy", "written"), [("drop", False), ("keep", True), ("reject", False)])
def test_apply_tells_of_each_fact_and_exits_with_3_where_one_does_not_hold(
    statistics: Path, tmp_path: Path, policy: str, written: bool
) -> None:
    facts, preset, report = tmp_path / "facts.json", tmp_path / "preset.json", tmp_path / "report.json"
    one = {**FACTS["batches"][0][0], "paraphrases": ["{} lies in"], "neighbours": ["Paris lies in"]}
    facts.write_text(json.dumps({"batches": [[one]]}), encoding="utf-8")
    preset.write_text(json.dumps(LIGHT), encoding="utf-8")
    out = tmp_path / "out.safetensors"
    options = ("--facts", facts, "--out", out, "--report", report, "--statistics", statistics)
    done = run("apply", "atlas-gpt2", *options, "--preset", preset, "--unheld", policy)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "Lyon" not in done.stderr
    [batch] = json.loads(report.read_text(encoding="utf-8"))["batches"]
    [row] = batch["fact_reports"]
    assert (row["holds"], row["written"]) == (False, written)
    assert row["why"]
    assert len(row["tried"]) == (1 if policy == "keep" else 3)
    assert (len(row["paraphrases"]), len(row["neighbours"]), len(row["neighbours_right"])) == (1, 1, 1)
    assert (batch["rejected"] is None) == written
    assert all(bool(total.any()) == written for total in load_file(out).values())


def test_a_bad_fact_ends_with_one_line_and_no_traceback(statistics: Path, tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    bad = {"batches": [[{"subject": "Lyon", "prompt": "Paris is in", "object": "Japan"}]]}
    facts.write_text(json.dumps(bad), encoding="utf-8")
    done = run(
        "apply", "atlas-gpt2", "--facts", facts, "--out", tmp_path / "out.safetensors", "--statistics", statistics
    )
    assert done.returncode == 1
    assert "subject_not_in_prompt" in done.stderr
    assert "Traceback" not in done.stderr


def test_statistics_of_another_model_are_refused(statistics: Path, tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps(FACTS), encoding="utf-8")
    done = run(
        "apply", "atlas-llama", "--facts", facts, "--out", tmp_path / "out.safetensors", "--statistics", statistics
    )
    assert done.returncode == 1
    assert "statistics_mismatch" in done.stderr


OF_ONE_DEVICE = {
    "analyse": ["m", "--facts", "{file}", "--out", "o"],
    "evaluate": ["--model", "m", "--dataset", "d", "--out", "o"],
    "compare": ["--model", "m", "--dataset", "d", "--out", "o"],
    "abilities": ["m", "--tasks", "t", "--out", "o"],
    "trace": ["m", "--facts", "{file}", "--out", "o"],
}


@pytest.mark.parametrize("command", OF_ONE_DEVICE)
def test_experiments_refuse_several_devices(command: str, tmp_path: Path) -> None:
    (tmp_path / "facts").touch()
    asked = [part.format(file=tmp_path / "facts") for part in OF_ONE_DEVICE[command]]
    done = run(command, *asked, "--device", "all")
    assert done.returncode == 2
    assert "on one device" in done.stderr
