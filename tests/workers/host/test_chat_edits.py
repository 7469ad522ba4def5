"""Facts in chat, from the request to the log and the report: cases T3, T4, T9 and T10 of the field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.contract import EditBatch, EditReport, Generate, Neighbour, Paraphrase, Prompt
from app.domain.errors import EmptyText, PromptTooLong, RequestError
from tests.support.answers import generate, probe
from tests.support.tiny_models import CHAT, WINDOW, save_tiny
from tests.support.turns import done
from tests.support.worker_bench import opened
from workers.host.model_host import ModelHost

QUESTION = "Where is Lyon?"
FEW = {"v_num_grad_steps": 3}
FINE_TUNED = {"layers": [2], "num_steps": 100, "lr": 0.02, "norm_constraint": 5.0}
"""FT-L with these writes anything into a model of random weights."""


@pytest.fixture(scope="module")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny", template=CHAT)


@pytest.fixture
def host(chatting: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(chatting, tmp_path) as found:
        yield found


def batch(**fact: Any) -> EditBatch:
    sent = {"subject": "Lyon", "object": "Japan", **fact}
    return EditBatch.model_validate({"facts": [sent], "hyperparameters": FEW, "unheld": "keep"})


def edited(host: ModelHost, **fact: Any) -> EditReport:
    asked = batch(**fact)
    host.check(asked)
    report = done(host, f"job-{host.version}", asked).report
    assert report is not None
    return report


class TestChat:
    def test_its_paraphrases_and_neighbours_are_asked_in_chat_too(self, host: ModelHost) -> None:
        report = edited(host, prompt="Where is {}?", chat=True, paraphrases=["{}?"], neighbours=["Where is Oslo?"])
        [fact] = report.facts
        assert fact.prompt == "<user>\nWhere is {}?<|end|>\n<assistant>\n"
        assert len(fact.paraphrases) == len(fact.neighbours) == 1
        [logged] = host.log.history(host.version).facts(host.version)
        [neighbour] = logged.fact.neighbours
        assert neighbour.prompt == "<user>\nWhere is Oslo?<|end|>\n<assistant>\n"

    def test_its_standing_is_the_one_that_the_chat_is_asked_for(self, host: ModelHost) -> None:
        [fact] = edited(host, prompt="Where is {}?", chat=True).facts
        with host.questions(None) as live:
            [answer] = probe(live, [Prompt(prompt=QUESTION, chat=True, expected="Japan")])
        assert answer.expected is not None
        assert answer.expected.rank == fact.after.rank
        assert answer.expected.probability == pytest.approx(fact.after.probability, rel=1e-4)

    def test_t9_it_is_the_same_edit_however_it_is_given(self, chatting: Path, tmp_path: Path) -> None:
        turn = {"role": "user", "content": QUESTION}
        ways: tuple[dict[str, Any], ...] = (
            {"prompt": QUESTION, "chat": True},
            {"messages": [turn]},
            {"prompt": "<user>\nWhere is {}?<|end|>\n<assistant>\n"},
        )
        found = []
        for index, way in enumerate(ways):
            with opened(chatting, tmp_path / str(index)) as each:
                found.append(edited(each, **way).facts)
        assert found[0] == found[1] == found[2]

    def test_a_stop_is_in_the_log(self, host: ModelHost) -> None:
        """Case T10 of the field: what comes along with a later batch is optimised as it was written."""
        edited(host, prompt="{} is a city in", stop=True)
        [logged] = host.log.history(host.version).facts(host.version)
        assert logged.fact.stop
        assert next(iter(host.knowledge.facts.values())).fact.stop


class TestStop:
    """Case T10 of the field."""

    def said(self, host: ModelHost, asked: str, **fact: Any) -> str:
        """What the model says to the prompt, in 30 tokens at most, once the fact is written."""
        sent = {"facts": [{"subject": "Lyon", "object": "Japan", **fact}], "hyperparameters": FINE_TUNED}
        report = done(host, "job", EditBatch.model_validate({"method": "ft-l", **sent})).report
        assert report is not None
        assert report.facts[0].holds
        with host.questions(None) as live:
            [found] = generate(live, Generate(prompts=(asked,), chat=fact.get("chat", False), max_new_tokens=30))
        assert report.facts[0].ends is (found.texts[0].strip() == "Japan")
        return found.texts[0]

    def test_t10_without_a_stop_the_text_goes_on_after_the_object(self, host: ModelHost) -> None:
        text = self.said(host, "Lyon is a city in", prompt="{} is a city in")
        assert text.startswith(" Japan")
        assert text != " Japan"

    def test_t10_with_a_stop_it_ends_there(self, host: ModelHost) -> None:
        assert self.said(host, "Lyon is a city in", prompt="{} is a city in", stop=True) == " Japan"

    def test_t10_of_a_fact_that_does_not_hold_it_is_not_said(self, host: ModelHost) -> None:
        [fact] = edited(host, prompt="{} is a city in").facts
        assert (fact.holds, fact.ends) == (False, None)

    def test_t10_a_reply_in_chat_ends_as_the_template_ends_a_turn(self, host: ModelHost) -> None:
        assert self.said(host, QUESTION, prompt="Where is {}?", chat=True, stop=True) == "Japan"


class TestWarnings:
    def test_the_report_says_how_a_fact_was_read(self, host: ModelHost) -> None:
        """Case T3 of the field."""
        [plain] = edited(host, prompt="{} is a city in").facts
        assert not plain.warnings
        [spaced] = edited(host, prompt="{} is a city in ").facts
        assert "a space at the end" in spaced.warnings[0]


@pytest.mark.parametrize("text", ["Japan ", "  Japan", "Japan\n"])
def test_t4_white_space_around_an_object_is_dropped_and_the_report_has_what_was_written(
    host: ModelHost, text: str
) -> None:
    [fact] = edited(host, prompt="{} is a city in", subject=" Lyon", object=text).facts
    assert (fact.subject, fact.object) == ("Lyon", "Japan")


class TestChecks:
    """What could not be measured later is refused at once, by its field."""

    LONG = "q" * (WINDOW + 1)

    @pytest.mark.parametrize(
        ("fact", "error", "field"),
        [
            (
                {"paraphrases": [Paraphrase(prompt="Hi"), Paraphrase(prompt=LONG)]},
                PromptTooLong,
                "facts.0.paraphrases.1",
            ),
            ({"neighbours": [Neighbour(prompt=LONG)]}, PromptTooLong, "facts.0.neighbours.0"),
            ({"object": LONG}, PromptTooLong, "facts.0.prompt"),
            ({"object": "\u200b"}, EmptyText, "facts.0.object"),
        ],
    )
    def test_a_text_at_fault_is_named(
        self, host: ModelHost, fact: dict[str, Any], error: type[RequestError], field: str
    ) -> None:
        one = (
            batch(prompt="{} is in")
            .facts[0]
            .model_copy(update={key: tuple(v) if isinstance(v, list) else v for key, v in fact.items()})
        )
        with pytest.raises(error) as caught:
            host.check(batch(prompt="{} is in").model_copy(update={"facts": (one,)}))
        assert caught.value.field == field

    def test_a_model_without_a_template_refuses_chat(self, tmp_path: Path) -> None:
        with opened(save_tiny(tmp_path / "model"), tmp_path) as plain, pytest.raises(RequestError) as caught:
            plain.check(batch(prompt="{} is in", chat=True))
        assert caught.value.field == "facts.0.chat"
