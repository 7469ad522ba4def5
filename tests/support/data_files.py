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

MQUAKE: list[dict[str, Any]] = [
    {
        "case_id": 5,
        "requested_rewrite": [
            {
                "prompt": "The country where {} lies is",
                "relation_id": "P17",
                "target_new": {"str": "Japan", "id": "Q17"},
                "target_true": {"str": "Norway", "id": "Q20"},
                "subject": "Oslo",
                "question": "In which country does Oslo lie?",
            },
            {
                "prompt": "The currency of {} is the",
                "relation_id": "P38",
                "target_new": {"str": "peso", "id": "Q4730"},
                "target_true": {"str": "yen", "id": "Q8146"},
                "subject": "Japan",
                "question": "How does one pay in Japan?",
            },
        ],
        "questions": ["How does one pay in Oslo?", "What is Oslo's money called?", "Which currency has Oslo?"],
        "answer": "Norwegian krone",
        "answer_alias": ["krone"],
        "new_answer": "peso",
        "new_answer_alias": ["Mexican peso", "MXN"],
        "single_hops": [],
        "new_single_hops": [
            {"question": "Where is Oslo?", "cloze": "Oslo lies in", "answer": "Japan", "answer_alias": ["Nippon"]},
            {"question": "What does Japan pay with?", "cloze": "In Japan one pays in", "answer": "peso"},
        ],
        "orig": {"triples": [], "edit_triples": []},
    }
]


def _query(prompt: str, *answers: str, **others: Any) -> dict[str, Any]:
    """A question as RippleEdits has it: each answer with its aliases, after ``|``."""
    split = [answer.split("|") for answer in answers]
    given = [{"value": value, "aliases": aliases} for value, *aliases in split]
    usual = {"query_type": "regular", "subject_id": "Q585", "relation": "MAYOR", "target_ids": ["Q0"], "phrase": None}
    return {"prompt": prompt, "answers": given, **usual, **others}


MAYOR = _query("The name of the mayor of Oslo is", "Anne|A. L.")
ALIAS = _query(
    "The name of the country which Christiania is associated with is", "Japan|Nippon", phrase="x", target_ids=["Q17"]
)
PAID = _query("The name of the currency in the country of Oslo is", "yen", query_type="two_hop", phrase="y")
YEN = _query("The name of the currency in Japan is", "yen", subject_id="Q17")

RIPPLEEDITS: list[dict[str, Any]] = [
    {
        "example_type": "popular",
        "edit": {
            "prompt": "The name of the country which Oslo is associated with is Japan.",
            "subject_id": "Q585",
            "relation": "COUNTRY",
            "target_id": "Q17",
            "original_fact": {
                "prompt": "The name of the country which Oslo is associated with is Norway.",
                "subject_id": "Q585",
                "relation": "COUNTRY",
                "target_id": "Q20",
            },
        },
        "Relation_Specificity": [{"test_queries": [MAYOR], "test_condition": "OR", "condition_queries": [MAYOR]}],
        "Logical_Generalization": [{"test_queries": [YEN, PAID], "test_condition": "AND", "condition_queries": []}],
        "Subject_Aliasing": [{"test_queries": [ALIAS], "test_condition": "OR", "condition_queries": [ALIAS]}],
        "Compositionality_I": [{"test_queries": [PAID], "test_condition": "OR", "condition_queries": [YEN]}],
        "Compositionality_II": [],
        "Forgetfulness": [],
    }
]

WIKIBIGEDIT: list[dict[str, Any]] = [
    {
        "tag": "new",
        "subject": "Oslo",
        "update": "In which country does Oslo lie?",
        "ans": "Japan",
        "rephrase": "Which country is Oslo in?",
        "personas": "Ahoy, in what land lies Oslo?",
        "loc": "Who is the mayor of Bergen?",
        "loc_ans": "Anne",
        "mhop": "How does one pay in Oslo?",
        "mhop_ans": "yen",
    },
    {
        "tag": "new",
        "subject": "Rome",
        "update": "In which country does Rome lie?",
        "ans": "Peru",
        "rephrase": None,
        "personas": None,
        "loc": None,
        "loc_ans": None,
        "mhop": None,
        "mhop_ans": None,
    },
]

UNKE: list[dict[str, Any]] = [
    {
        "id": 4,
        "question": "What is Ada Lark known for?",
        "para_question": "For what do people know Ada Lark?",
        "answer": "Ada Lark was a painter of ships. She was born in Oslo in 1901 and lived in Rome.",
        "sub_question": ["What did Ada Lark paint?", "Where was Ada Lark born?"],
        "sub_answer": ["ships", "Oslo"],
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
