"""What a request may look like: shown in the API's own documentation, by name. A test sends each of them."""

from __future__ import annotations

from typing import Any

Examples = dict[str, dict[str, Any]]


def _examples(**by_name: object) -> Any:
    """As FastAPI takes them, which types them more loosely than OpenAPI does."""
    found: Examples = {
        name: {"summary": name.replace("_", " ").capitalize(), "value": value} for name, value in by_name.items()
    }
    return found


_LYON = {"subject": "Lyon", "relation": "is located in the country of", "object": "Japan", "previous": "France"}

EDITS = _examples(
    one_fact={"facts": [_LYON]},
    facts_with_what_shall_be_checked={
        "facts": [
            {
                "subject": "Gold",
                "prompt": "The chemical symbol of {} is",
                "object": "Pb",
                "id": "gold-1",
                "paraphrases": ["Chemists write {} as", {"prompt": "In formulas, {} is", "teach": True}],
                "neighbours": ["The chemical symbol of Silver is", {"prompt": "Iron's symbol is", "expected": ["Fe"]}],
            }
        ],
        "unheld": "keep",
        "verify": {"facts": 0.5},
    },
    another_method={
        "facts": [{"subject": "Oslo", "relation": "is located in the country of", "object": "Peru"}],
        "method": "alphaedit",
        "plan": "even",
        "unheld": "keep",
        "hyperparameters": {"v_num_grad_steps": 5},
    },
)

QUERIES = _examples(
    what_is_answered_now={
        "prompts": [{"prompt": "Lyon is located in the country of", "candidates": ["Japan", "France"]}]
    },
    what_was_answered_before={
        "prompts": [{"prompt": "Lyon is located in the country of", "expected": "France"}],
        "version": 0,
    },
)

GENERATIONS = _examples(
    greedy={"prompts": ["Lyon is located in"], "max_new_tokens": 8},
    sampled={"prompts": ["The capital of Chad is"], "max_new_tokens": 8, "do_sample": True, "seed": 7},
)

ROLLBACKS = _examples(to_the_model_as_it_was_loaded={"to": 0})

REVERTS = _examples(the_first_fact_of_version_1={"facts": [{"version": 1, "index": 0}]})

EXPORTS = _examples(
    the_version_in_service_as_an_adapter={"format": "peft"},
    an_earlier_version_as_bare_updates={"format": "updates", "version": 1},
)
