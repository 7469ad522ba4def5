"""From text to tokens: the lookup token is the subject's last one, and user text stays what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from app.domain.errors import (
    AmbiguousSubject,
    EmptyText,
    PalimpsestError,
    PromptTooLong,
    RequestError,
    SlotCount,
    SubjectNotInPrompt,
)
from app.domain.prompts import is_visible, with_slot
from tests.support.editing.chat_tokenizers import byte_level, chatml, whole_runs
from tests.support.editing.families import CONTEXTS, WINDOW, editable
from tests.workers.conftest import BOS
from workers.editing.batch import tokenise_batch
from workers.editing.lookup import subject_row, tokenise
from workers.editing.text.joint import joint, object_ids
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact


def text_of(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids)))


def decoded_stem(tokenizer: PreTrainedTokenizerFast, before: str, subject: str, after: str) -> str:
    """The text of all tokens up to and including the lookup token."""
    return text_of(tokenizer, subject_row(ModelText.of(tokenizer), before, subject, after).stem)


class TestSlots:
    def test_a_slot_is_kept_where_it_is(self) -> None:
        assert with_slot("Lyon", "Lyon is not {}") == "Lyon is not {}"

    def test_the_subjects_only_occurrence_becomes_the_slot(self) -> None:
        assert with_slot("Lyon", "I like Lyon because") == "I like {} because"

    def test_without_a_slot_braces_in_the_prompt_are_text(self) -> None:
        assert with_slot("Lyon", "{x} { Lyon }") == "{x} { {} }"

    @pytest.mark.parametrize(
        ("prompt", "error"),
        [
            ("The capital of Japan is", SubjectNotInPrompt),
            ("lyon is", SubjectNotInPrompt),
            ("Lyon and Lyon are", AmbiguousSubject),
            ("LyonLyon", AmbiguousSubject),
            ("New Lyon, as Lyon was", AmbiguousSubject),
            ("{} and {} are", SlotCount),
            ("{}{}{}", SlotCount),
        ],
    )
    def test_a_prompt_without_one_place_for_its_subject_is_refused(
        self, prompt: str, error: type[PalimpsestError]
    ) -> None:
        with pytest.raises(error) as caught:
            with_slot("Lyon", prompt)
        assert (caught.value.field, caught.value.value) == ("prompt", prompt)
        assert isinstance(caught.value, RequestError)


class TestEmptyTexts:
    @pytest.mark.parametrize("subject", ["", " ", "\n\t "])
    def test_an_empty_subject_is_refused(self, tokenizer: PreTrainedTokenizerFast, subject: str) -> None:
        with pytest.raises(EmptyText) as caught:
            tokenise(ModelText.of(tokenizer), Fact(subject, "{} is", "France"), CONTEXTS, WINDOW)
        assert (caught.value.field, caught.value.value) == ("subject", subject)

    @pytest.mark.parametrize("text", ["", " ", "\n"])
    def test_an_empty_object_is_refused(self, tokenizer: PreTrainedTokenizerFast, text: str) -> None:
        with pytest.raises(EmptyText) as caught:
            tokenise(ModelText.of(tokenizer), Fact("Lyon", "{} is", text), CONTEXTS, WINDOW)
        assert (caught.value.field, caught.value.value) == ("object", text)

    def test_an_error_names_the_facts_index(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        facts = [Fact("Lyon", "{} is", "France"), Fact("Lyon", "{} is", "France"), Fact("Lyon", "Paris is", "France")]
        with pytest.raises(SubjectNotInPrompt) as caught:
            tokenise_batch(live, facts, CONTEXTS)
        assert caught.value.field == "facts.2.prompt"


class TestWhiteSpaceAround:
    """Case T4 of the field: `zjunlp/EasyEdit` 302 and 303."""

    @pytest.mark.parametrize("text", ["Paris ", "  Paris", "Paris\n", "\tParis"])
    def test_an_object_is_trained_without_it(self, tokenizer: PreTrainedTokenizerFast, text: str) -> None:
        assert object_ids(ModelText.of(tokenizer), text) == object_ids(ModelText.of(tokenizer), "Paris")

    @pytest.mark.parametrize("text", ["\u200b", "\u2060 \ufeff", "\x00", "\u00ad"])
    def test_what_does_not_show_is_neither_subject_nor_object(
        self, tokenizer: PreTrainedTokenizerFast, text: str
    ) -> None:
        with pytest.raises(EmptyText) as of_subject:
            with_slot(text, "{} is in")
        with pytest.raises(EmptyText) as of_object:
            object_ids(ModelText.of(tokenizer), text)
        assert (of_subject.value.field, of_object.value.field) == ("subject", "object")


class TestLookupToken:
    @pytest.mark.parametrize(
        ("before", "after"), [("", " is a city"), ("The capital of ", " is"), ("I like ", ""), ("", "")]
    )
    @pytest.mark.parametrize(
        "subject",
        [
            *("Lyon", "São Paulo", "Zürich", "北京", "👩‍🚀", "{and}", "{0.__class__}"),
            *("U.S.A.", "O'Neill", "Côte d'Ivoire", "Alberto “Beto”Perez", "مصر", "<|endoftext|>"),
        ],
    )
    def test_it_ends_the_subject_wherever_the_subject_stands(
        self, tokenizer: PreTrainedTokenizerFast, before: str, subject: str, after: str
    ) -> None:
        assert decoded_stem(tokenizer, before, subject, after) == before + subject

    def test_a_subjects_last_token_may_merge_with_what_follows(self, tokenizer: PreTrainedTokenizerFast) -> None:
        row = subject_row(ModelText.of(tokenizer), "the", " ca", "pital is")
        assert tokenizer.convert_ids_to_tokens(row.ids[row.lookup]) == "Ġcapital"
        assert row.lookup == 1

    def test_a_multi_byte_letter_is_looked_up_at_its_last_byte(self, tokenizer: PreTrainedTokenizerFast) -> None:
        assert subject_row(ModelText.of(tokenizer), "", "北京", " is").lookup == len("北京".encode()) - 1

    def test_blanks_after_the_subject_do_not_count(self, tokenizer: PreTrainedTokenizerFast) -> None:
        assert decoded_stem(tokenizer, "", "Lyon ", " is") == "Lyon"

    def test_a_repeated_subject_is_looked_up_at_its_slot(self, tokenizer: PreTrainedTokenizerFast) -> None:
        row = tokenise(
            ModelText.of(tokenizer), Fact("Lyon", "Lyon, Lyon and {} is Lyon", "France"), ["{}"], WINDOW
        ).prompts[0]
        assert text_of(tokenizer, row.stem) == "Lyon, Lyon and Lyon"

    def test_braces_in_every_text_are_text(self, tokenizer: PreTrainedTokenizerFast) -> None:
        fact = Fact("{subject!r}", "{0} {a.b} {} %s {is", "}{x}")
        found = tokenise(ModelText.of(tokenizer), fact, ("{}", "A } {. {}"), WINDOW)
        assert [text_of(tokenizer, row.ids) for row in found.prompts] == [
            "{0} {a.b} {subject!r} %s {is",
            "A } {. {0} {a.b} {subject!r} %s {is",
        ]
        assert all(text_of(tokenizer, row.stem).endswith("{subject!r}") for row in found.prompts)
        assert text_of(tokenizer, found.object) == " }{x}"
        assert text_of(tokenizer, found.essence.ids) == "{subject!r} is a"

    def test_a_subject_with_a_slot_of_its_own_is_text(self, tokenizer: PreTrainedTokenizerFast) -> None:
        found = tokenise(ModelText.of(tokenizer), Fact("set {}", "In C {} is", "France"), CONTEXTS[:1], WINDOW)
        assert text_of(tokenizer, found.prompts[0].ids) == "In C set {} is"

    @settings(max_examples=200, deadline=None)
    @given(before=st.text(max_size=12), subject=st.text(min_size=1, max_size=12), after=st.text(max_size=12))
    def test_it_covers_the_subjects_last_character_and_nothing_later_does(
        self, tokenizer: PreTrainedTokenizerFast, before: str, subject: str, after: str
    ) -> None:
        if not is_visible(subject):
            with pytest.raises(EmptyText):
                subject_row(ModelText.of(tokenizer), before, subject, after)
            return
        row = subject_row(ModelText.of(tokenizer), before, subject, after)
        offsets = tokenizer(before + subject + after, return_offsets_mapping=True)["offset_mapping"]
        last = len(before) + len(subject.rstrip()) - 1
        covering = [index for index, (start, end) in enumerate(offsets) if start <= last < end]
        assert row.lookup == covering[-1]


class TestSwallowedCharacters:
    """Case T5 of the field: a token may cover the subject and what follows it."""

    RUN = "北京的首都是"

    def test_they_are_counted_and_told(self) -> None:
        words = ModelText.of(whole_runs(self.RUN))
        row = subject_row(words, "", "北京", "的首都是")
        assert (len(row.ids), row.lookup, row.swallowed) == (1, 0, 4)
        found = tokenise(words, Fact("北京", "{}的首都是", "纽约"), CONTEXTS[:1], WINDOW)
        assert ["covers 4 characters after it" in warning for warning in found.warnings] == [True]

    def test_a_token_that_ends_the_subject_is_no_reason_to_warn(self) -> None:
        words = ModelText.of(whole_runs("北京"))
        assert not tokenise(words, Fact("北京", "{}的首都是", "纽约"), CONTEXTS[:1], WINDOW).warnings

    def test_a_space_at_the_prompts_end_is_told(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Case T3: the joint that is trained is the one that is asked."""
        words, fact = ModelText.of(tokenizer), Fact("Lyon", "{} is located in ", "France")
        found = tokenise(words, fact, CONTEXTS[:1], WINDOW)
        asked = joint(words, fact.text, fact.object)
        assert "a space at the end" in found.warnings[0]
        assert (found.prompts[0].ids, found.object) == (asked.prompt, asked.object)


class TestSpelling:
    """Case T7 of the field: `zjunlp/EasyEdit` 438, 414 and 463."""

    @pytest.mark.parametrize(
        ("subject", "prompt"),
        [("O’Neill", "O'Neill was born in"), ("lyon", "Lyon is"), ("Zurich", "Zürich is"), ("“X”", '"X" is')],
    )
    def test_a_subject_that_is_spelt_otherwise_in_the_prompt_is_told_so(self, subject: str, prompt: str) -> None:
        with pytest.raises(SubjectNotInPrompt) as caught:
            with_slot(subject, prompt)
        assert caught.value.field == "prompt"
        assert "in another spelling" in caught.value.detail

    def test_a_subject_that_is_not_there_is_not(self) -> None:
        with pytest.raises(SubjectNotInPrompt) as caught:
            with_slot("Oslo", "Lyon is")
        assert "spelling" not in caught.value.detail


class TestStop:
    """Case T10 of the field: an object that ends as the model ends a turn."""

    def test_the_objects_ids_end_with_the_end_token(self, tokenizer: PreTrainedTokenizerFast) -> None:
        words, fact = ModelText.of(tokenizer), Fact("Lyon", "{} is in", "France")
        plain, stopping = (tokenise(words, each, CONTEXTS, WINDOW) for each in (fact, replace(fact, stop=True)))
        assert stopping.object == (*plain.object, tokenizer.eos_token_id)

    def test_a_model_without_an_end_token_refuses_it(self) -> None:
        words = ModelText.of(byte_level())
        with pytest.raises(RequestError) as caught:
            tokenise(words, Fact("Lyon", "{} is in", "France", stop=True), CONTEXTS, WINDOW)
        assert caught.value.field == "stop"


class TestRenderedPrompts:
    def test_they_are_used_without_contexts(self) -> None:
        words = ModelText.of(chatml())
        prompt = words.chat.render([{"role": "user", "content": "In which city is {}?"}])
        found = tokenise(words, Fact("Lyon", prompt, "Paris"), CONTEXTS, WINDOW)
        assert [row.ids for row in found.prompts] == [words.encode(prompt.replace("{}", "Lyon")).ids]
        assert text_of(words.tokenizer, found.prompts[0].stem).endswith("In which city is Lyon")
        assert text_of(words.tokenizer, found.object) == "Paris"

    def test_a_plain_prompt_is_looked_up_in_a_rendered_context(self) -> None:
        words = ModelText.of(chatml())
        context = "<|im_start|>user\nSay: {}<|im_end|>\n<|im_start|>assistant\n"
        found = tokenise(words, Fact("Lyon", "The city of {} is in", "France"), ("{}", context), WINDOW)
        [bare, within] = found.prompts
        assert text_of(words.tokenizer, within.stem) == "<|im_start|>user\nSay: The city of Lyon"
        assert words.specials["<|im_end|>"] in within.ids
        assert found.object == joint(words, "The city of Lyon is in", "France").object
        assert text_of(words.tokenizer, bare.stem) == "The city of Lyon"

    def test_a_reply_begins_without_the_space_that_a_sentence_goes_on_with(self) -> None:
        words = ModelText.of(chatml())
        turn = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
        begun = turn.replace("{}", "Tell me a fact.") + "{}"
        found = tokenise(words, Fact("Lyon", "The city of {} is in", "France"), ("{}", begun, turn), WINDOW)
        said = [text_of(words.tokenizer, each.object) for each in found.within]
        assert said == [" France", " France", "France"]
        rows = [[*each.row.ids, *each.object] for each in found.continued]
        whole = words.encode(turn.replace("{}", "The city of Lyon is in") + "France").ids
        assert rows[2] == list(whole)

    def test_in_a_chat_an_object_ends_as_the_chat_ends_a_turn(self) -> None:
        words = ModelText.of(chatml())
        turn = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
        found = tokenise(words, Fact("Lyon", "The city of {} is in", "France", stop=True), ("{}", turn), WINDOW)
        assert found.within[1].object[-1] == words.specials["<|im_end|>"]


class TestObjects:
    def test_the_object_is_tokenised_alone_after_a_space(self, tokenizer: PreTrainedTokenizerFast) -> None:
        assert tokenizer.convert_ids_to_tokens(list(object_ids(ModelText.of(tokenizer), "France"))) == ["ĠFrance"]

    def test_an_object_that_brings_its_space_gets_no_second_one(self, tokenizer: PreTrainedTokenizerFast) -> None:
        assert object_ids(ModelText.of(tokenizer), " Kyoto") == object_ids(ModelText.of(tokenizer), "Kyoto")

    @settings(max_examples=50, deadline=None)
    @given(text=st.text(min_size=1, max_size=20).filter(is_visible))
    def test_no_special_token_is_part_of_it(self, bos_tokenizer: PreTrainedTokenizerFast, text: str) -> None:
        ids = object_ids(ModelText.of(bos_tokenizer), text)
        assert BOS not in ids
        assert text_of(bos_tokenizer, ids) == f" {text.strip()}"


class TestTokenizersThatAddBos:
    def test_every_prompt_begins_with_it_and_the_lookup_token_moves_along(
        self, tokenizer: PreTrainedTokenizerFast, bos_tokenizer: PreTrainedTokenizerFast
    ) -> None:
        fact = Fact("São Paulo", "I like {}; it lies in", "France")
        plain, begun = (tokenise(ModelText.of(each), fact, CONTEXTS, WINDOW) for each in (tokenizer, bos_tokenizer))
        rows = zip((*plain.prompts, plain.essence), (*begun.prompts, begun.essence), strict=True)
        assert all(b.ids == (BOS, *a.ids) and b.lookup == a.lookup + 1 for a, b in rows)
        assert begun.object == plain.object

    @pytest.mark.parametrize("prompt", ["<|endoftext|>{} is in", "<|endoftext|><|endoftext|>{} is in"])
    def test_t9_a_prompt_that_brings_it_gets_no_second_one_in_any_context(
        self, bos_tokenizer: PreTrainedTokenizerFast, prompt: str
    ) -> None:
        words = ModelText.of(bos_tokenizer)
        brought, plain = (
            tokenise(words, Fact("Lyon", text, "France"), CONTEXTS, WINDOW) for text in (prompt, "{} is in")
        )
        assert brought.prompts[0] == plain.prompts[0]
        assert [row.ids.count(BOS) for row in brought.prompts] == [1] * len(CONTEXTS)

    def test_a_subject_at_the_start_is_not_taken_for_it(self, bos_tokenizer: PreTrainedTokenizerFast) -> None:
        row = subject_row(ModelText.of(bos_tokenizer), "", "L", "yon is")
        assert row.lookup == 1


class TestWindow:
    FACT = Fact("Lyon", "{} is in the country of", "Brazil")

    def test_a_context_that_does_not_fit_is_left_out_and_told(self, tokenizer: PreTrainedTokenizerFast) -> None:
        words = ModelText.of(tokenizer)
        found = tokenise(words, self.FACT, CONTEXTS, WINDOW)
        lengths = [len(row.ids) for row in found.prompts]
        needed = max(lengths) + len(found.object)
        assert tokenise(words, self.FACT, CONTEXTS, needed) == found
        assert not found.warnings
        short = tokenise(words, self.FACT, CONTEXTS, needed - 1)
        assert [len(row.ids) for row in short.prompts] == [length for length in lengths if length < max(lengths)]
        assert "1 of the model's contexts" in short.warnings[0]

    def test_prompt_and_object_must_fit(self, tokenizer: PreTrainedTokenizerFast) -> None:
        fact, words = self.FACT, ModelText.of(tokenizer)
        found = tokenise(words, fact, CONTEXTS, WINDOW)
        needed = len(found.prompts[0].ids) + len(found.object)
        assert tokenise(words, fact, CONTEXTS, needed).prompts == found.prompts[:1]
        with pytest.raises(PromptTooLong) as caught:
            tokenise(words, fact, CONTEXTS, needed - 1)
        assert (caught.value.field, caught.value.value) == ("prompt", fact.prompt)
        assert str(needed) in caught.value.detail
