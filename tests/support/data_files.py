"""Small made-up data files in the forms that public ones have; and the real ones, where this machine has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_PLACES = (parent / "shared" / "data" for parent in Path(__file__).parents)
REAL = next((place for place in _PLACES if place.is_dir()), Path("shared") / "data")
"""A folder of real samples beside the checkout, or above it; tests pass without."""

COUNTERFACT: list[dict[str, Any]] = [
    {
        "case_id": 7,
        "pararel_idx": 12,
        "requested_rewrite": {
            "prompt": "The country where {} lies is",
            "relation_id": "P17",
            "target_new": {"str": "Japan", "id": "Q17"},
            "target_true": {"str": "Norway", "id": "Q20"},
            "subject": "Oslo",
        },
        "paraphrase_prompts": ["It rained. Oslo is located in the country of"],
        "neighborhood_prompts": ["The country where Bergen lies is", "The country where Molde lies is"],
        "attribute_prompts": ["The country where Kyoto lies is"],
        "generation_prompts": ["Oslo is famous for"],
    }
]

EASYEDIT: list[dict[str, Any]] = [
    {
        "case_id": 3,
        "prompt": "The country where Oslo lies is",
        "target_new": "Japan",
        "subject": "Oslo",
        "ground_truth": "Norway",
        "rephrase_prompt": "Oslo is located in the country of",
        "locality_prompt": "The country where Bergen lies is",
        "locality_ground_truth": "Norway",
    }
]

KNOWEDIT: list[dict[str, Any]] = [
    {
        "subject": "Oslo",
        "prompt": "The country where Oslo lies is",
        "target_new": "Japan",
        "ground_truth": ["Norway"],
        "portability": {
            "Subject_Aliasing": [{"prompt": "Norway's capital lies in", "ground_truth": [["Japan", "Nippon"]]}],
            "Reasoning": [{"prompt": "The currency of the country of Oslo is", "ground_truth": [["yen"]]}],
        },
        "locality": {
            "Relation_Specificity": [{"prompt": "The mayor of Oslo is", "ground_truth": [["Anne", "A. L."]]}],
            "Forgetfulness": [{"prompt": "The country where Bergen lies is", "ground_truth": "Norway"}],
        },
    },
    {"subject": "Rome", "prompt": "The country where Rome lies is", "target_new": "Peru"},
]

WIKIBIO: list[dict[str, Any]] = [
    {"concept": "Ada Lark", "text": "This is about Ada Lark.", "labels": "She was a painter.", "locality": {}}
]

ZSRE: list[dict[str, Any]] = [
    {
        "subject": "Oslo",
        "src": "In which country does Oslo lie?",
        "pred": "Sweden",
        "rephrase": "Oslo is in what country?",
        "alt": "Japan",
        "answers": ["Norway"],
        "loc": "nq question: who sang the song",
        "loc_ans": "Nobody",
        "cond": "Sweden >> Japan || In which country does Oslo lie?",
    }
]

FACTS: list[dict[str, Any]] = [
    {"subject": "Oslo", "relation": "lies in the country of", "object": "Japan", "id": "a"},
    {"subject": "Rome", "prompt": "{} lies in the country of", "object": "Peru", "stop": True},
]

TABLE = (
    "Subject,prompt,object,previous,paraphrase,neighbour,expected,id\n"
    'Oslo,"The country where ""fair"" {} lies, is",Japan,Norway,Oslo is in,The country where Bergen lies is,Norway,r1\n'
)


def as_bytes(records: list[dict[str, Any]]) -> bytes:
    return json.dumps(records, ensure_ascii=False).encode()


def as_lines(records: list[dict[str, Any]], end: str = "\n") -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + end for record in records).encode()
