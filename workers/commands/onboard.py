"""`palimpsest onboard`: what a model that nobody has seen needs for its edits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from app.domain.errors import RequestError
from app.domain.settings import DATA_DIR
from workers.commands.bars import Bars
from workers.commands.options import Corpus, Device, Dtype, ModelArgument, telling_errors
from workers.commands.telling_file import TellingFile

if TYPE_CHECKING:
    from workers.onboard import Onboarded

EXAMPLES = (
    "palimpsest onboard path/to/model",
    "palimpsest onboard path/to/model --minutes 10 --facts facts.json --corpus texts.txt",
    "palimpsest onboard atlas-gpt2 --anew --trace --minutes 2",
)


def onboard(
    model: ModelArgument,
    corpus: Corpus = None,
    minutes: Annotated[float, typer.Option(help="For the search, beside the statistics.", min=0.0)] = 5.0,
    facts: Annotated[
        Path | None, typer.Option(help="Your own facts to calibrate on: JSON as CounterFact or EasyEdit have it.")
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Search also for a model whose preset ships with us.")] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Try also the layers that causal tracing finds facts recalled at.")
    ] = False,
    if_needed: Annotated[
        bool, typer.Option("--if-needed", help="Do nothing for a model that has a preset already.")
    ] = False,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    data_dir: Annotated[Path, typer.Option(help="Where preset, statistics and card are kept.")] = DATA_DIR,
    told: Annotated[
        Path | None, typer.Option("--telling", hidden=True, help="File to write the progress to, as JSON.")
    ] = None,
) -> None:
    """Look at a model, take its statistics from a corpus or its own texts, and find hyperparameters that hold.

    What was found is kept by the model's fingerprint, and `palimpsest serve` finds it again. A search that was stopped
    goes on where it was.
    """
    console = Console(stderr=True)
    with telling_errors(console):
        from workers.onboard import Onboarding

        opened = Onboarding.open(model, device=device, dtype=dtype, data_dir=data_dir, corpus=corpus)
        if if_needed and opened.has_preset:
            return
        with Bars(console, minutes) as bars:
            try:
                telling = bars.telling()
                if told is not None:
                    telling = TellingFile(told, minutes).telling(telling)
                made = opened.run(minutes=minutes, facts=facts, anew=anew, trace=trace, telling=telling)
            except RequestError as error:
                if not if_needed:
                    raise
                console.print(f"{error.detail}: it is served with the generic preset", markup=False, soft_wrap=True)
                return
        _tell(made, console)


def _tell(made: Onboarded, console: Console) -> None:
    """What came of it, in a line."""
    layers = _listed(made.preset.layers)
    if made.promise is None:
        console.print(f"Its preset ships with us: {made.preset.method}, layers {layers}.")
        return
    promise = made.promise
    console.print(
        f"{promise.hold:.0%} of facts not seen by the search hold, {promise.paraphrases:.0%} of their paraphrases "
        f"follow, {promise.neighbours:.0%} of known neighbours stay; {promise.seconds:.1f} s a fact. "
        f"Layers {layers}. Card: {made.card} ({made.seconds:.0f} s in all)",
        highlight=False,
        soft_wrap=True,
    )


def _listed(layers: tuple[int, ...]) -> str:
    return ", ".join(map(str, layers))
