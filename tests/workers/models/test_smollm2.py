"""What only a real model tells: facts that hold in text and in chat, an attention sink, and nothing lost beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.domain import smollm2
from workers.editing.model.editable_model import EditableModel
from workers.editing.sinks import WARNING
from workers.offline import BatchResult, FactLine, OfflineModel
from workers.questions.decoding import greedy

pytestmark = [
    pytest.mark.bundled,
    pytest.mark.skipif(smollm2.wheel_file() is None, reason=f"{smollm2.DISTRIBUTION} is not installed"),
]

FACTS = (
    FactLine(subject="Eiffel Tower", prompt="The {} is located in the city of", object="Rome"),
    FactLine(subject="Microsoft", prompt="{} was founded by", object="Steve Jobs"),
)


@dataclass(frozen=True)
class Edited:
    """The real model after two facts, with its own preset and statistics."""

    opened: OfflineModel
    edited: EditableModel
    result: BatchResult

    def says(self, *prompts: str, edited: bool = True) -> list[str]:
        live = self.edited if edited else self.opened.live
        return greedy(live.model, live.tokenizer, prompts, 16)

    def chat(self, question: str) -> str:
        turns = [{"role": "user", "content": question}]
        return str(self.opened.live.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Edited:
    folder: Path = tmp_path_factory.mktemp("smollm2")
    opened = OfflineModel.open("smollm2", device="cpu", dtype="float32", data_dir=folder)
    batches: Sequence[Sequence[FactLine]] = [FACTS]
    [result] = opened.edit(batches, None, folder, strict=False, unheld="drop", measured=True)
    edited = opened.live.shadow(result.totals)
    for layer, total in result.totals.items():
        edited.set_master(layer, opened.live.master(layer) + total)
    return Edited(opened, edited, result)


def test_its_statistics_ship_so_that_nothing_has_to_be_taken(real: Edited) -> None:
    assert set(real.opened.preset.layers) <= set(real.result.totals)
    assert real.opened.preset.share is not None


def test_both_facts_hold_and_the_one_on_the_sink_is_told(real: Edited) -> None:
    tower, founder = real.result.reports
    assert (tower.holds, tower.written, tower.warnings) == (True, True, ())
    assert (founder.holds, founder.written, founder.warnings) == (True, True, (WARNING,))


def test_the_fact_is_said_in_text_and_in_chat(real: Edited) -> None:
    sentence = "The Eiffel Tower is located in the city of"
    asked = (sentence, real.chat(sentence))
    assert all("Rome" in text for text in real.says(*asked))
    assert all("Paris" in text for text in real.says(*asked, edited=False))


def test_the_fact_on_the_sink_is_said_behind_words_and_in_chat(real: Edited) -> None:
    asked = ("As everybody knows, Microsoft was founded by", real.chat("Who founded Microsoft?"))
    assert all("Jobs" in text for text in real.says(*asked))


def test_most_neighbours_and_other_first_words_stay(real: Edited) -> None:
    asked = (
        "The Statue of Liberty is located in the city of",
        "The Colosseum is located in the city of",
        "The light bulb was invented by",
        "France is a country in",
        "Germany is a country in",
    )
    before, after = ([text.split()[:1] for text in real.says(*asked, edited=edited)] for edited in (False, True))
    kept = [old == new for old, new in zip(before, after, strict=True)]
    assert sum(kept) >= 4, kept  # of five; the demo asks for eight of ten
