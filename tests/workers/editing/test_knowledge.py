"""Facts in force and K_p: what a new batch brings along, takes out and puts in."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from app.domain.errors import ContradictoryFacts
from workers.editing.batch import refuse_contradictions
from workers.editing.knowledge import Admission, KnowledgeBase
from workers.editing.model.updates import WeightUpdate
from workers.editing.types import Edited, Fact

WIDTH = 3
CAPITAL = Fact("Chad", "The capital of {} is", "Rome")
LANGUAGE = Fact("Chad", "{} has the official language", "Thai")
DOMAIN = Fact("Chad", "{} uses the internet domain", ".no")
ELSEWHERE = Fact("Peru", "The capital of {} is", "Oslo")


def key(version: int, position: int, layer: int) -> Tensor:
    """A key that tells where it is from, (WIDTH, 1)."""
    return torch.tensor([[version], [position], [layer]], dtype=torch.float64)


def edited(version: int, columns: Sequence[int], layers: Sequence[int]) -> Edited:
    """What an editor gives back for facts in these columns."""
    none = torch.zeros(WIDTH, 0)
    updates = [
        WeightUpdate(layer, none, none.T, torch.cat([key(version, i, layer) for i in range(max(columns) + 1)], dim=1))
        for layer in layers
    ]
    return Edited(updates, tuple(columns))


class Story:
    """A knowledge base on its way, batch after batch."""

    def __init__(self) -> None:
        self.known = KnowledgeBase()
        self.version = 0

    def write(
        self,
        *facts: Fact,
        layers: Sequence[int] = (0, 1),
        columns: Sequence[int] | None = None,
        strict: bool = False,
    ) -> Admission:
        """Edit a batch; without ``columns`` every fact and every companion has one of its own."""
        admission = self.known.admit(facts, layers, strict=strict)
        self.version += 1
        own = columns or range(len(facts) + len(admission.companions))
        self.known = self.known.after(self.version, facts, admission, edited(self.version, own, layers))
        return admission

    def columns(self, layer: int = 0) -> list[tuple[int, int]]:
        """Where the columns of K_p are from; each must be that very key."""
        kept = self.known.layers[layer]
        expected = [key(column.version, column.position, layer) for column in kept.columns]
        assert torch.equal(kept.keys, torch.cat([torch.zeros(WIDTH, 0, dtype=torch.float64), *expected], dim=1))
        return [(column.version, column.position) for column in kept.columns]


class TestCompanions:
    def test_a_subjects_facts_in_force_come_along_in_the_order_in_which_they_were_written(self) -> None:
        story = Story()
        story.write(LANGUAGE, ELSEWHERE)
        story.write(CAPITAL)
        assert story.write(DOMAIN).facts == [LANGUAGE, CAPITAL]

    def test_case_and_spacing_of_the_subject_do_not_matter(self) -> None:
        story = Story()
        story.write(CAPITAL)
        assert story.write(Fact(" CHAD", DOMAIN.prompt, ".no")).facts == [CAPITAL]

    def test_a_fact_that_is_written_anew_does_not_come_along(self) -> None:
        story = Story()
        story.write(CAPITAL, LANGUAGE)
        assert story.write(Fact("chad", "the capital of {}  is", "Bern")).facts == [LANGUAGE]

    def test_a_superseded_fact_never_comes_along_again(self) -> None:
        story = Story()
        story.write(CAPITAL)
        newer = Fact("Chad", CAPITAL.prompt, "Bern")
        story.write(newer)
        assert story.write(DOMAIN).facts == [newer]

    def test_who_shares_a_key_with_a_superseded_fact_comes_along_though_its_subject_is_another(self) -> None:
        story = Story()
        prefixed = Fact("capital of Chad", "The {} is called", "Rome")
        story.write(CAPITAL, prefixed, ELSEWHERE, columns=(0, 0, 1))
        assert story.write(Fact("Chad", CAPITAL.prompt, "Bern")).facts == [prefixed]
        assert story.columns() == [(1, 1), (2, 0), (2, 1)]

    def test_under_strict_nobody_comes_along_and_nothing_is_taken_out(self) -> None:
        story = Story()
        story.write(CAPITAL, strict=True)
        admission = story.write(Fact("Chad", CAPITAL.prompt, "Bern"), DOMAIN, strict=True)
        assert (admission.facts, admission.retired) == ([], frozenset())
        assert story.columns() == [(1, 0), (2, 0), (2, 1)]


class TestPreviousKeys:
    def test_a_fact_that_supersedes_another_takes_its_key_out(self) -> None:
        story = Story()
        story.write(CAPITAL, ELSEWHERE)
        for version in range(2, 5):
            story.write(Fact("Chad", CAPITAL.prompt, f"Town {version}"))
            assert story.columns() == [(1, 1), (version, 0)]

    def test_the_solve_does_not_see_what_is_taken_out(self) -> None:
        story = Story()
        story.write(CAPITAL, ELSEWHERE)
        admission = story.known.admit([DOMAIN], (0,), strict=False)
        assert torch.equal(admission.layers[0].keys, key(1, 1, 0))
        assert story.columns() == [(1, 0), (1, 1)], "it is a proposal: the knowledge base is as it was"

    def test_companions_have_their_keys_put_in_anew(self) -> None:
        story = Story()
        story.write(CAPITAL, ELSEWHERE)
        story.write(DOMAIN)
        assert story.columns() == [(1, 1), (2, 0), (2, 1)]

    def test_a_shared_key_is_there_once(self) -> None:
        story = Story()
        story.write(LANGUAGE, DOMAIN, CAPITAL, columns=(0, 0, 1))
        assert story.columns() == [(1, 0), (1, 1)]
        story.write(Fact("Chad", DOMAIN.prompt, ".fr"), columns=(0, 0, 1))
        assert story.columns() == [(2, 0), (2, 1)]

    def test_keys_stay_at_layers_that_the_batch_does_not_change(self) -> None:
        story = Story()
        story.write(CAPITAL, layers=(0, 1))
        story.write(Fact("Chad", CAPITAL.prompt, "Bern"), layers=(0,))
        assert (story.columns(0), story.columns(1)) == ([(2, 0)], [(1, 0)])

    def test_and_leave_once_a_later_fact_of_the_place_changes_those_too(self) -> None:
        story = Story()
        story.write(CAPITAL, layers=(0, 1))
        story.write(Fact("Chad", CAPITAL.prompt, "Bern"), layers=(0,))
        story.write(Fact("Chad", CAPITAL.prompt, "Lima"), layers=(0, 1))
        assert (story.columns(0), story.columns(1)) == ([(3, 0)], [(3, 0)])

    def test_keys_that_strict_batches_left_are_all_taken_out_by_the_next_that_is_not(self) -> None:
        story = Story()
        story.write(CAPITAL)
        story.write(CAPITAL, strict=True)
        story.write(CAPITAL)
        assert story.columns() == [(3, 0)]

    def test_a_fact_said_twice_in_one_batch_leaves_with_both_keys(self) -> None:
        story = Story()
        story.write(CAPITAL, Fact("CHAD", CAPITAL.prompt, "Rome"))
        story.write(Fact("Chad", CAPITAL.prompt, "Bern"))
        assert story.columns() == [(2, 0)]
        assert [known.fact.object for known in story.known.facts.values()] == ["Bern"]

    def test_what_a_batch_makes_of_it_is_another_knowledge_base(self) -> None:
        story = Story()
        story.write(CAPITAL)
        before, facts, layers = story.known, dict(story.known.facts), dict(story.known.layers)
        story.write(Fact("Chad", CAPITAL.prompt, "Bern"), DOMAIN)
        assert (before.facts, before.layers) == (facts, layers)
        assert torch.equal(before.layers[0].keys, key(1, 0, 0))


FACTS = st.builds(
    Fact,
    st.sampled_from(["Chad", "chad ", "Peru", "Oslo"]),
    st.sampled_from(["{} has", "The capital of {} is", "{} uses"]),
    st.sampled_from("ABC"),
)
BATCHES = st.lists(
    st.tuples(
        st.lists(FACTS, min_size=1, max_size=3), st.sampled_from([(0,), (0, 1), (1, 2)]), st.booleans(), st.booleans()
    ),
    max_size=8,
)


@given(BATCHES)
@settings(max_examples=60, deadline=None)
def test_previous_keys_are_those_of_the_facts_in_force(
    batches: list[tuple[list[Fact], tuple[int, ...], bool, bool]],
) -> None:
    """Whatever is edited where, strictly or not, in groups or not."""
    story = Story()
    for facts, layers, strict, grouped in batches:
        coming = story.known.admit(facts, layers, strict=strict).facts
        subjects = [fact.place.subject for fact in [*facts, *coming]]
        shared = [sorted(set(subjects)).index(subject) for subject in subjects]
        story.write(*facts, layers=layers, columns=shared if grouped and not strict else None, strict=strict)
        in_force = story.known.facts.values()
        carried = {column for known in in_force for column in known.columns}
        for layer, kept in story.known.layers.items():
            assert story.columns(layer) == sorted(story.columns(layer)), "oldest first, none twice"
            assert carried.issuperset(kept.columns), "a key that no fact in force answers for"
        assert carried <= {column for kept in story.known.layers.values() for column in kept.columns}
        for fact in facts:
            newest = story.known.facts[fact.place]
            assert newest.version == story.version
            for layer in layers:
                assert newest.columns & set(story.known.layers[layer].columns), "a fact without a key"


class TestContradictions:
    def test_both_facts_are_named(self) -> None:
        other = Fact("chad", "The  capital of {} is", "Bern")
        with pytest.raises(ContradictoryFacts) as caught:
            refuse_contradictions([DOMAIN, CAPITAL, LANGUAGE, other])
        assert (caught.value.field, caught.value.value) == ("facts.3.object", [1, 3])
        assert "1 and 3" in caught.value.detail

    @pytest.mark.parametrize("others", [[CAPITAL], [Fact("Chad", CAPITAL.prompt, " Rome")], [LANGUAGE], [ELSEWHERE]])
    def test_the_same_said_twice_and_other_things_said_are_none(self, others: list[Fact]) -> None:
        refuse_contradictions([CAPITAL, *others])
