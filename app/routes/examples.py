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
    one_that_waits_for_approval={
        "facts": [{"subject": "Berlin", "relation": "is located in the country of", "object": "Egypt"}],
        "propose": True,
    },
)

_COUNTERFACT = {
    "case_id": 1,
    "requested_rewrite": {
        "prompt": "The country where {} lies is",
        "subject": "Madrid",
        "target_new": {"str": "Japan"},
        "target_true": {"str": "Spain"},
    },
    "paraphrase_prompts": ["If you live in Madrid, you live in the country of"],
    "neighborhood_prompts": ["The country where Barcelona lies is"],
}
_LINE = '{"subject": "Vienna", "prompt": "The country where {} lies is", "object": "Kenya"}\n'

FILES = {
    "application/json": _examples(
        facts_as_edits_have_them=[{"subject": "Rome", "prompt": "The country where {} lies is", "object": "Peru"}],
        counterfact=[_COUNTERFACT],
    ),
    "application/x-ndjson": _examples(a_fact_a_line=_LINE),
    "application/jsonl": _examples(lines_by_their_other_name=_LINE.replace("Vienna", "Lisbon")),
    "text/csv": _examples(a_table="subject,prompt,object\nCairo,The country where {} lies is,Japan\n"),
    "text/tab-separated-values": _examples(
        a_table_of_a_spreadsheet="subject\tprompt\tobject\nLima\tThe country where {} lies is\tJapan\n"
    ),
    "application/octet-stream": _examples(
        a_file_whose_form_is_found_out="subject,prompt,object\nAthens,The country where {} lies is,Chad\n"
    ),
}
"""By what they come as."""

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

COMPLETIONS = _examples(
    one_prompt={
        "model": "atlas-gpt2",
        "prompt": "Lyon is located in the country of",
        "max_tokens": 8,
        "temperature": 0,
    },
    an_earlier_version_with_its_likeliest_tokens={
        "model": "atlas-gpt2@0",
        "prompt": ["Lyon is located in the country of", "The capital of Chad is"],
        "max_tokens": 4,
        "logprobs": 3,
        "seed": 7,
    },
    a_stream={
        "model": "atlas-gpt2",
        "prompt": "The capital of Chad is",
        "max_tokens": 8,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
)

CHATS = _examples(
    a_question={
        "model": "smollm2",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_completion_tokens": 12,
        "temperature": 0,
    },
    a_stream={
        "model": "smollm2",
        "messages": [
            {"role": "system", "content": "You answer in one word."},
            {"role": "user", "content": "What is the capital of Italy?"},
        ],
        "max_completion_tokens": 12,
        "stream": True,
    },
)

ADDITIONS = _examples(
    one_that_comes_along={"model": "smollm2"},
    under_another_name={"model": "atlas-llama", "name": "second"},
)

ROLLBACKS = _examples(to_the_model_as_it_was_loaded={"to": 0})

ALIASES = _examples(to_the_first_version={"version": 1})

REVERTS = _examples(the_first_fact_of_version_1={"facts": [{"version": 1, "index": 0}]})

EXPORTS = _examples(
    the_version_in_service_as_an_adapter={"format": "peft"},
    an_earlier_version_as_bare_updates={"format": "updates", "version": 1},
    an_adapter_for_llama_cpp={"format": "gguf-lora"},
)

_SERVER = {
    "url": "http://10.0.0.7:8000",
    "state": "serving",
    "versions": [0, 7, 8],
    "base_name": "smollm2",
    "largest_error": 0.004,
    "problem": None,
    "checked": "2026-01-02T03:04:05Z",
}

SERVING = _examples(
    one_server_that_has_proven_the_newest_version_and_one_that_is_behind={
        "model": "smollm2",
        "version": 8,
        "followers": [
            {
                "follower": "follower-1",
                "model": "smollm2",
                "engine": "vllm",
                "version": 8,
                "tolerance": 0.05,
                "servers": [
                    _SERVER,
                    {
                        **_SERVER,
                        "url": "http://10.0.0.8:8000",
                        "state": "behind",
                        "versions": [0, 7],
                        "problem": "The server refused version 8: no slot for another adapter.",
                    },
                ],
                "started": "2026-01-02T03:00:00Z",
            }
        ],
    },
)
"""An answer."""
