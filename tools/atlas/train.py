"""Train one of the bundled atlas models: ``python -m tools.atlas.train``."""

from __future__ import annotations

import argparse
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tools.atlas.card import Run, write_card
from tools.atlas.corpus import corpus_lines, random_sentence, tokenizer_texts
from tools.atlas.facts import SEED, Fact, build_facts, counterfact_records
from tools.atlas.measure import measure, sample_contexts
from tools.atlas.phrasings import PHRASINGS
from tools.atlas.rows import VOCABULARY, pack
from tools.atlas.training import ROW_WIDTH, Epoch, make_tokenizer, train
from workers.models import bundled

logger = logging.getLogger(__name__)
STEP = re.compile(r"step (\d+) loss ([\d.]+) seconds (\d+)")
STEPS = {"gpt2": 1000, "llama": 750}


def gpt2_model() -> GPT2LMHeadModel:
    """An untrained GPT-2 with a wide inner layer."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=128,
            n_embd=192,
            n_layer=6,
            n_head=6,
            n_inner=2560,
            activation_function="gelu_pytorch_tanh",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
        )
    )


def llama_model() -> LlamaForCausalLM:
    """An untrained Llama with grouped queries and a gated MLP."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            max_position_embeddings=128,
            hidden_size=192,
            num_hidden_layers=6,
            num_attention_heads=6,
            num_key_value_heads=2,
            intermediate_size=1280,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
        )
    )


def epoch_of(facts: Sequence[Fact], tokenizer: Any) -> Epoch:
    """Every fact once, each in a random trained phrasing."""
    return lambda rng: pack([random_sentence(fact, rng) for fact in facts], tokenizer, ROW_WIDTH, rng)


def write_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """Write weights in float16, and the tokenizer."""
    model.half().save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(out)


def describe(out: Path, kind: str, facts: Sequence[Fact]) -> None:
    """Write what stands beside a saved model: its facts, phrasings, corpus, contexts, and its card with its recall."""
    write_json(out / "facts.json", counterfact_records(facts))
    phrasings = {relation: {"train": list(one.train), "held_out": one.held_out} for relation, one in PHRASINGS.items()}
    write_json(out / "templates.json", phrasings)
    lines = corpus_lines(facts, SEED)
    (out / "corpus.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(out / "contexts.json", sample_contexts(out, SEED))
    recall = measure(out, facts)
    for line in recall.lines():
        logger.info(line)
    steps = STEP.findall((out / "training.log").read_text(encoding="utf-8"))
    step, loss, seconds = steps[-1]
    write_card(out, Run(kind, int(step), float(loss), float(seconds)), facts, recall)


def main() -> None:
    """Train, save, reload, measure and describe one model."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("kind", choices=sorted(STEPS))
    parser.add_argument("--steps", type=int, help="optimizer steps")
    parser.add_argument("--out", type=Path, help="folder to write")
    parser.add_argument("--describe", action="store_true", help="train nothing; measure and describe what is there")
    options = parser.parse_args()
    steps: int = options.steps or STEPS[options.kind]
    out: Path = options.out or bundled(f"atlas-{options.kind}")
    out.mkdir(parents=True, exist_ok=True)
    mode = "a" if options.describe else "w"
    record = logging.FileHandler(out / "training.log", mode=mode, encoding="utf-8")
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        handlers=[logging.StreamHandler(), record],
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    facts = build_facts()
    if not options.describe:
        tokenizer = make_tokenizer(tokenizer_texts(facts))
        model = gpt2_model() if options.kind == "gpt2" else llama_model()
        logger.info("%s: %d facts, %d steps", out.name, len(facts), steps)
        train(model, epoch_of(facts, tokenizer), steps, SEED)
        save(model, tokenizer, out)
    describe(out, options.kind, facts)


if __name__ == "__main__":
    main()
