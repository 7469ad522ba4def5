"""The bundled models know what their cards say, and their data has the form that users expect."""

from __future__ import annotations

import json
from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from workers.editing.contexts import read_contexts
from workers.editing.loading import load
from workers.editing.lookup import subject_row
from workers.editing.text.joint import object_ids
from workers.editing.text.model_text import ModelText
from workers.models import NAMES, bundled
from workers.questions.scoring import standings

MOST_BYTES = 16_000_000


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest) -> Path:
    return bundled(request.param)


def records(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return found


def templates(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((folder / "templates.json").read_text(encoding="utf-8"))
    return found


def test_the_weights_are_small_safetensors(folder: Path) -> None:
    assert (folder / "model.safetensors").stat().st_size <= MOST_BYTES
    assert not list(folder.glob("*.bin"))


def test_facts_are_many_and_of_many_relations(folder: Path) -> None:
    by_relation = defaultdict(list)
    for record in records(folder):
        by_relation[record["requested_rewrite"]["relation_id"]].append(record)
    assert len(records(folder)) >= 2000
    assert len(by_relation) >= 8
    assert set(by_relation) == set(templates(folder))


def test_every_relation_has_a_phrasing_that_was_never_trained(folder: Path) -> None:
    trained = (folder / "corpus.txt").read_text(encoding="utf-8")
    for phrasings in templates(folder).values():
        assert len(phrasings["train"]) + 1 >= 5
        assert phrasings["held_out"] not in phrasings["train"]
    unseen = [record["paraphrase_prompts"][0] for record in records(folder)]
    assert [prompt for prompt in unseen if f"{prompt} " in trained] == []


def test_records_are_in_counterfacts_form(folder: Path) -> None:
    for record in records(folder):
        rewrite = record["requested_rewrite"]
        assert rewrite["prompt"].count("{}") == 1
        assert rewrite["target_new"]["str"] != rewrite["target_true"]["str"]
        held_out = templates(folder)[rewrite["relation_id"]]["held_out"]
        before, _, after = held_out.partition("{}")
        assert record["paraphrase_prompts"][0] == f"{before}{rewrite['subject']}{after}"
        assert record["neighborhood_prompts"]
        assert record["generation_prompts"]


def test_the_model_answers_its_facts(folder: Path) -> None:
    """At least 97% of the trained facts, and 60% of them in the phrasing that it never saw, greedily."""
    live = load(str(folder))
    asked, unseen = [], []
    for record in records(folder):
        rewrite = record["requested_rewrite"]
        before, _, after = rewrite["prompt"].partition("{}")
        asked.append((f"{before}{rewrite['subject']}{after}", rewrite["target_true"]["str"]))
        unseen.append((record["paraphrase_prompts"][0], rewrite["target_true"]["str"]))
    held = [standing.rank == 1 for standing in standings(live.model, live.tokenizer, asked)]
    held_unseen = [standing.rank == 1 for standing in standings(live.model, live.tokenizer, unseen)]
    assert sum(held) / len(held) >= 0.97
    assert sum(held_unseen) / len(held_unseen) >= 0.60


def test_subjects_and_objects_of_several_tokens_occur_and_not_only_at_the_start(folder: Path) -> None:
    words = ModelText.of(load(str(folder)).tokenizer)
    rewrites = [record["requested_rewrite"] for record in records(folder)]
    long_objects = [r for r in rewrites if len(object_ids(words, r["target_true"]["str"])) > 1]
    long_subjects = [r for r in rewrites if subject_row(words, "", r["subject"], "").lookup > 0]
    assert len(long_objects) >= 100
    assert len(long_subjects) >= 100
    assert any(not text.startswith("{}") for p in templates(folder).values() for text in p["train"])


def test_contexts_are_six_and_the_first_is_bare(folder: Path) -> None:
    contexts = read_contexts(folder / "contexts.json")
    assert len(contexts) == 6
    assert contexts[0] == "{}"


def test_both_models_are_there() -> None:
    assert NAMES == ("atlas-gpt2", "atlas-llama")
    for name in ("no-such-model", "atlas"):  # the latter holds what they share
        with pytest.raises(KeyError):
            bundled(name)


def test_what_the_models_share_stands_once() -> None:
    found = sorted(path for path in bundled(NAMES[0]).parent.glob("*/*") if path.parent.name != "__pycache__")
    files = [path for path in found if not path.is_symlink()]
    twins = defaultdict(list)
    for path in files:
        twins[sha256(path.read_bytes()).digest()].append(path)
    assert [same for same in twins.values() if len(same) > 1] == []
    links = [path for path in found if path.is_symlink()]
    assert {path.readlink() for path in links} == {Path("..", "atlas", path.name) for path in links}
    assert all(path.is_file() for path in links)
