"""`palimpsest onboard` on a tiny model: what is told before it is computed, and what is left behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.tiny_models import LANDS, PLACES, SENTENCES, save_tiny
from workers import onboard
from workers.editing.model.editable_model import EditableModel
from workers.host.statistics_store import kept_texts
from workers.onboard import Onboarded, Onboarding, Telling
from workers.onboarding.inspection import Finding
from workers.onboarding.traced import Traced
from workers.onboarding.world_facts import WorldFact


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = save_tiny(tmp_path / "mine", "llama")
    for name in ("preset.json", "corpus.txt"):
        (folder / name).unlink()
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(SENTENCES * 40), encoding="utf-8")
    return file


@pytest.fixture
def facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixteen facts, whose neighbours this model is taken to know."""

    def all_of_them(_live: EditableModel, facts: Sequence[WorldFact]) -> list[WorldFact]:
        return list(facts)

    monkeypatch.setattr(onboard, "known_to", all_of_them)
    names = [f"{place} {part}" for part in ("East", "West", "North") for place in PLACES][:16]
    records = [
        {
            "subject": name,
            "prompt": f"{name} lies in",
            "target_new": LANDS[index % len(LANDS)],
            "ground_truth": LANDS[(index + 1) % len(LANDS)],
            "locality_prompt": "Oslo lies in",
        }
        for index, name in enumerate(names)
    ]
    file = tmp_path / "facts.json"
    file.write_text(json.dumps(records), encoding="utf-8")
    return file


def run(model: Path, data: Path, corpus: Path | None, facts: Path, told: Callable[[object], None]) -> Onboarded:
    opened = Onboarding.open(str(model), data_dir=data, corpus=None if corpus is None else str(corpus))
    return opened.run(minutes=0, facts=facts, telling=Telling(told, told, told))


def test_a_corpus_is_what_statistics_are_over_and_its_last_texts_are_held_out(
    model: Path, corpus: Path, facts: Path, tmp_path: Path
) -> None:
    made = run(model, tmp_path / "data", corpus, facts, lambda _told: None)
    assert made.card is not None
    assert " tokens of texts.txt, " in made.card.read_text(encoding="utf-8")
    live = Onboarding.open(str(model), data_dir=tmp_path / "data").live
    held_out = kept_texts(live, str(model), tmp_path / "data" / "statistics")
    assert [live.tokenizer.decode(list(ids), skip_special_tokens=True) for ids in held_out] == list(
        (SENTENCES * 40)[-64:]
    )


def test_t16_what_must_be_computed_first_is_told_with_the_layers_before_it_is(
    model: Path, corpus: Path, facts: Path, tmp_path: Path
) -> None:
    told: list[object] = []
    run(model, tmp_path / "data", corpus, facts, told.append)
    first = next(place for place, each in enumerate(told) if isinstance(each, int))
    named = [each for each in told[:first] if isinstance(each, Finding) and each.name == "needed first"]
    assert [each.value for each in named] == [
        "statistics at layers 0, 1, 2, where edits may be made, over the texts of texts.txt"
    ]


def test_the_layers_of_a_trace_take_their_statistics_and_stand_on_the_card(
    model: Path, corpus: Path, facts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[WorldFact] = []

    def of(_live: EditableModel, facts: Sequence[WorldFact]) -> Traced:
        asked.extend(facts)
        return Traced((2, 3), 10)

    monkeypatch.setattr(Traced, "of", of)
    found: list[Finding] = []
    opened = Onboarding.open(str(model), data_dir=tmp_path / "data", corpus=str(corpus))
    made = opened.run(minutes=0, facts=facts, trace=True, telling=Telling(found=found.append))
    told = {each.name: each.value for each in found}
    assert len(asked) == 8  # of the sixteen: the others are those that the promise is measured on
    assert told["critical layers by tracing"] == "2, 3, of 10 facts that the model knows"
    assert told["needed first"].startswith("statistics at layers 0, 1, 2, 3, ")
    assert made.card is not None
    page = made.card.read_text(encoding="utf-8")
    assert "| critical layers by tracing | 2, 3, of 10 facts that the model knows |" in page
    assert "| tracing | 2, 3 | not tried | not tried | 0." in page
    assert "| search | 1, 2 | 0." in page
