"""What a version consists of after rollbacks and reverts: terms of its weights and keys, facts in force."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.domain.errors import InseparableFacts, UnknownFact, UnknownVersion
from app.domain.history.terms import Term
from app.domain.log.edit_log import EditLog
from app.domain.manifest import Companion
from app.domain.places import Column
from tests.support.logs import MODEL, commit, draft, fact, key, log_with, revert, roll_back

LYON, NICE, OSLO = fact("Lyon"), fact("Nice"), fact("Oslo", obj="Peru")
MAYOR = fact("Lyon", prompt="The mayor of {} is", obj="Ada")


@pytest.fixture
def log(tmp_path: Path) -> EditLog:
    return log_with(tmp_path)


def in_force(log: EditLog, version: int | None = None) -> list[tuple[str, str, int]]:
    return [(held.subject, held.object, held.version) for held in log.facts_in_force(version)]


def terms(log: EditLog, version: int | None = None) -> tuple[Term, ...]:
    return log.history().terms(log.head() if version is None else version)


def summed(log: EditLog, version: int | None = None) -> list[tuple[int, set[int]]]:
    """The versions whose updates are summed, and their columns that are left out."""
    return [(term.version, set(term.taken_out)) for term in terms(log, version)]


def previous_keys(log: EditLog, widths: dict[int, int], version: int | None = None) -> list[Column]:
    """The columns of K_p, taken together as a worker does it."""
    columns: list[Column] = []
    for term in terms(log, version):
        fresh = (Column(term.version, index) for index in range(widths[term.version]) if index not in term.taken_out)
        columns = [column for column in columns if column not in term.retired] + list(fresh)
    return columns


class TestRollback:
    def test_is_the_earlier_version_again(self, log: EditLog) -> None:
        for version, each in enumerate((LYON, NICE, OSLO), start=1):
            commit(log, version, each)
        roll_back(log, 1)
        assert terms(log) == terms(log, 1)
        assert in_force(log) == in_force(log, 1) == [("Lyon", "Japan", 1)]

    def test_to_the_base_leaves_nothing(self, log: EditLog) -> None:
        commit(log, 1)
        roll_back(log, 0)
        assert (terms(log), in_force(log)) == ((), [])

    def test_can_be_rolled_back(self, log: EditLog) -> None:
        commit(log, 1, LYON)
        commit(log, 2, NICE)
        roll_back(log, 1)
        roll_back(log, 2)
        assert terms(log) == terms(log, 2)
        assert in_force(log) == in_force(log, 2)

    def test_undoes_a_revert(self, log: EditLog) -> None:
        commit(log, 1, LYON, NICE)
        revert(log, (1, 0))
        commit(log, 3, OSLO)
        roll_back(log, 1)
        assert terms(log) == terms(log, 1)

    def test_edits_go_on_from_there(self, log: EditLog) -> None:
        commit(log, 1, LYON)
        commit(log, 2, NICE)
        roll_back(log, 1)
        commit(log, 4, OSLO)
        assert summed(log) == [(1, set()), (4, set())]
        assert in_force(log) == [("Lyon", "Japan", 1), ("Oslo", "Peru", 4)]

    @pytest.mark.parametrize("to", [1, 2])
    def test_goes_to_an_earlier_version_only(self, log: EditLog, to: int) -> None:
        with pytest.raises(ValidationError, match="earlier version"):
            roll_back(log, to)
        assert log.head() == 0


class TestRevert:
    def test_takes_a_facts_column_out_and_leaves_the_rest(self, log: EditLog) -> None:
        commit(log, 1, LYON, NICE)
        commit(log, 2, OSLO)
        revert(log, (1, 0))
        assert in_force(log) == [("Nice", "Japan", 1), ("Oslo", "Peru", 2)]
        assert summed(log) == [(1, {0}), (2, set())]
        assert previous_keys(log, {1: 2, 2: 1}) == [Column(1, 1), Column(2, 0)]
        assert in_force(log, 2) == [("Lyon", "Japan", 1), ("Nice", "Japan", 1), ("Oslo", "Peru", 2)]

    def test_of_a_whole_batch_leaves_no_term_of_it(self, log: EditLog) -> None:
        commit(log, 1, LYON, NICE)
        commit(log, 2, OSLO)
        revert(log, (1, 0), (1, 1))
        assert summed(log) == [(2, set())]

    def test_brings_back_the_fact_that_was_superseded_with_its_key(self, log: EditLog) -> None:
        commit(log, 1, LYON)
        commit(log, 2, fact("Lyon", obj="Chile"), retired=[(1, 0)])
        assert previous_keys(log, {1: 1, 2: 1}) == [Column(2, 0)]
        revert(log, (2, 0))
        assert in_force(log) == [("Lyon", "Japan", 1)]
        assert previous_keys(log, {1: 1}) == [Column(1, 0)]

    def test_brings_back_one_key_although_the_version_that_retired_it_stays(self, log: EditLog) -> None:
        commit(log, 1, LYON, NICE)
        commit(log, 2, fact("Lyon", obj="Chile"), fact("Nice", obj="Peru"), retired=[(1, 0), (1, 1)])
        revert(log, (2, 0))
        assert in_force(log) == [("Lyon", "Japan", 1), ("Nice", "Peru", 2)]
        assert previous_keys(log, {1: 2, 2: 2}) == [Column(1, 0), Column(2, 1)]

    def test_of_a_superseded_fact_changes_no_weight_but_it_never_comes_back(self, log: EditLog) -> None:
        commit(log, 1, LYON)
        commit(log, 2, fact("Lyon", obj="Chile"), retired=[(1, 0)])
        revert(log, (1, 0))
        assert summed(log) == summed(log, 2)
        assert previous_keys(log, {1: 1, 2: 1}) == [Column(2, 0)]
        assert in_force(log) == [("Lyon", "Chile", 2)]
        revert(log, (2, 0))
        assert (summed(log), in_force(log)) == ([], [])

    def test_in_the_middle_of_a_chain_keeps_what_later_facts_rest_on(self, log: EditLog) -> None:
        commit(log, 1, LYON)
        commit(log, 2, fact("Lyon", obj="Chile"), retired=[(1, 0)])
        commit(log, 3, fact("Lyon", obj="Peru"), retired=[(2, 0)])
        revert(log, (2, 0))
        assert summed(log) == summed(log, 3)
        assert previous_keys(log, {1: 1, 2: 1, 3: 1}) == [Column(3, 0)]
        revert(log, (3, 0))
        assert summed(log) == [(1, set())]
        assert previous_keys(log, {1: 1}) == [Column(1, 0)]
        assert in_force(log) == [("Lyon", "Japan", 1)]

    def test_is_not_undone_by_a_later_fact_of_the_same_place(self, log: EditLog) -> None:
        commit(log, 1, LYON)
        revert(log, (1, 0))
        commit(log, 3, fact("Lyon", obj="Chile"))
        assert summed(log) == [(3, set())]
        revert(log, (3, 0))
        assert (summed(log), in_force(log)) == ([], [])

    def test_only_appends_terms_afterwards(self, log: EditLog) -> None:
        commit(log, 1, LYON, NICE)
        commit(log, 2, fact("Lyon", obj="Chile"), retired=[(1, 0)])
        revert(log, (2, 0))
        before = terms(log)
        commit(log, 4, fact("Lyon", obj="Peru"), retired=[(1, 0)])
        assert terms(log)[:-1] == before
        assert previous_keys(log, {1: 2, 4: 1}) == [Column(1, 1), Column(4, 0)]

    def test_may_bring_tensors_of_its_own(self, log: EditLog) -> None:
        commit(log, 1, LYON, NICE)
        reverting = draft(2, kind="revert", reverted=[key(1, 0)], facts=())
        log.commit(reverting, {"update.safetensors": b"a correction"})
        assert summed(log) == [(1, {0}), (2, set())]


class TestFactsThatShareAKey:
    def test_of_one_batch_are_reverted_together_or_not_at_all(self, log: EditLog) -> None:
        commit(log, 1, fact("Lyon", column=0), fact("Lyon", prompt="{} is in", column=0), fact("Nice", column=1))
        with pytest.raises(InseparableFacts, match="fact 1 of version 1") as caught:
            revert(log, (1, 0))
        assert caught.value.value == [{"version": 1, "index": 1}]
        assert log.head() == 1
        revert(log, (1, 0), (1, 1))
        assert summed(log) == [(1, {0})]

    def test_a_companion_goes_back_to_its_own_column(self, log: EditLog) -> None:
        commit(log, 1, LYON)
        joined = Companion(version=1, index=0, column=0)
        commit(log, 2, fact("Lyon", prompt="{} is in", column=0), companions=[joined], retired=[(1, 0)])
        assert previous_keys(log, {1: 1, 2: 1}) == [Column(2, 0)]
        assert terms(log)[1].companions == (joined,)
        revert(log, (2, 0))
        assert in_force(log) == [("Lyon", "Japan", 1)]
        assert summed(log) == [(1, set())]
        assert previous_keys(log, {1: 1}) == [Column(1, 0)]

    def test_a_companion_cannot_leave_the_fact_that_it_accompanies(self, log: EditLog) -> None:
        commit(log, 1, LYON)
        joined = Companion(version=1, index=0, column=0)
        commit(log, 2, fact("Lyon", prompt="{} is in", column=0), companions=[joined], retired=[(1, 0)])
        with pytest.raises(InseparableFacts, match="fact 0 of version 2"):
            revert(log, (1, 0))
        revert(log, (1, 0), (2, 0))
        assert (summed(log), in_force(log)) == ([], [])

    def test_a_companion_with_a_key_of_its_own_leaves_alone(self, log: EditLog) -> None:
        commit(log, 1, LYON)
        joined = Companion(version=1, index=0, column=1)
        commit(log, 2, MAYOR, companions=[joined], retired=[(1, 0)])
        revert(log, (1, 0))
        assert summed(log) == [(2, {1})]
        assert terms(log)[0].companions == ()
        assert in_force(log) == [("Lyon", "Ada", 2)]

    def test_a_companion_with_a_key_of_its_own_goes_back_when_its_host_leaves(self, log: EditLog) -> None:
        commit(log, 1, LYON)
        joined = Companion(version=1, index=0, column=1)
        commit(log, 2, MAYOR, OSLO.model_copy(update={"column": 2}), companions=[joined], retired=[(1, 0)])
        revert(log, (2, 0))
        assert summed(log) == [(1, set()), (2, {0, 1})]
        assert previous_keys(log, {1: 1, 2: 3}) == [Column(1, 0), Column(2, 2)]

    def test_one_that_would_come_back_is_named_too(self, log: EditLog) -> None:
        commit(log, 1, fact("Lyon", column=0), fact("Lyon", prompt="{} is in", column=0))
        joined = Companion(version=1, index=1, column=0)
        commit(log, 2, fact("Lyon", obj="Chile", column=0), companions=[joined], retired=[(1, 0)])
        with pytest.raises(InseparableFacts, match="fact 0 of version 1"):  # it would be in force again
            revert(log, (2, 0), (1, 1))
        revert(log, (2, 0))
        assert in_force(log) == [("Lyon", "Japan", 1), ("Lyon", "Japan", 1)]
        assert previous_keys(log, {1: 1}) == [Column(1, 0)]


class TestAnUpdateWithoutColumns:
    def test_is_reverted_as_a_whole_or_not_at_all(self, log: EditLog) -> None:
        commit(log, 1, LYON, NICE, method="ft-l", indivisible=True)
        with pytest.raises(InseparableFacts, match="version 1 as one whole") as caught:
            revert(log, (1, 0))
        assert caught.value.value == [{"version": 1, "index": 1}]
        revert(log, (1, 0), (1, 1))
        assert (terms(log), in_force(log)) == ((), [])

    def test_stays_as_a_whole_where_a_later_fact_rests_on_a_part(self, log: EditLog) -> None:
        commit(log, 1, LYON, NICE, method="ft-l", indivisible=True)
        commit(log, 2, fact("Lyon", obj="Peru"))
        with pytest.raises(InseparableFacts) as caught:
            revert(log, (1, 0), (1, 1))
        assert caught.value.value == [{"version": 2, "index": 0}]
        revert(log, (1, 0), (1, 1), (2, 0))
        assert terms(log) == ()


class TestRefusals:
    @pytest.mark.parametrize("fact_key", [(1, 2), (2, 0), (4, 0)])
    def test_a_fact_that_is_not_there_is_named(self, log: EditLog, fact_key: tuple[int, int]) -> None:
        commit(log, 1, LYON, NICE)
        commit(log, 2, OSLO)
        roll_back(log, 1)
        with pytest.raises(UnknownFact) as caught:
            revert(log, (1, 0), fact_key)
        assert caught.value.field == "facts.1"
        assert log.head() == 3

    def test_a_fact_is_reverted_once(self, log: EditLog) -> None:
        commit(log, 1, LYON, NICE)
        revert(log, (1, 0))
        with pytest.raises(UnknownFact):
            revert(log, (1, 0))

    @pytest.mark.parametrize(
        ("kind", "fields"),
        [
            ("edit", {"to": 0}),
            ("edit", {"reverted": [key(1, 0)]}),
            ("rollback", {"facts": ()}),
            ("rollback", {"to": 0}),
            ("revert", {"facts": ()}),
            ("revert", {"facts": (), "reverted": [key(1, 0)], "to": 0}),
        ],
    )
    def test_a_version_is_of_one_kind(self, kind: str, fields: dict[str, object]) -> None:
        with pytest.raises(ValidationError, match=r"only an edit writes|says to which version"):
            draft(2, kind=kind, **fields)

    def test_there_is_no_history_of_a_version_that_is_not_there(self, log: EditLog) -> None:
        commit(log, 1)
        with pytest.raises(UnknownVersion):
            log.history().facts(2)
        with pytest.raises(UnknownVersion):
            log.history(2)


class TestChanges:
    def test_between_two_versions_in_either_order(self, log: EditLog) -> None:
        commit(log, 1, LYON, NICE)
        commit(log, 2, OSLO, fact("lyon ", obj="Chile"))
        revert(log, (1, 1))
        forth, back = log.history().changes(1, 3), log.history().changes(3, 1)
        assert [held.key for held in forth.added] == [held.key for held in back.taken_out] == [key(2, 0)]
        assert [held.key for held in forth.taken_out] == [held.key for held in back.added] == [key(1, 1)]
        assert [(old.key, new.key) for old, new in forth.changed] == [(key(1, 0), key(2, 1))]
        assert [(old.key, new.key) for old, new in back.changed] == [(key(2, 1), key(1, 0))]

    def test_a_fact_written_again_has_not_changed(self, log: EditLog) -> None:
        commit(log, 1, LYON)
        commit(log, 2, LYON)
        changes = log.history().changes(1, 2)
        assert (changes.added, changes.changed, changes.taken_out) == ((), (), ())


def test_a_reader_in_another_process_sees_the_same_history(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    commit(log, 1, LYON, NICE)
    revert(log, (1, 0))
    roll_back(log, 1)
    reader = EditLog(tmp_path, MODEL)
    for version in range(4):
        assert terms(reader, version) == terms(log, version)
