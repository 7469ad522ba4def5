"""A subject's facts on the bundled models: written together, written again, written one after another, they hold."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from workers.editing.statistics import save_statistics, second_moments
from workers.editing.types import Fact
from workers.host.statistics_store import CORPUS
from workers.models import NAMES, bundled
from workers.offline import BatchResult, OfflineModel
from workers.questions.scoring import standings

RELATIONS = ("capital", "currency", "continent", "language", "domain", "demonym")
SUBJECT, EXAMPLE, ANOTHER = "Austria", "Liberia", "Sweden"
IN_TURN = "Angola"
CONTEXTS, TOKENS = 3, 5000
"""Half of the model's contexts, and statistics over a few texts: enough here, and much faster."""
CAPITAL = "The capital of {} is"


@dataclass(frozen=True)
class Atlas:
    """A bundled model, and what its facts file says of countries: relation -> object, as it is and as it is edited."""

    opened: OfflineModel
    true: dict[str, dict[str, str]]
    records: dict[str, list[Fact]]
    openings: tuple[tuple[str, str], ...]
    statistics: Path

    def edit(
        self, batches: Sequence[Sequence[Fact]], asked: Sequence[Sequence[Fact]], *, strict: bool = False
    ) -> list[tuple[int, BatchResult]]:
        """Edit batch after batch; after each, how many of those asked for then hold."""
        live, found = self.opened.live, []
        probe = live.shadow(self.opened.preset.layers)
        for result in self.opened.edit(batches, self.statistics, self.statistics.parent, strict=strict):
            for layer, total in result.totals.items():
                probe.set_master(layer, live.master(layer) + total)
            pairs = [(fact.text, fact.object) for fact in asked[result.number]]
            held = [standing.rank == 1 for standing in standings(probe.model, probe.tokenizer, pairs)]
            found.append((sum(held), result))
        return found


@pytest.fixture(scope="module")
def atlas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = bundled(request.param)
    true: dict[str, dict[str, str]] = defaultdict(dict)
    records: dict[str, list[Fact]] = defaultdict(list)
    for record in json.loads((folder / "facts.json").read_text(encoding="utf-8")):
        rewrite = record["requested_rewrite"]
        true[rewrite["subject"]][rewrite["relation_id"]] = rewrite["target_true"]["str"]
        records[rewrite["subject"]].append(Fact(rewrite["subject"], rewrite["prompt"], rewrite["target_new"]["str"]))
    templates = json.loads((folder / "templates.json").read_text(encoding="utf-8"))
    names = [f"country-{relation}" for relation in RELATIONS]
    openings = [(name, text) for name in names for text in templates[name]["train"] if text.startswith("{}")]
    opened = OfflineModel.open(request.param, device="cpu", dtype="float32")
    opened = replace(opened, contexts=opened.contexts[:CONTEXTS])
    texts = (folder / CORPUS).read_text(encoding="utf-8").splitlines()
    statistics = tmp_path_factory.mktemp("data") / "statistics.safetensors"
    save_statistics(second_moments(opened.live, texts, opened.preset.layers, max_tokens=TOKENS), statistics)
    return Atlas(opened, true, records, tuple(openings[:10]), statistics)


@pytest.mark.parametrize("atlas", ["atlas-gpt2"], indirect=True)
def test_ten_facts_that_share_a_key_hold_when_they_are_written_together(atlas: Atlas) -> None:
    """One country becomes like another, in ten sentences that begin with it."""
    facts = [Fact(SUBJECT, prompt, atlas.true[EXAMPLE][name]) for name, prompt in atlas.openings]
    assert len({(fact.prompt, fact.object) for fact in facts}) == 10
    [(held, _)] = atlas.edit([facts], [facts])
    assert held >= 9


@pytest.mark.parametrize("atlas", ["atlas-gpt2"], indirect=True)
def test_more_of_them_hold_than_with_a_target_for_each(atlas: Atlas) -> None:
    """A country that stays as it is by half: under ``strict``, least squares averages what pulls in two directions."""
    kept = {f"country-{relation}" for relation in ("capital", "currency", "continent")}
    sources = [(SUBJECT if name in kept else ANOTHER, name, prompt) for name, prompt in atlas.openings]
    facts = [Fact(SUBJECT, prompt, atlas.true[source][name]) for source, name, prompt in sources]
    [(together, _)], [(each, _)] = (atlas.edit([facts], [facts], strict=strict) for strict in (False, True))
    assert together > each


@pytest.mark.parametrize("atlas", ["atlas-gpt2"], indirect=True)
def test_a_fact_that_is_edited_ten_times_holds_each_time(atlas: Atlas) -> None:
    """With the old keys left in K_p, the n-th update would be an n-th of the first."""
    capitals = [known["country-capital"] for known in atlas.true.values() if len(known) == len(RELATIONS)][:10]
    assert len(set(capitals)) == 10
    batches = [[Fact(SUBJECT, CAPITAL, capital)] for capital in capitals]
    found = atlas.edit(batches, batches)
    assert [held for held, _ in found] == [1] * 10
    norms = [result.update_norms[atlas.opened.preset.layers[0]] for _, result in found]
    assert min(norms) >= norms[0] / 2


@pytest.mark.parametrize("atlas", NAMES, indirect=True)
def test_facts_of_a_subject_hold_when_they_are_written_one_after_another(atlas: Atlas) -> None:
    facts = atlas.records[IN_TURN][:5]
    so_far = [facts[: count + 1] for count in range(5)]
    found = atlas.edit([[fact] for fact in facts], so_far)
    assert [result.companions for _, result in found] == [0, 1, 2, 3, 4]
    assert found[-1][0] == 5
