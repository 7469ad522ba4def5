"""What the log keeps of a batch: prompts with one slot, and chats as text in the model's own template."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.domain.contract import EditBatch
from app.domain.errors import (
    AmbiguousSubject,
    ContradictoryFacts,
    PalimpsestError,
    PromptTooLong,
    RequestError,
    SlotCount,
    SubjectNotInPrompt,
)
from app.domain.manifest import LoggedFact
from tests.support.editing.chat_tokenizers import byte_level, chatml
from workers.editing.text.model_text import ModelText
from workers.versions.logged_facts import as_facts, as_sent, logged_facts

SYSTEM = {"role": "system", "content": "Answer in one word."}
ASKED = "<|im_start|>user\nIn which land is {}?<|im_end|>\n<|im_start|>assistant\n"
BY_DEFAULT = "<|im_start|>system\nBe kind.<|im_end|>\n"


@pytest.fixture(scope="module")
def words() -> ModelText:
    return ModelText.of(chatml())


def batch(**fact: Any) -> EditBatch:
    return EditBatch.model_validate({"facts": [{"subject": "Lyon", "object": "Japan", **fact}]})


def logged(words: ModelText, **fact: Any) -> LoggedFact:
    [found] = logged_facts(batch(**fact), words)
    return found


class TestChat:
    def test_the_prompt_is_a_users_turn_and_so_is_all_beside_it(self, words: ModelText) -> None:
        found = logged(
            words,
            prompt="In which land is Lyon?",
            chat=True,
            paraphrases=["Where is {}?"],
            neighbours=["Where is Oslo?"],
        )
        assert found.prompt == BY_DEFAULT + ASKED
        assert found.paraphrases == (
            f"{BY_DEFAULT}<|im_start|>user\nWhere is {{}}?<|im_end|>\n<|im_start|>assistant\n",
        )
        assert words.chat.opens_reply(found.neighbours[0].prompt)

    def test_messages_keep_what_stands_before_the_question(self, words: ModelText) -> None:
        turn = {"role": "user", "content": "In which land is {}?"}
        found = logged(words, messages=[SYSTEM, turn], paraphrases=["Where is Lyon?"])
        assert found.prompt == f"<|im_start|>system\nAnswer in one word.<|im_end|>\n{ASKED}"
        assert found.paraphrases[0].startswith(
            "<|im_start|>system\nAnswer in one word.<|im_end|>\n<|im_start|>user\nWhere"
        )

    def test_an_assistants_last_message_begins_the_reply(self, words: ModelText) -> None:
        turns = [{"role": "user", "content": "Where is Lyon?"}, {"role": "assistant", "content": "It is in"}]
        assert logged(words, messages=turns).prompt.endswith("assistant\nIt is in")
        assert "user\nWhere is {}?" in logged(words, messages=turns).prompt

    def test_rendered_text_as_a_prompt_is_the_same_fact(self, words: ModelText) -> None:
        rendered = logged(words, prompt=BY_DEFAULT + ASKED)
        assert rendered == logged(words, prompt="In which land is {}?", chat=True)

    def test_control_characters_in_messages_are_text(self, words: ModelText) -> None:
        turns = [{"role": "user", "content": "a\x1fb"}, {"role": "user", "content": "{} is in"}]
        assert logged(words, messages=turns).prompt.count("{}") == 1

    def test_what_the_template_makes_longer_than_a_request_may_be_is_read_again(self, words: ModelText) -> None:
        found = logged(
            words, prompt="In which land is {}?", chat=True, neighbours=["x" * 4000], paraphrases=["y" * 4000]
        )
        assert len(found.neighbours[0].prompt) > 4000
        assert LoggedFact.model_validate_json(found.model_dump_json()) == found


class TestTaught:
    def test_it_is_logged_with_a_slot_and_known_again(self, words: ModelText) -> None:
        asked = [
            "Lyon lies in",
            {"prompt": "People say Lyon is in", "teach": True},
            {"prompt": "In {}, in", "teach": True},
        ]
        found = logged(words, prompt="{} is in", paraphrases=asked)
        assert found.paraphrases == ("Lyon lies in", "People say {} is in", "In {}, in")
        assert found.taught == (1, 2)
        [fact] = as_facts([LoggedFact.model_validate_json(found.model_dump_json())])
        assert fact.taught == ("People say {} is in", "In {}, in")

    def test_a_log_from_before_there_was_any_is_read(self) -> None:
        old = {"subject": "Lyon", "prompt": "{} is in", "object": "Japan", "paraphrases": ["Lyon lies in"]}
        found = LoggedFact.model_validate(old)
        assert not found.taught
        assert not as_facts([found])[0].taught

    @pytest.mark.parametrize("taught", [(1,), (0,), (-1,)])
    def test_what_a_log_says_is_taught_must_be_there_with_its_slot(self, taught: tuple[int, ...]) -> None:
        with pytest.raises(ValidationError):
            LoggedFact(subject="Lyon", prompt="{} is", object="Japan", paraphrases=("Lyon lies in",), taught=taught)

    def test_in_chat_it_is_taught_as_it_is_asked(self, words: ModelText) -> None:
        taught = {"prompt": "Where is Lyon?", "teach": True}
        found = logged(words, prompt="In which land is {}?", chat=True, paraphrases=[taught, "Where is {}?"])
        assert found.paraphrases[0] == found.paraphrases[1]
        assert as_facts([found])[0].taught == found.paraphrases[:1]

    def test_in_messages_it_takes_the_last_questions_place(self, words: ModelText) -> None:
        turn = {"role": "user", "content": "In which land is Lyon?"}
        found = logged(words, messages=[SYSTEM, turn], paraphrases=[{"prompt": "Where is Lyon?", "teach": True}])
        assert found.paraphrases[0].startswith(
            "<|im_start|>system\nAnswer in one word.<|im_end|>\n<|im_start|>user\nWhere is {}?"
        )

    def test_the_subject_may_stand_before_the_question(self, words: ModelText) -> None:
        turns = [{"role": "system", "content": "They talk of {}."}, {"role": "user", "content": "Where is it?"}]
        found = logged(words, messages=turns, paraphrases=[{"prompt": "In which land is it?", "teach": True}])
        assert "They talk of {}." in found.paraphrases[0]

    @pytest.mark.parametrize("way", [{"prompt": "{} is"}, {"prompt": "Where is {}?", "chat": True}])
    @pytest.mark.parametrize(
        ("prompt", "error"),
        [("Where is Oslo?", SubjectNotInPrompt), ("Lyon or Lyon", AmbiguousSubject), ("{} or {}", SlotCount)],
    )
    def test_one_without_one_place_for_the_subject_is_named(
        self, words: ModelText, way: dict[str, Any], prompt: str, error: type[PalimpsestError]
    ) -> None:
        with pytest.raises(error) as caught:
            logged(words, **way, paraphrases=["fine", {"prompt": prompt, "teach": True}])
        assert (caught.value.field, caught.value.value) == ("facts.0.paraphrases.1.prompt", prompt)
        logged(words, **way, paraphrases=["fine", prompt])

    def test_the_engine_names_it_otherwise_than_the_caller(self) -> None:
        asked = ["Lyon lies in", {"prompt": "{} is", "teach": True}, {"prompt": "{} was", "teach": True}]
        error = PromptTooLong("too long", field="facts.0.taught.1")
        assert as_sent(error, batch(prompt="{} is in", paraphrases=asked).facts).field == "facts.0.paraphrases.2.prompt"

    def test_a_fact_that_contradicts_it_is_refused(self, words: ModelText) -> None:
        one = {"subject": "Lyon", "object": "Japan", "prompt": "{} is in"}
        other = {"subject": "Lyon", "object": "Peru", "prompt": "{} lies in"}
        taught = {**one, "paraphrases": [{"prompt": "Lyon lies in", "teach": True}]}
        logged_facts(EditBatch.model_validate({"facts": [one, other]}), words)
        with pytest.raises(ContradictoryFacts) as caught:
            logged_facts(EditBatch.model_validate({"facts": [taught, other]}), words)
        assert caught.value.field == "facts.1.object"


class TestRefusals:
    @pytest.mark.parametrize(
        ("fact", "error", "field"),
        [
            ({"chat": True, "prompt": "Where is Oslo?"}, SubjectNotInPrompt, "facts.0.prompt"),
            ({"chat": True, "relation": "{} is"}, SlotCount, "facts.0.relation"),
            ({"messages": [SYSTEM]}, SubjectNotInPrompt, "facts.0.messages.0.content"),
            ({"messages": [{"role": "user", "content": "{} {}"}]}, SlotCount, "facts.0.messages.0.content"),
            (
                {"messages": [{"role": "user", "content": "Lyon"}, {"role": "assistant", "content": "Lyon"}]},
                AmbiguousSubject,
                "facts.0.messages",
            ),
            ({"chat": True, "prompt": "<|im_start|>user\n{}"}, RequestError, "facts.0.chat"),
            (
                {"chat": True, "prompt": "{} is", "neighbours": ["<|im_start|>user\nHi"]},
                RequestError,
                "facts.0.neighbours.0",
            ),
        ],
    )
    def test_a_chat_at_fault_is_named(
        self, words: ModelText, fact: dict[str, Any], error: type[PalimpsestError], field: str
    ) -> None:
        sent = batch(**fact)
        with pytest.raises(error) as caught:
            logged_facts(sent, words)
        assert as_sent(caught.value, sent.facts).field == field

    @pytest.mark.parametrize(
        "fact", [{"chat": True, "prompt": "{} is"}, {"messages": [{"role": "user", "content": "{}"}]}]
    )
    def test_a_model_without_a_template_refuses_it_by_the_field(self, fact: dict[str, Any]) -> None:
        with pytest.raises(RequestError) as caught:
            logged_facts(batch(**fact), ModelText.of(byte_level()))
        assert caught.value.field == f"facts.0.{'chat' if 'chat' in fact else 'messages'}"


def test_whether_the_model_shall_stop_is_logged_and_known_again(words: ModelText) -> None:
    """Case T10 of the field: companions are optimised again as they were written."""
    found = logged(words, prompt="{} is in", stop=True)
    assert as_facts([LoggedFact.model_validate_json(found.model_dump_json())])[0].stop
    assert not as_facts([logged(words, prompt="{} is in")])[0].stop
