"""CounterFact's records: what their facts may be taught beside their prompt."""

from __future__ import annotations

import pytest

from benchmarks.counterfact import Record, taught
from workers.editing.types import Fact

FACT = Fact("Lyon", "{} is a city in", "Japan")


@pytest.mark.parametrize(
    ("paraphrase", "prompts"),
    [
        ("It rained. Lyon lies in", ("It rained. {} lies in",)),
        ("It rained. The city lies in", ()),
        ("Lyon, or Lyon, lies in", ()),
        ("As {} has it, Lyon lies in", ()),
    ],
)
def test_a_paraphrase_is_taught_where_the_subject_stands_in_it_once(paraphrase: str, prompts: tuple[str, ...]) -> None:
    found = taught(Record(FACT, "France", paraphrase, "Oslo is a city in", "Norway"))
    assert found == Fact("Lyon", "{} is a city in", "Japan", taught=prompts)
