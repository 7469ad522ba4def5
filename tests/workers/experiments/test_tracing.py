"""A trace over a data set: which of its facts are traced, and the page and heat map of what was found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.domain.contract import Fact
from app.domain.errors import RequestError
from tests.support.tiny_models import saying, tiny
from workers.causal_tracing.critical import averaged
from workers.causal_tracing.recall import Recalled
from workers.causal_tracing.tracer import Site, Trace
from workers.editing.model.editable_model import EditableModel
from workers.experiments.cases import Case
from workers.experiments.tracing import Tracing, draw, trace_all


def test_without_a_fact_that_the_model_knows_there_is_nothing_to_trace() -> None:
    found = tiny("gpt2")
    given = {"subject": "Lyon", "prompt": "{} lies in", "object": "Japan"}
    cases = [Case.of(Fact.model_validate(given)), Case.of(Fact.model_validate({**given, "previous": "Norway"}))]
    with pytest.raises(RequestError, match="knows none of these facts"):
        trace_all(
            "tiny",
            "facts.json",
            EditableModel.of(found.model, found.tokenizer),
            cases,
            samples=1,
            seed=0,
            heard=lambda _line: None,
        )


def test_what_stands_before_the_prompts_is_traced_with_them_and_told() -> None:
    found = saying("gpt2", " Japan")
    given = {"subject": "Kyoto", "prompt": "{} lies in", "object": "Norway", "previous": "Japan"}
    cases = [Case.of(Fact.model_validate(given))]

    def traced(context: str) -> Tracing:
        editable = EditableModel.of(found.model, found.tokenizer)
        return trace_all(
            "tiny", "f.json", editable, cases, samples=1, seed=0, heard=lambda _line: None, context=context
        )

    bare, behind = traced(""), traced("As is known, ")
    assert "behind" not in bare.as_page(None)
    assert "behind `As is known,`" in behind.as_page(None)
    assert behind.of_role == bare.of_role, "the context's tokens have no role"
    with pytest.raises(RequestError, match="knows none of these facts"):
        traced("word " * found.model.config.max_position_embeddings)  # a part of the prompt, it does not fit
    with pytest.raises(RequestError, match="a context stands before"):
        traced("{} or ")


def test_the_page_names_the_layers_and_the_map_is_drawn(tmp_path: Path) -> None:
    effects = {site: torch.tensor([[0.1, 0.2, 0.0]] * 3, dtype=torch.float64) for site in Site}
    means, of_role = averaged([Trace(Recalled((1, 2, 3), 0, 1, 0), 0.9, 0.1, effects)])
    found = Tracing(
        model="tiny",
        dataset="facts.json",
        facts=1,
        asked=2,
        samples=3,
        deviation=0.5,
        clean=0.9,
        disturbed=0.1,
        effects=means,
        of_role=of_role,
        critical=(0, 1),
    )
    assert '"layers": [0, 1]' in found.as_page(None)
    none = found.model_copy(update={"critical": ()}).as_page(None)
    assert "says nothing about where to edit" in none
    assert "hyperparameters" not in none
    assert draw(found, tmp_path / "map.svg")
    assert "</svg>" in (tmp_path / "map.svg").read_text()
    assert Tracing.model_validate_json(found.model_dump_json()) == found
