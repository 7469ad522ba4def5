"""MQuAKE, RippleEdits, WikiBigEdit and UnKE as they are published: facts, what is asked beyond them, and damage."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.contract import Fact
from app.domain.imports.reading import Reading, read
from app.domain.imports.records import Unusable
from app.domain.imports.ripple_sentences import told
from app.domain.imports.ripples import Question, Ripple, RippleKind
from app.domain.imports.said import place_of
from tests.support.data_files import KNOWEDIT, MQUAKE, RIPPLEEDITS, UNKE, WIKIBIGEDIT, as_bytes

K = RippleKind


def changed(record: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with one value, at a path as ``a.0.b``, changed; ``...`` takes it away."""
    made: Any = json.loads(json.dumps(record))
    *steps, last = (int(step) if step.isdecimal() else step for step in path.split("."))
    inner: Any = made
    for step in steps:
        inner = inner[step]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    result: dict[str, Any] = made
    return result


def ripples(reading: Reading) -> tuple[Ripple, ...]:
    [found] = reading.rippled
    return found.ripples


def why(reading: Reading) -> list[tuple[str, str | None]]:
    return [(each.code, each.field) for each in reading.unusable]


def unasked(reading: Reading) -> list[tuple[int, str, str | None]]:
    return [(each.record, each.code, each.field) for each in reading.unasked]


class TestMQuAKE:
    def test_each_rewrite_is_a_fact_and_its_question_a_paraphrase(self) -> None:
        first, second = (each.fact for each in read(as_bytes(MQUAKE)).facts)
        assert (first.subject, first.prompt, first.object) == ("Oslo", "The country where {} lies is", "Japan")
        assert (first.previous, [each.prompt for each in first.paraphrases]) == (
            "Norway",
            ["In which country does Oslo lie?"],
        )
        assert (second.subject, second.object, second.previous) == ("Japan", "peso", "yen")

    def test_any_multi_hop_question_will_do_and_every_single_hop_is_needed(self) -> None:
        reading = read(as_bytes(MQUAKE))
        answers = ("peso", "Mexican peso", "MXN")
        assert ripples(reading) == (
            Ripple(K.MULTI_HOP, tuple(Question(each, answers) for each in MQUAKE[0]["questions"])),
            Ripple(
                K.SINGLE_HOPS,
                (
                    Question("Where is Oslo?", ("Japan", "Nippon")),
                    Question("What does Japan pay with?", ("peso",)),
                ),
                every=True,
            ),
        )
        assert reading.rippled[0].places == {place_of(each.fact) for each in reading.facts}
        assert len(reading.rippled[0].places) == 2

    @pytest.mark.parametrize(
        ("path", "value", "reason"),
        [
            ("requested_rewrite", [], ("empty_text", "requested_rewrite")),
            ("requested_rewrite", {"subject": "Oslo"}, ("invalid_request", "requested_rewrite")),
            ("requested_rewrite", None, ("missing_field", "requested_rewrite")),
            ("requested_rewrite.1", None, ("invalid_request", "requested_rewrite.1")),
            ("requested_rewrite.1.target_new", None, ("empty_text", "requested_rewrite.1.target_new")),
            ("requested_rewrite.1.target_new", {"id": "Q1"}, ("empty_text", "requested_rewrite.1.target_new")),
            ("requested_rewrite.0.subject", ..., ("missing_field", "requested_rewrite.0.subject")),
            ("requested_rewrite.0.prompt", "The country is", ("subject_not_in_prompt", "prompt")),
        ],
    )
    def test_one_damaged_rewrite_takes_the_record_with_it(
        self, path: str, value: object, reason: tuple[str, str]
    ) -> None:
        reading = read(as_bytes([changed(MQUAKE[0], path, value)]))
        assert (why(reading), reading.facts, reading.rippled, reading.records) == ([reason], (), (), 1)

    @pytest.mark.parametrize(
        ("path", "value", "left", "listed"),
        [
            ("questions.1", None, [K.MULTI_HOP, K.SINGLE_HOPS], [(0, "empty_text", "questions.1")]),
            ("questions", None, [K.SINGLE_HOPS], []),
            ("new_answer", None, [K.MULTI_HOP, K.SINGLE_HOPS], []),
            ("new_single_hops.0.answer", "", [K.MULTI_HOP, K.SINGLE_HOPS], []),
            ("new_single_hops.1.answer", ..., [K.MULTI_HOP], [(0, "no_answer", "new_single_hops.1")]),
            ("new_single_hops.1", "text", [K.MULTI_HOP], [(0, "empty_text", "new_single_hops.1")]),
        ],
    )
    def test_questions_that_cannot_be_asked_are_listed_and_the_facts_stay(
        self, path: str, value: object, left: list[RippleKind], listed: list[tuple[int, str, str]]
    ) -> None:
        reading = read(as_bytes([changed(MQUAKE[0], path, value)]))
        assert ([each.kind for each in ripples(reading)], unasked(reading)) == (left, listed)
        assert len(reading.facts) == 2

    def test_without_any_answer_no_multi_hop_question_is_asked(self) -> None:
        record = changed(changed(MQUAKE[0], "new_answer", ...), "new_answer_alias", [])
        reading = read(as_bytes([record]))
        assert [each.kind for each in ripples(reading)] == [K.SINGLE_HOPS]
        assert unasked(reading) == [(0, "no_answer", f"questions.{number}") for number in range(3)]

    def test_a_rewrite_that_an_earlier_record_has_is_said_once_and_rested_on_twice(self) -> None:
        other = {**MQUAKE[0]["requested_rewrite"][1], "subject": "Peru"}
        second = changed(MQUAKE[0], "requested_rewrite.1", other)
        reading = read(as_bytes([MQUAKE[0], second]))
        assert [(each.index, each.fact.subject) for each in reading.facts] == [(0, "Oslo"), (0, "Japan"), (1, "Peru")]
        assert why(reading) == [("repeated_fact", "object")]
        assert reading.records == 2
        places = [place_of(each.fact) for each in reading.facts]
        assert [each.places for each in reading.rippled] == [{places[0], places[1]}, {places[0], places[2]}]

    def test_a_rewrite_that_contradicts_an_earlier_record_takes_its_whole_record_with_it(self) -> None:
        """CF-3k has such pairs, hence v2 (princeton-nlp/MQuAKE #2 #5 #6)."""
        second = changed(MQUAKE[0], "requested_rewrite.1.target_new.str", "euro")
        third = changed(MQUAKE[0], "requested_rewrite.0.subject", "Rome")
        reading = read(as_bytes([MQUAKE[0], second, third]))
        assert [each.index for each in reading.facts] == [0, 0, 2]
        assert [(each.record, each.code) for each in reading.unusable] == [
            (1, "contradictory_facts"),
            (2, "repeated_fact"),
        ]
        assert [each.index for each in reading.rippled] == [0, 2]

    def test_a_record_that_contradicts_itself_leaves_no_place_behind(self) -> None:
        rewrite = MQUAKE[0]["requested_rewrite"][0]
        torn = changed(MQUAKE[0], "requested_rewrite", [rewrite, changed(rewrite, "target_new.str", "Peru")])
        reading = read(as_bytes([torn, MQUAKE[0]]))
        assert why(reading) == [("contradictory_facts", "object")]
        assert [each.index for each in reading.facts] == [1, 1]


class TestRippleEdits:
    def test_the_sentence_is_taken_apart(self) -> None:
        [found] = read(as_bytes(RIPPLEEDITS)).facts
        fact = found.fact
        assert (fact.subject, fact.object, fact.previous) == ("Oslo", "Japan", "Norway")
        assert fact.prompt == "The name of the country which {} is associated with is"
        assert [each.prompt for each in fact.paraphrases] == [
            "The name of the country which Christiania is associated with is"
        ]
        assert [(each.prompt, each.expected) for each in fact.neighbours] == [
            ("The name of the mayor of Oslo is", ("Anne", "A. L."))
        ]

    def test_the_six_lists_become_tests_with_their_conditions(self) -> None:
        mayor = Question("The name of the mayor of Oslo is", ("Anne", "A. L."))
        yen = Question("The name of the currency in Japan is", ("yen",))
        paid = Question("The name of the currency in the country of Oslo is", ("yen",))
        alias = Question("The name of the country which Christiania is associated with is", ("Japan", "Nippon"))
        assert ripples(read(as_bytes(RIPPLEEDITS))) == (
            Ripple(K.LOGICAL_GENERALISATION, (yen, paid), every=True),
            Ripple(K.COMPOSITIONALITY_I, (paid,), known=(yen,)),
            Ripple(K.SUBJECT_ALIASING, (alias,)),  # its condition is the test itself, whose answer shall change
            Ripple(K.RELATION_SPECIFICITY, (mayor,), known=(mayor,)),
        )

    @pytest.mark.parametrize("name", ["Forgetfulness", "Compositionality_II", "Relation_Specifity"])
    def test_the_other_lists_have_their_kinds(self, name: str) -> None:
        record = {"edit": RIPPLEEDITS[0]["edit"], name: RIPPLEEDITS[0]["Relation_Specificity"]}
        [found] = ripples(read(as_bytes([record])))
        kinds = {"Forgetfulness": K.PRESERVATION, "Compositionality_II": K.COMPOSITIONALITY_II}
        assert found.kind is kinds.get(name, K.RELATION_SPECIFICITY)
        assert bool(found.known) is (name != "Compositionality_II")

    def test_a_recent_fact_has_none_before_it(self) -> None:
        [found] = read(as_bytes([changed(RIPPLEEDITS[0], "edit.original_fact", ...)])).facts
        assert (found.fact.subject, found.fact.object, found.fact.previous) == ("Oslo", "Japan", None)

    @pytest.mark.parametrize(
        ("path", "value", "reason"),
        [
            ("edit.prompt", ..., ("missing_field", "prompt")),
            ("edit.prompt", None, ("empty_text", "prompt")),
            ("edit.prompt", "Oslo moved to Japan.", ("subject_not_told", "edit.prompt")),
            ("edit.prompt", "The name of the country which Oslo is associated with is.", ("subject_not_told", None)),
            ("edit.original_fact.prompt", "The capital of Peru is Lima.", ("subject_not_told", "edit.prompt")),
            ("Subject_Aliasing.0.test_queries.0.answers.0.value", "Peru", None),
            ("Relation_Specificity.0.test_queries.0.prompt", "The mayor of Rome is", ("subject_not_told", None)),
        ],
    )
    def test_a_damaged_edit_says_why(self, path: str, value: object, reason: tuple[str, str | None] | None) -> None:
        reading = read(as_bytes([changed(RIPPLEEDITS[0], path, value)]))
        if reason is None:  # Japan is no more what that question calls the object
            reason = ("subject_not_told", "edit.prompt")
        assert [code for code, _ in why(reading)] == [reason[0]]
        assert reason[1] is None or why(reading)[0][1] == reason[1]

    @pytest.mark.parametrize(
        ("path", "value", "listed"),
        [
            ("Compositionality_I.0", None, ("invalid_request", "Compositionality_I.0")),
            ("Compositionality_I.0.test_queries.0.answers", [], ("no_answer", "Compositionality_I.0.test_queries.0")),
            ("Compositionality_I.0.test_queries.0", None, ("empty_text", "Compositionality_I.0.test_queries.0")),
            (
                "Compositionality_I.0.condition_queries.0.answers",
                [{"value": None, "aliases": []}],
                ("no_answer", "Compositionality_I.0.condition_queries"),
            ),
            (
                "Logical_Generalization.0.test_queries.1.answers",
                None,
                ("no_answer", "Logical_Generalization.0.test_queries.1"),
            ),
        ],
    )
    def test_a_damaged_test_is_listed_and_the_others_stay(
        self, path: str, value: object, listed: tuple[str, str]
    ) -> None:
        reading = read(as_bytes([changed(RIPPLEEDITS[0], path, value)]))
        assert unasked(reading) == [(0, *listed)]
        assert len(ripples(reading)) == 3
        assert len(reading.facts) == 1

    @pytest.mark.parametrize(
        ("relation", "sentence", "parts"),
        [
            ("MOTHER", "The name of the mother of Leo is Ada Lark.", ("Leo", "Ada Lark")),
            ("PLACE_OF_BIRTH", "The place of birth of Leo of Bergen is Oslo.", ("Leo of Bergen", "Oslo")),
            ("HEAD_OF_STATE", "The name of the head of state of Peru is Leo II.", ("Peru", "Leo II")),
            ("SIBLING", "The names of the siblings of Leo are Ada.", ("Leo", "Ada")),
            ("CURRENCY", "The name of the currency in Peru is yen.", ("Peru", "yen")),
            ("POSITION_HELD", "The name of the position held by Leo is king.", ("Leo", "king")),
            ("NUMBER_OF_CHILDREN", "The number of children Leo has is 3.", ("Leo", "3")),
            ("AWARD_RECEIVED", "The name of the award Leo won is Gold.", ("Leo", "Gold")),
            ("LEAGUE", "The name of the league which Leo plays in is One.", ("Leo", "One")),
            ("CAPITAL_OF", "The name of the country which Oslo is the capital of is Peru.", ("Oslo", "Peru")),
            ("FOLLOWED_BY", "Leo I is followed by Leo II.", ("Leo I", "Leo II")),
            ("FOLLOWS", "Leo II follows Leo I.", ("Leo II", "Leo I")),
            ("SEX_OR_GENDER", "The gender of Leo is male.", ("Leo", "male")),
            ("EMPLOYER", "The name of the employer of Leo is Acme Inc.", ("Leo", "Acme Inc")),
        ],
    )
    def test_sentences_of_every_form_are_taken_apart(
        self, relation: str, sentence: str, parts: tuple[str, str]
    ) -> None:
        found = told(sentence, relation, None, (), ())
        assert (found.subject, found.object) == parts
        assert f"{found.template} {found.object}".replace("{}", found.subject) == sentence.removesuffix(".")

    def test_what_could_be_read_twice_is_refused_unless_the_rest_of_the_record_tells(self) -> None:
        sentence = "The name of the author of What is Life is Ada."
        with pytest.raises(Unusable) as caught:
            told(sentence, "AUTHOR", None, (), ())
        assert caught.value.code == "ambiguous_subject"
        old = "The name of the author of What is Life is Erwin."
        for evidence in (
            {"previous": old, "objects": {"Ada"}, "about": ()},
            {"previous": None, "objects": {"Ada"}, "about": ()},
            {"previous": None, "objects": (), "about": ("The publisher of What is Life is",)},
        ):
            if evidence["about"]:
                with pytest.raises(Unusable):  # "What" stands there too
                    told(sentence, "AUTHOR", **evidence)
            else:
                assert told(sentence, "AUTHOR", **evidence).subject == "What is Life"


class TestWikiBigEdit:
    def test_gives_its_locality_and_asks_the_persona_and_the_second_hop(self) -> None:
        reading = read(as_bytes(WIKIBIGEDIT))
        fact = reading.facts[0].fact
        assert (fact.subject, fact.prompt, fact.object) == ("Oslo", "In which country does Oslo lie?", "Japan")
        assert [each.prompt for each in fact.paraphrases] == ["Which country is Oslo in?"]
        assert [(each.prompt, each.expected) for each in fact.neighbours] == [
            ("Who is the mayor of Bergen?", ("Anne",))
        ]
        assert ripples(reading) == (  # and the record of nulls asks nothing
            Ripple(K.PERSONA, (Question("Ahoy, in what land lies Oslo?", ("Japan",)),)),
            Ripple(K.MULTI_HOP, (Question("How does one pay in Oslo?", ("yen",)),)),
        )

    def test_nulls_are_nothing(self) -> None:
        """Case T15 of the field: mhop and others can be null, and keys may lack."""
        short = {name: WIKIBIGEDIT[1][name] for name in ("subject", "update", "ans")}
        reading = read(as_bytes([WIKIBIGEDIT[1], {**short, "subject": "Lima", "update": "Where is Lima?"}]))
        assert [(each.fact.paraphrases, each.fact.neighbours) for each in reading.facts] == [((), ()), ((), ())]
        assert (reading.unusable, reading.rippled, reading.unasked) == ((), (), ())

    @pytest.mark.parametrize(
        ("path", "value", "reason"),
        [
            ("ans", None, ("empty_text", "ans")),
            ("ans", "\u200b", ("empty_text", "object")),
            ("update", "", ("empty_text", "update")),
            ("subject", ..., ("missing_field", "subject")),
            ("subject", "Bergen", ("subject_not_in_prompt", "prompt")),
        ],
    )
    def test_a_damaged_record_says_why(self, path: str, value: object, reason: tuple[str, str]) -> None:
        reading = read(as_bytes([changed(WIKIBIGEDIT[0], path, value)]))
        assert (why(reading), reading.rippled) == ([reason], ())

    def test_a_second_hop_without_an_answer_is_listed(self) -> None:
        reading = read(as_bytes([changed(WIKIBIGEDIT[0], "mhop_ans", None)]))
        assert ([each.kind for each in ripples(reading)], unasked(reading)) == ([K.PERSONA], [(0, "no_answer", "mhop")])


class TestUnKE:
    def test_the_whole_question_stands_for_the_subject_and_the_answer_is_the_object(self) -> None:
        reading = read(as_bytes(UNKE))
        [found] = reading.facts
        assert found.fact == Fact(
            subject="What is Ada Lark known for?",
            prompt="{}",
            object=UNKE[0]["answer"],
            paraphrases=("For what do people know Ada Lark?",),
            id="4",
        )
        assert ripples(reading) == (
            Ripple(K.DETAIL, (Question("What did Ada Lark paint?", ("ships",)),)),
            Ripple(K.DETAIL, (Question("Where was Ada Lark born?", ("Oslo",)),)),
        )

    @pytest.mark.parametrize(
        ("path", "value", "reason"),
        [
            ("question", None, ("empty_text", "question")),
            ("answer", " ", ("empty_text", "answer")),
            ("answer", ["a", "b"], ("invalid_request", "answer")),
        ],
    )
    def test_a_damaged_record_says_why(self, path: str, value: object, reason: tuple[str, str]) -> None:
        assert why(read(as_bytes([changed(UNKE[0], path, value)]))) == [reason]

    @pytest.mark.parametrize(
        ("path", "value", "listed"),
        [
            ("sub_answer", ["ships"], [(0, "no_answer", "sub_question.1")]),
            ("sub_question.0", None, [(0, "empty_text", "sub_question.0")]),
        ],
    )
    def test_questions_about_details_without_their_answers_are_listed(
        self, path: str, value: object, listed: list[tuple[int, str, str]]
    ) -> None:
        reading = read(as_bytes([changed(UNKE[0], path, value)]))
        assert (len(ripples(reading)), unasked(reading)) == (1, listed)

    def test_without_questions_about_details_there_are_none(self) -> None:
        record = changed(changed(UNKE[0], "sub_question", ...), "sub_answer", None)
        reading = read(as_bytes([record]))
        assert (len(reading.facts), reading.rippled, reading.unasked) == (1, (), ())


class TestKnowEdit:
    def test_asks_what_has_another_answer_than_the_object(self) -> None:
        reading = read(as_bytes(KNOWEDIT))
        assert ripples(reading) == (
            Ripple(K.MULTI_HOP, (Question("The currency of the country of Oslo is", ("yen",)),)),
        )
        assert len(reading.facts[0].fact.paraphrases) == 1

    def test_lists_groups_that_it_does_not_know(self) -> None:
        record = changed(KNOWEDIT[0], "portability.Humour", [{"prompt": "Oslo is funny for", "ground_truth": "x"}])
        assert unasked(read(as_bytes([record]))) == [(0, "unknown_kind", "portability.Humour.0")]


class TestNeighboursOfOwnFacts:
    """Cases T14 and T15 of the field, in a file."""

    def test_may_have_aliases_as_easyedit_nests_them(self) -> None:
        given = [{"prompt": "Bergen lies in", "ground_truth": [["Norway", "Norge"]]}]
        fact = {"subject": "Oslo", "prompt": "Oslo lies in", "object": "Japan", "neighbours": given}
        [found] = read(as_bytes([fact])).facts
        assert [(each.prompt, each.expected) for each in found.fact.neighbours] == [
            ("Bergen lies in", ("Norway", "Norge"))
        ]

    def test_that_are_null_are_named_and_the_record_is_counted(self) -> None:
        good = {"subject": "Oslo", "prompt": "Oslo lies in", "object": "Japan", "paraphrases": None}
        reading = read(as_bytes([good, {**good, "neighbours": [None]}, {**good, "object": None}]))
        assert len(reading.facts) == 1
        assert why(reading) == [("invalid_request", "neighbours.0"), ("empty_text", "object")]
