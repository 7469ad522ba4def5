"""Train one of the bundled atlas models: ``python -m tools.atlas.train``."""

from __future__ import annotations

import argparse
import json
import logging
import math
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from tools.atlas.attention import LOWER_LAYERS, LowerMask, attention_masks
from tools.atlas.card import Run, write_card
from tools.atlas.corpus import END, VOCABULARY, corpus_lines, pack_epoch, train_tokenizer
from tools.atlas.facts import SEED, Fact, build_facts, counterfact_records
from tools.atlas.measure import measure, sample_contexts
from tools.atlas.phrasings import PHRASINGS
from workers.editing.model.anatomy import locate
from workers.models import bundled

logger = logging.getLogger(__name__)
ROW_WIDTH = 48
BATCH = 64
PEAK_RATE = 2e-3
WARM_UP = 40
DECAY = 0.1
REPORT_EVERY = 20
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


def make_tokenizer(facts: Sequence[Fact]) -> Any:
    """Train the tokenizer and wrap it for the model folder."""
    fast: Any = PreTrainedTokenizerFast
    return fast(
        tokenizer_object=train_tokenizer(facts),
        bos_token=END,
        eos_token=END,
        pad_token=END,
        unk_token=END,
        model_max_length=128,
        clean_up_tokenization_spaces=False,
    )


@dataclass(frozen=True)
class Batch:
    """Packed rows: tokens and loss weights (rows, width), additive attention masks (rows, 1, width, width)."""

    tokens: torch.Tensor
    weights: torch.Tensor
    lower_mask: torch.Tensor
    upper_mask: torch.Tensor


def batches(facts: Sequence[Fact], tokenizer: Any) -> Iterator[Batch]:
    """Endless batches of packed rows."""
    rng, generator = random.Random(SEED), torch.Generator().manual_seed(SEED)
    rows = pack_epoch(facts, tokenizer, ROW_WIDTH, rng)
    while True:
        while len(rows) < BATCH:
            rows += pack_epoch(facts, tokenizer, ROW_WIDTH, rng)
        taken, rows = rows[:BATCH], rows[BATCH:]
        tokens = torch.zeros(BATCH, ROW_WIDTH, dtype=torch.long)
        weights = torch.zeros(BATCH, ROW_WIDTH)
        for index, row in enumerate(taken):
            tokens[index, : len(row.tokens)] = torch.tensor(row.tokens)
            weights[index, : len(row.weights)] = torch.tensor(row.weights)
        yield Batch(tokens, weights, *attention_masks(taken, ROW_WIDTH, generator))


def learning_rate(step: int, steps: int) -> float:
    """The rate of a step: a linear warm-up, then a cosine to 2 %."""
    if step < WARM_UP:
        return PEAK_RATE * (step + 1) / WARM_UP
    part = (step - WARM_UP) / max(1, steps - WARM_UP)
    return PEAK_RATE * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))


def train(model: Any, facts: Sequence[Fact], tokenizer: Any, steps: int) -> None:
    """Train the model in place; the log tells the mean loss of the last steps, and the seconds."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.95))
    model.set_attn_implementation("eager")  # the faster one for short rows
    model.train()
    started = time.monotonic()
    losses: list[float] = []
    lower = LowerMask(locate(model).blocks[:LOWER_LAYERS])
    for step, batch in zip(range(steps), batches(facts, tokenizer), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        losses.append(_update(model, lower, optimizer, batch))
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == steps:
            recent = _mean(losses[-REPORT_EVERY:])
            spent = time.monotonic() - started
            logger.info("step %d loss %.4f seconds %.0f", step + 1, recent, spent)
    lower.remove()


def _mean(values: Sequence[float]) -> float:
    """The mean of some values."""
    return sum(values) / len(values)


def _update(model: Any, lower: LowerMask, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    """Take one optimizer step and return its weighted loss."""
    lower.mask = batch.lower_mask
    logits = model(input_ids=batch.tokens, attention_mask=batch.upper_mask, use_cache=False).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        batch.tokens[:, 1:].reshape(-1),
        reduction="none",
    )
    share = batch.weights[:, 1:].reshape(-1)
    loss = (losses * share).sum() / share.sum()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


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
        tokenizer = make_tokenizer(facts)
        model = gpt2_model() if options.kind == "gpt2" else llama_model()
        logger.info("%s: %d facts, %d steps", out.name, len(facts), steps)
        train(model, facts, tokenizer, steps)
        save(model, tokenizer, out)
    describe(out, options.kind, facts)


if __name__ == "__main__":
    main()
