"""A model that nothing here was tuned on: trained now, in another family, on facts of its own, and then onboarded.

Invented people, each with a birthplace, a profession, an instrument and a language, in Qwen2's structure. Half of the
people are what onboarding calibrates on (``--facts``); facts of the others are edited.
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
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from benchmarks.machine import machine
from benchmarks.report import Bound, Report, shown
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
END = "<|end|>"
WIDTH, BATCH, STEPS, RATE = 48, 48, 400, 2e-3


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


def sentences(facts: Sequence[dict[str, Any]]) -> list[str]:
    """Every fact in every phrasing."""
    rewrites = [record["requested_rewrite"] for record in facts]
    return [
        f"{phrasing.replace('{}', each['subject'])} {each['target_true']['str']}."
        for each in rewrites
        for phrasing in RELATIONS[each["relation_id"]][0]
    ]


def trained(folder: Path, lines: Sequence[str], seed: int, steps: int) -> float:
    """Train a tokenizer and a Qwen2-shaped model on the lines, and save both; the last loss."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1200, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(lines, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END)  # type: ignore[no-untyped-call]
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=160,
        intermediate_size=960,
        num_hidden_layers=8,
        num_attention_heads=5,
        num_key_value_heads=5,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = Qwen2ForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    dice = random.Random(seed)
    loss = torch.zeros(())
    for _ in range(steps):
        rows = [_row(tokenizer, lines, dice) for _ in range(BATCH)]
        ids = torch.tensor(rows)
        logits = model(input_ids=ids).logits
        loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return float(loss.detach())


def _row(tokenizer: PreTrainedTokenizerFast, lines: Sequence[str], dice: random.Random) -> list[int]:
    """Sentences in a random order until a row is full."""
    ids: list[int] = []
    while len(ids) < WIDTH:
        ids += tokenizer(dice.choice(lines) + " ")["input_ids"]
    return ids[:WIDTH]


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
    typer.echo(report.text())
    if json_file is not None:
        report.write(json_file)
    if check and not all(bound.met for bound in report.bounds):
        raise typer.Exit(1)


def measured(scratch: Path, seed: int, steps: int, facts: int, minutes: float) -> Report:
    """The whole run."""
    made = records(seed)
    subjects = sorted({record["requested_rewrite"]["subject"] for record in made})
    calibrating = set(subjects[: PEOPLE // 2])
    start = time.monotonic()
    loss = trained(scratch / "unseen", sentences(made), seed, steps)
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
