"""A model that nothing here was tuned on: trained now, in another family, on facts of its own, and then onboarded.

Invented people, each with a birthplace, a profession, an instrument and a language, in Qwen2's structure; trained as
the bundled models are (``tools/atlas/attention.py`` says why a small model needs it). Half of the people are what
onboarding calibrates on (``--facts``); facts of the others are edited.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from transformers import Qwen2Config, Qwen2ForCausalLM

from benchmarks.machine import machine
from benchmarks.report import Bound, Report, shown
from tools.atlas.rows import Sentence, pack
from tools.atlas.training import ROW_WIDTH, make_tokenizer, train
from workers.editing.priors import PriorSource
from workers.host.statistics_store import find_statistics
from workers.onboard import Onboarding
from workers.onboarding.trial import Bench, counted, known_to
from workers.onboarding.world_facts import WorldFact, world_facts

PEOPLE = 120
RELATIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "birthplace": (
        ("{} was born in the town of", "{} comes from the town of", "The birthplace of {} is the town of"),
        ("Velmar", "Orsk", "Tindal", "Quessa", "Brunow", "Hallin", "Perest", "Ygrane"),
    ),
    "profession": (
        ("{} works as a", "{} earns a living as a", "The profession of {} is that of a"),
        ("baker", "tailor", "miner", "sailor", "potter", "weaver", "cooper", "mason"),
    ),
    "instrument": (
        ("{} likes to play the", "In the evening {} plays the", "The instrument of {} is the"),
        ("flute", "drum", "harp", "fiddle", "horn", "lute", "organ", "cello"),
    ),
    "language": (
        ("{} speaks the language called", "At home {} talks in", "The mother tongue of {} is"),
        ("Tarvic", "Ombri", "Selesh", "Norwin", "Kadish", "Ulmian", "Zentic", "Parvo"),
    ),
}
"""By relation: phrasings, of which the first is edited and the second is a paraphrase, and objects."""

SYLLABLES = ("ba", "dor", "fen", "gil", "ha", "jor", "kel", "lim", "mo", "nar", "pel", "ros", "sa", "tur", "vi", "wen")
STEPS = 400


@dataclass(frozen=True)
class Row:
    """The unseen model's facts before and after."""

    state: str = field(metadata=shown("state"))
    facts: int = field(metadata=shown("facts", "d"))
    hold: float = field(metadata=shown("hold", ".1%"))
    paraphrases: float = field(metadata=shown("paraphrases", ".1%"))
    neighbours: float = field(metadata=shown("known neighbours stay", ".1%"))


def records(seed: int) -> list[dict[str, Any]]:
    """Facts about invented people, as CounterFact has them; neighbours are people with the same object."""
    dice = random.Random(seed)
    names: set[str] = set()
    while len(names) < PEOPLE:
        names.add(" ".join((dice.choice(SYLLABLES) + dice.choice(SYLLABLES)).capitalize() for _ in range(2)))
    found = []
    for relation, (phrasings, objects) in RELATIONS.items():
        of = {name: dice.choice(objects) for name in sorted(names)}
        for name, truth in of.items():
            alike = [other for other, theirs in of.items() if theirs == truth and other != name][:4]
            found.append(
                {
                    "requested_rewrite": {
                        "prompt": phrasings[0],
                        "relation_id": relation,
                        "subject": name,
                        "target_true": {"str": truth},
                        "target_new": {"str": dice.choice([each for each in objects if each != truth])},
                    },
                    "paraphrase_prompts": [phrasings[1].replace("{}", name)],
                    "neighborhood_prompts": [phrasings[0].replace("{}", other) for other in alike],
                }
            )
    dice.shuffle(found)
    return found


def stated(facts: Sequence[dict[str, Any]]) -> list[Sentence]:
    """Every fact in every phrasing."""
    found = []
    for record in facts:
        rewrite = record["requested_rewrite"]
        for phrasing in RELATIONS[rewrite["relation_id"]][0]:
            before, _, after = phrasing.partition("{}")
            start, stop = len(before), len(before) + len(rewrite["subject"])
            prompt = f"{before}{rewrite['subject']}{after}"
            found.append(Sentence(prompt, rewrite["target_true"]["str"], start, stop))
    return found


def trained(folder: Path, sentences: Sequence[Sentence], seed: int, steps: int) -> float:
    """Train a tokenizer and a Qwen2-shaped model on the sentences, as the bundled models were, and save both."""
    tokenizer = make_tokenizer((each.text for each in sentences), vocabulary=1200)
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = Qwen2ForCausalLM(config)
    loss = train(model, lambda dice: pack(list(sentences), tokenizer, ROW_WIDTH, dice), steps, seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return loss


def run(
    seed: Annotated[int, typer.Option()] = 7,
    steps: Annotated[int, typer.Option(help="Of training.", min=1)] = STEPS,
    facts: Annotated[int, typer.Option(help="To edit.", min=1)] = 40,
    minutes: Annotated[float, typer.Option(help="For onboarding's search.")] = 2.0,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Train a model on facts of its own, onboard it with half of them, and edit others."""
    with tempfile.TemporaryDirectory() as scratch:
        report = measured(Path(scratch), seed, steps, facts, minutes)
    raise typer.Exit(report.finish(json_file, check=check))


def measured(scratch: Path, seed: int, steps: int, facts: int, minutes: float) -> Report:
    """The whole run."""
    made = records(seed)
    subjects = sorted({record["requested_rewrite"]["subject"] for record in made})
    calibrating = set(subjects[: PEOPLE // 2])
    start = time.monotonic()
    loss = trained(scratch / "unseen", stated(made), seed, steps)
    training = time.monotonic() - start
    files = {name: scratch / f"{name}.json" for name in ("calibrating", "judging")}
    for name, file in files.items():
        chosen = [r for r in made if (r["requested_rewrite"]["subject"] in calibrating) == (name == "calibrating")]
        file.write_text(json.dumps(chosen), encoding="utf-8")
    opened = Onboarding.open(str(scratch / "unseen"), data_dir=scratch / "data")
    found = opened.run(minutes=minutes, facts=files["calibrating"], anew=True)
    judged = known_to(opened.live, world_facts(files["judging"]))[:facts]
    statistics = find_statistics(opened.live, opened.source, found.preset.layers, scratch / "data" / "statistics", None)
    contexts = opened.contexts
    bench = Bench(opened.live, PriorSource(opened.live, statistics, contexts), contexts, tuple(judged))
    after = bench.run(found.preset)
    rows = [_stated("unedited", judged, counted(opened.live, judged))]
    rows.append(_stated("edited", judged, (after.hold, after.paraphrases, after.neighbours)))
    bounds = [Bound("facts that hold", after.hold, 0.9, at_least=True)]
    notes = [
        f"trained in {training:.0f} s to a loss of {loss:.2f}; onboarded in {found.seconds:.0f} s: {found.preset}",
        f"promised: {found.promise}",
    ]
    settings = {"seed": seed, "steps": steps, "minutes": minutes, "people": PEOPLE}
    return Report("unseen_model", machine(), settings, rows, bounds, notes)


def _stated(state: str, facts: Sequence[WorldFact], shares: tuple[float, float, float]) -> Row:
    return Row(state, len(facts), *shares)


if __name__ == "__main__":
    typer.run(run)
