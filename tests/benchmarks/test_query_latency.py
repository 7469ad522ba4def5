"""How the benchmark of questions sums up what was measured."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from benchmarks.query_latency import BLOCK, MANY, Row, blocked_ms, bounds, cases
from benchmarks.question_load import Asked, Latencies


class TestLatencies:
    def test_only_what_was_asked_and_answered_within_counts(self) -> None:
        asked = [Asked(9.9, 0.2), Asked(10.0, 0.1), Asked(10.5, 0.3), Asked(11.9, 0.2)]
        found = Latencies.between(10.0, 12.0, asked)
        assert (found.questions, found.rate) == (2, 1.0)
        assert found.longest == pytest.approx(300)

    def test_p99_is_that_of_the_slowest_hundredth(self) -> None:
        asked = [Asked(0.0, 0.010)] * 980 + [Asked(0.0, 0.500)] * 20
        found = Latencies.between(0.0, 1.0, asked)
        assert found.p50 == pytest.approx(10)
        assert found.p99 == pytest.approx(500)

    def test_too_few_are_not_measured(self) -> None:
        with pytest.raises(ValueError, match="too few"):
            Latencies.between(0.0, 1.0, [Asked(0.1, 0.1)])


class TestBlocked:
    def exposition(self, *seconds: float) -> str:
        registry = CollectorRegistry()
        histogram = Histogram(BLOCK, "Blocked.", registry=registry, buckets=(0.001, 0.01, 0.1))
        for each in seconds:
            histogram.observe(each)
        return generate_latest(registry).decode()

    def test_the_worst_publish_counts_by_its_buckets_bound(self) -> None:
        assert blocked_ms(self.exposition(0.0002, 0.0005)) == 1.0
        assert blocked_ms(self.exposition(0.0002, 0.004)) == 10.0
        assert blocked_ms(self.exposition(0.0002, 0.4)) == float("inf")

    def test_without_a_publish_there_is_no_figure(self) -> None:
        with pytest.raises(ValueError, match="nothing"):
            blocked_ms(self.exposition())


def row(phase: str, clients: int, p99: float, rate: float) -> Row:
    return Row(phase, clients, 1000, p99 / 2, p99, p99 * 2, rate)


def test_bounds_hold_one_client_editing_and_many_idle_against_one_idle() -> None:
    rows = [row("idle", 1, 50, 25), row("idle", MANY, 900, 100), row("editing", 1, 160, 9), row("editing", MANY, 1, 1)]
    found = bounds(rows, 3.0)
    assert [bound.value for bound in found] == [pytest.approx(3.2), 4.0, 3.0]
    assert [bound.met for bound in found] == [False, True, True]


def test_questions_ask_what_the_model_knows_and_facts_say_otherwise() -> None:
    questions, facts = cases("atlas-gpt2", seed=1)
    assert len(questions) == len(facts) > 1000
    for question, fact in zip(questions[:100], facts, strict=False):
        [asked] = question["prompts"]
        assert asked["prompt"] == fact["prompt"].replace("{}", fact["subject"])
        assert asked["expected"] != fact["object"]
