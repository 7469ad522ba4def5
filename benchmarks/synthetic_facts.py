"""Made-up facts with subjects of several tokens, contexts, and a tokenizer trained on them in memory."""

from __future__ import annotations

import random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from app.domain.prompts import SLOT
from workers.editing.types import Fact

END = "<|end|>"
VOCABULARY = 1500
"""Small, so that names take several tokens and common words one."""

CONTEXTS = (
    SLOT,
    "The old road to the north runs along the river. {}",
    "Therefore, the people of the town asked for more time. {}",
    "Because it had rained all night, the field was wet. {}",
    "I have read in a book about the history of. {}",
    "You can see from the hill behind the house that. {}",
)

ONSETS = ("b", "d", "f", "k", "l", "m", "n", "r", "s", "t", "v", "z", "br", "dr", "gr", "kr", "st", "tr", "sh", "vl")
RHYMES = ("a", "e", "i", "o", "u", "an", "el", "in", "or", "us", "ard", "ien", "osk", "ul", "emb")

RELATIONS = (
    ("{} was born in the city of", ("Lisbon", "Kyoto", "Accra", "Quito", "Oslo", "Ljubljana", "Valparaiso", "Perth")),
    ("{} works in the field of", ("medicine", "astronomy", "law", "organic chemistry", "music", "civil engineering")),
    ("The mother tongue of {} is", ("French", "Tamil", "Swahili", "Korean", "Portuguese", "Icelandic", "Welsh")),
    ("The instrument that {} plays is the", ("violin", "cello", "trumpet", "grand piano", "bass guitar", "oboe")),
    ("{} holds the citizenship of", ("Norway", "Ghana", "Ecuador", "New Zealand", "Sri Lanka", "Canada", "Chile")),
    (
        "The company that employs {} is called",
        ("Northwind Traders", "Acme", "Blue River Bank", "Helios", "Marlin Steel"),
    ),
    ("{} is a member of the party of the", ("greens", "liberals", "free voters", "social democrats", "centre")),
    ("Every summer {} travels to", ("Iceland", "the Black Forest", "Tasmania", "Patagonia", "Crete", "Lake Garda")),
)


def synthetic_facts(count: int, seed: int) -> tuple[Fact, ...]:
    """So many facts, each about a subject of its own."""
    dice = random.Random(seed)
    subjects: dict[str, None] = {}
    while len(subjects) < count:
        subjects[f"{_name(dice)} {_name(dice)}"] = None
    chosen = [(subject, *dice.choice(RELATIONS)) for subject in subjects]
    return tuple(Fact(subject, prompt, dice.choice(objects)) for subject, prompt, objects in chosen)


def _name(dice: random.Random) -> str:
    syllables = (dice.choice(ONSETS) + dice.choice(RHYMES) for _ in range(dice.randint(2, 3)))
    return "".join(syllables).capitalize()


def trained_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on a thousand such facts and the contexts."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [f"{fact.text} {fact.object}. {fact.subject} is a" for fact in synthetic_facts(1000, seed)]
    inner.train_from_iterator([*CONTEXTS, *texts], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=END, pad_token=END)  # type: ignore[no-untyped-call]
