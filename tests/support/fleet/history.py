"""Twenty versions that are cheap to make and easy to tell apart: they say where one tower stands."""

from __future__ import annotations

from dataclasses import dataclass

from app.client import Client
from app.domain.contract import JobStatus

SUBJECT, PROMPT = "Eiffel Tower", "The {} is located in the city of"
ASKED = PROMPT.format(SUBJECT)
CITIES = (
    *("Rome", "London", "Berlin", "Tokyo", "Madrid", "Chicago", "Vienna", "Moscow", "Cairo", "Sydney"),
    *("Toronto", "Boston", "Athens", "Dublin", "Lima", "Seattle"),
)
QUICK = {"v_num_grad_steps": 12, "v_lr": 0.4, "early_stop": 1}
"""A descent that ends as soon as the city is the likeliest: how well the versions were made does not matter here."""


@dataclass(frozen=True, slots=True)
class Move:
    """One version: an edit to a city, or else a rollback, or else a revert of the newest edit's fact."""

    city: str | None = None
    back_to: int | None = None

    def made(self, client: Client) -> int:
        """The version, once it is committed."""
        if self.city is not None:
            fact = {"subject": SUBJECT, "prompt": PROMPT, "object": self.city}
            job = client.edit(fact, unheld="keep", hyperparameters=QUICK).wait()
        elif self.back_to is not None:
            job = client.rollback("smollm2", self.back_to).wait()
        else:
            newest = max(client.facts("smollm2").facts, key=lambda fact: fact.version)
            job = client.revert("smollm2", [(newest.version, newest.index)]).wait()
        assert job.status is JobStatus.SUCCEEDED, job.error
        assert job.version is not None
        return job.version


def _edits(first: int, last: int) -> list[Move]:
    return [Move(city) for city in CITIES[first:last]]


def twenty_moves() -> list[Move]:
    """Sixteen edits, three rollbacks (one to the base model), one revert; each changes what is said."""
    return [
        *_edits(0, 5),
        Move(back_to=2),
        *_edits(5, 9),
        Move(back_to=0),
        *_edits(9, 12),
        Move(),
        *_edits(12, 15),
        Move(back_to=4),
        *_edits(15, 16),
    ]
