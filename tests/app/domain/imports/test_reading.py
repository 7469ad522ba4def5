"""Data files as people have them: every record becomes a fact, or says why not."""

from __future__ import annotations

import codecs
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.contract import Fact, ImportFormat
from app.domain.errors import UnreadableFile
from app.domain.imports.reading import Reading, read, reasons
from tests.support.data_files import (
    COUNTERFACT,
    EASYEDIT,
    FACTS,
    KNOWEDIT,
    MQUAKE,
    REAL,
    RIPPLEEDITS,
    TABLE,
    UNKE,
    WIKIBIGEDIT,
    WIKIBIO,
    ZSRE,
    as_bytes,
    as_lines,
)

F = ImportFormat

NAMES = st.sampled_from(
    sorted(
        {name for each in (*COUNTERFACT, *EASYEDIT, *KNOWEDIT, *WIKIBIO, *ZSRE, *FACTS) for name in each}
        | {name for each in (*MQUAKE, *RIPPLEEDITS, *WIKIBIGEDIT, *UNKE) for name in each}
        | {"prompt", "test_queries", "condition_queries", "answers", "value", "question"}
    )
)


def only(reading: Reading) -> Fact:
    [found] = reading.facts
    assert reading.unusable == ()
    return found.fact


def why(record: Any, named: ImportFormat = F.AUTO) -> tuple[str, str | None]:
    """Code and field of the one reason why a record cannot be used."""
    reading = read(as_bytes([record]), named)
    [unusable] = reading.unusable
    assert reading.facts == ()
    return unusable.code, unusable.field


class TestForms:
    @pytest.mark.parametrize(
        ("records", "form"),
        [
            (COUNTERFACT, F.COUNTERFACT),
            (EASYEDIT, F.EASYEDIT),
            (KNOWEDIT, F.KNOWEDIT),
            (WIKIBIO, F.KNOWEDIT),
            (ZSRE, F.ZSRE),
            (RIPPLEEDITS, F.RIPPLEEDITS),
            (WIKIBIGEDIT, F.WIKIBIGEDIT),
            (UNKE, F.UNKE),
            (FACTS, F.FACTS),
        ],
    )
    def test_are_recognised_in_a_list_and_line_by_line(self, records: list[dict[str, Any]], form: ImportFormat) -> None:
        for data in (as_bytes(records), as_lines(records), as_lines(records, "\r\n\r\n")):
            reading = read(data)
            assert (reading.format, len(reading.facts), reading.unusable) == (form, len(records), ())
            assert reading == read(data, form)

    def test_a_record_of_mquake_is_several_facts(self) -> None:
        for data in (as_bytes(MQUAKE), as_lines(MQUAKE)):
            reading = read(data)
            assert (reading.format, reading.records, reading.unusable) == (F.MQUAKE, 1, ())
            assert [(each.index, each.fact.subject, each.fact.object, each.fact.id) for each in reading.facts] == [
                (0, "Oslo", "Japan", "5"),
                (0, "Japan", "peso", "5"),
            ]

    def test_counterfact_gives_its_neighbours_the_true_answer(self) -> None:
        fact = only(read(as_bytes(COUNTERFACT)))
        assert (fact.subject, fact.prompt, fact.object) == ("Oslo", "The country where {} lies is", "Japan")
        assert (fact.previous, fact.id) == ("Norway", "7")
        assert [each.prompt for each in fact.paraphrases] == ["It rained. Oslo is located in the country of"]
        assert [(each.prompt, each.expected) for each in fact.neighbours] == [
            ("The country where Bergen lies is", ("Norway",)),
            ("The country where Molde lies is", ("Norway",)),
        ]

    def test_easyedit_gives_its_locality_as_neighbours(self) -> None:
        fact = only(read(as_bytes(EASYEDIT)))
        assert (fact.prompt, fact.object, fact.previous) == ("The country where Oslo lies is", "Japan", "Norway")
        assert [each.prompt for each in fact.paraphrases] == ["Oslo is located in the country of"]
        assert [each.expected for each in fact.neighbours] == [("Norway",)]

    def test_easyedit_may_have_lists(self) -> None:
        lists = {"locality_prompt": ["a", "b"], "locality_ground_truth": ["x", "y"], "rephrase_prompt": ["c", "d"]}
        fact = only(read(as_bytes([{**EASYEDIT[0], **lists}])))
        assert [(each.prompt, each.expected) for each in fact.neighbours] == [("a", ("x",)), ("b", ("y",))]
        assert [each.prompt for each in fact.paraphrases] == ["c", "d"]

    def test_knowedit_takes_what_has_the_object_as_answer_for_a_paraphrase(self) -> None:
        fact = read(as_bytes(KNOWEDIT)).facts[0].fact
        assert [each.prompt for each in fact.paraphrases] == ["Norway's capital lies in"]
        assert [(each.prompt, each.expected) for each in fact.neighbours] == [
            ("The mayor of Oslo is", ("Anne", "A. L.")),
            ("The country where Bergen lies is", ("Norway",)),
        ]

    def test_wikibio_has_other_names(self) -> None:
        fact = only(read(as_bytes(WIKIBIO)))
        assert (fact.subject, fact.object) == ("Ada Lark", "She was a painter.")

    def test_zsre_asks_its_neighbour_as_a_question(self) -> None:
        fact = only(read(as_bytes(ZSRE)))
        assert (fact.prompt, fact.object, fact.previous) == ("In which country does Oslo lie?", "Japan", "Norway")
        assert [(each.prompt, each.expected) for each in fact.neighbours] == [("who sang the song?", ("Nobody",))]

    def test_zsre_may_name_its_object_ans(self) -> None:
        record = {"ans" if name == "alt" else name: value for name, value in ZSRE[0].items()}
        assert only(read(as_bytes([record]))).object == "Japan"

    def test_our_own_facts_are_taken_as_they_are(self) -> None:
        assert [each.fact for each in read(as_bytes(FACTS)).facts] == [Fact.model_validate(fact) for fact in FACTS]

    @pytest.mark.parametrize("name", ["facts", "data", "records", "edits"])
    def test_a_list_may_lie_in_an_object(self, name: str) -> None:
        data = f'{{"{name}": {as_bytes(FACTS).decode()}}}'.encode()
        assert len(read(data).facts) == 2

    def test_batches_of_apply_are_joined(self) -> None:
        batch = as_bytes(FACTS[:1]).decode(), as_bytes(FACTS[1:]).decode()
        assert len(read(f'{{"batches": [{",".join(batch)}]}}'.encode()).facts) == 2

    def test_prompts_become_turns_of_a_chat_if_that_is_asked_for(self) -> None:
        assert only(read(as_bytes(ZSRE), chat=True)).chat
        assert not only(read(as_bytes(ZSRE))).chat


class TestTables:
    def test_columns_are_found_by_name(self) -> None:
        fact = only(read(TABLE.encode()))
        assert (fact.subject, fact.prompt) == ("Oslo", 'The country where "fair" {} lies, is')
        assert (fact.object, fact.previous, fact.id) == ("Japan", "Norway", "r1")
        assert [each.prompt for each in fact.paraphrases] == ["Oslo is in"]
        assert [(each.prompt, each.expected) for each in fact.neighbours] == [
            ("The country where Bergen lies is", ("Norway",))
        ]

    @pytest.mark.parametrize("mark", [codecs.BOM_UTF8, b""])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_marks_and_ends_of_lines_do_not_matter(self, mark: bytes, end: str) -> None:
        assert read(mark + TABLE.replace("\n", end).encode()) == read(TABLE.encode())

    def test_a_spreadsheet_may_have_written_it(self) -> None:
        text = 'subject;prompt;object\r\nOslo;"In Oslo; that is in";Japan\r\n'
        assert only(read(text.encode())).prompt == "In Oslo; that is in"
        tabs = "subject\tprompt\tobject\nOslo\tOslo lies in\tJapan\n"
        for encoding in ("utf-8-sig", "utf-16"):
            assert (read(tabs.encode(encoding)).format, only(read(tabs.encode(encoding))).object) == (F.TSV, "Japan")

    def test_a_cell_may_have_lines_and_the_next_row_is_found(self) -> None:
        text = 'subject,prompt,object\nOslo,"Oslo is\nin",Japan\nRome,Paris is in,Peru\n'
        reading = read(text.encode())
        assert [each.line for each in reading.facts] == [2]
        assert [(each.record, each.line, each.code) for each in reading.unusable] == [(1, 4, "subject_not_in_prompt")]

    def test_quotes_in_tsv_may_be_text(self) -> None:
        text = 'subject\tprompt\tobject\nHeroes\t"Heroes" is by\tSomebody\n'
        assert only(read(text.encode())).prompt == '"Heroes" is by'

    def test_columns_may_come_more_than_once(self) -> None:
        text = (
            "subject,question,answer,paraphrase,paraphrase,neighbour,neighbour,expected,expected\n"
            "Oslo,Where is Oslo?,Japan,Oslo is in,Go to Oslo in,a,b,x,y\n"
        )
        fact = only(read(text.encode()))
        assert [each.prompt for each in fact.paraphrases] == ["Oslo is in", "Go to Oslo in"]
        assert [(each.prompt, each.expected) for each in fact.neighbours] == [("a", ("x",)), ("b", ("y",))]

    def test_a_question_stands_before_the_name_of_a_relation(self) -> None:
        text = (
            "topic,subject,relation,object,question,paraphrased_question\nart,Oslo,country,Japan,Where is Oslo?,Oslo?\n"
        )
        fact = only(read(text.encode()))
        assert (fact.prompt, fact.relation, len(fact.paraphrases)) == ("Where is Oslo?", None, 1)
        relation = "subject,relation,object\nOslo,lies in,Japan\n"
        assert only(read(relation.encode())).template == "{} lies in"

    def test_rows_say_what_is_wrong_with_them(self) -> None:
        rows = (",Oslo is in,Japan", "Oslo,,Japan", "Oslo,Oslo is in,", "Oslo,Oslo is in,Japan,more", "", ",,")
        text = "\n".join(("subject,prompt,object", *rows))
        reading = read(text.encode())
        assert [(each.line, each.code, each.field) for each in reading.unusable] == [
            (2, "empty_text", "subject"),
            (3, "missing_field", "prompt"),
            (4, "empty_text", "object"),
            (5, "too_many_cells", None),
        ]

    def test_what_is_no_table_of_facts_is_refused(self) -> None:
        for text, told in (
            ("name,value\na,b\n", "subject, object"),
            ("subject\na\n", "one column only"),
            ('subject,prompt,object\nOslo,"Oslo is in,Japan\n', "line 2"),
        ):
            with pytest.raises(UnreadableFile, match=told):
                read(text.encode(), F.CSV)


class TestUnusable:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"target_new": ""}, ("empty_text", "target_new")),
            ({"target_new": None}, ("empty_text", "target_new")),
            ({"target_new": "  "}, ("empty_text", "target_new")),
            ({"target_new": "\u200b"}, ("empty_text", "object")),
            ({"target_new": ["a", "b"]}, ("invalid_request", "target_new")),
            ({"subject": None}, ("empty_text", "subject")),
            ({"subject": "Bergen"}, ("subject_not_in_prompt", "prompt")),
            ({"prompt": "Oslo is not Oslo in"}, ("ambiguous_subject", "prompt")),
            ({"prompt": "{} is {} in"}, ("slot_count", "prompt")),
            ({"prompt": "Oslo" + " is" * 2000}, ("invalid_request", "prompt")),
            ({"rephrase_prompt": "Oslo" + " is" * 2000}, ("invalid_request", "paraphrases.0.prompt")),
            ({"subject": "\ud800", "prompt": "\ud800 is"}, ("invalid_request", "subject")),
        ],
    )
    def test_a_record_says_why(self, change: dict[str, Any], reason: tuple[str, str]) -> None:
        record = {**EASYEDIT[0], **change}
        text = json.dumps([record]).encode()
        [unusable] = read(text, F.EASYEDIT).unusable
        assert (unusable.code, unusable.field) == reason

    def test_a_field_that_is_not_there_is_named(self) -> None:
        for name, shown in (("subject", "subject"), ("prompt", "prompt"), ("target_new", "target_new")):
            record = {key: value for key, value in EASYEDIT[0].items() if key != name}
            assert why(record, F.EASYEDIT) == ("missing_field", shown)
        assert why({"requested_rewrite": [1]}) == ("invalid_request", "requested_rewrite")
        assert why({"a": 1}, F.COUNTERFACT) == ("missing_field", "requested_rewrite")
        assert why({"concept": "Ada"}, F.KNOWEDIT) == ("missing_field", "target_new")

    @pytest.mark.parametrize("nothing", [None, "", [], [None], ["", " "]])
    def test_extras_that_are_nothing_are_left_out(self, nothing: object) -> None:
        names = ("rephrase_prompt", "locality_prompt", "locality_ground_truth", "ground_truth")
        fact = only(read(as_bytes([{**EASYEDIT[0], **dict.fromkeys(names, nothing)}])))
        assert (fact.paraphrases, fact.neighbours, fact.previous) == ((), (), None)

    def test_a_year_may_be_a_number(self) -> None:
        assert only(read(as_bytes([{**EASYEDIT[0], "target_new": 1997}]))).object == "1997"
        assert why({**EASYEDIT[0], "target_new": True}) == ("invalid_request", "target_new")

    def test_quotes_of_another_kind_are_told(self) -> None:
        record = {"subject": "O’Neill", "prompt": "O'Neill lives in", "object": "Oslo"}
        [unusable] = read(as_bytes([record])).unusable
        assert "another spelling" in unusable.detail

    def test_of_records_that_repeat_or_contradict_the_first_stays(self) -> None:
        fact = {"subject": "Oslo", "prompt": "Oslo lies in", "object": "Japan"}
        again, other = {**fact, "prompt": "{}  lies IN"}, {**fact, "object": "Peru"}
        reading = read(as_bytes([fact, again, other]))
        assert [each.index for each in reading.facts] == [0]
        assert [(each.record, each.code) for each in reading.unusable] == [
            (1, "repeated_fact"),
            (2, "contradictory_facts"),
        ]
        assert reasons(reading.unusable) == {"repeated_fact": 1, "contradictory_facts": 1}
        assert "record 0" in reading.unusable[1].detail

    def test_lines_that_are_no_json_are_left_out_with_their_number(self) -> None:
        data = as_lines(FACTS[:1]) + b"{oops\n\n7\n" + as_lines(FACTS[1:])
        reading = read(data)
        assert [each.line for each in reading.facts] == [1, 5]
        assert [(each.record, each.line, each.code) for each in reading.unusable] == [
            (1, 2, "not_json"),
            (2, 4, "no_object"),
        ]

    def test_of_many_extras_the_first_are_taken(self) -> None:
        record = {**COUNTERFACT[0], "neighborhood_prompts": [f"place {n} lies in" for n in range(50)]}
        assert len(only(read(as_bytes([record]))).neighbours) == 20


class TestUnreadable:
    @pytest.mark.parametrize(
        ("data", "told"),
        [
            (b"", "empty"),
            (b" \n\n", "empty"),
            (b"[{]", "line 1, column 3"),
            (b"[" * 100_000, "no JSON|too deeply"),
            (b'[{"colour": "red"}]', "No format is known"),
            (b"[]", "No format is known"),
            (b"[" + b"9" * 5000 + b"]", "too long"),
            ("subject,object\nCôte d'Ivoire".encode("cp1252"), "UTF-8.*byte 16.*0xf4"),
            ("é".encode("utf-16-le") + b"\x00", "No format|columns|UTF-8|one column"),
            (codecs.BOM_UTF16_LE + b"a", "UTF-16"),
        ],
    )
    def test_a_file_is_refused_with_the_reason(self, data: bytes, told: str) -> None:
        with pytest.raises(UnreadableFile, match=told):
            read(data)

    def test_a_named_format_is_held_to(self) -> None:
        with pytest.raises(UnreadableFile, match="no JSON"):
            read(TABLE.encode(), F.EASYEDIT)
        with pytest.raises(UnreadableFile):
            read(as_bytes(FACTS), F.CSV)


ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=12,
)


class TestAnything:
    @given(data=st.binary(max_size=60), named=st.sampled_from(F))
    def test_of_bytes_is_read_or_refused(self, data: bytes, named: ImportFormat) -> None:
        with suppress(UnreadableFile):
            read(data, named)

    @given(records=st.lists(st.dictionaries(NAMES, ANY, max_size=8), max_size=3), named=st.sampled_from(F))
    def test_of_json_becomes_facts_or_reasons_that_can_be_sent(
        self, records: list[dict[str, Any]], named: ImportFormat
    ) -> None:
        for data in (json.dumps(records), "\n".join(map(json.dumps, records))):
            with suppress(UnreadableFile):
                reading = read(data.encode(), named)
                for told in (*reading.unusable, *(each.fact for each in reading.facts)):
                    assert json.loads(told.model_dump_json())

    @given(rows=st.lists(st.lists(st.text(max_size=6), max_size=5), max_size=4), named=st.sampled_from([F.CSV, F.TSV]))
    def test_of_cells_becomes_facts_or_reasons(self, rows: list[list[str]], named: ImportFormat) -> None:
        cells = [["subject", "prompt", "object"], *rows]
        text = "\n".join(("," if named is F.CSV else "\t").join(row) for row in cells)
        with suppress(UnreadableFile):
            read(text.encode(errors="replace"), named)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real samples are not here")
class TestRealSamples:
    @pytest.mark.parametrize(
        ("name", "form"),
        [("counterfact-easyedit-300", F.EASYEDIT), ("zsre-mend-200", F.ZSRE), ("zsre-mend-800", F.ZSRE)],
    )
    def test_every_record_becomes_a_fact_or_says_why(self, name: str, form: ImportFormat) -> None:
        reading = read((REAL / f"{name}.json").read_bytes())
        assert (reading.format, reading.records) == (form, int(name.rpartition("-")[2]))
        assert len(reading.facts) >= 0.95 * reading.records
        assert all(each.code == "empty_text" and each.field == "alt" for each in reading.unusable)
        assert all(each.fact.paraphrases and each.fact.neighbours for each in reading.facts)
