"""The commands of `palimpsest` that need torch: apply, export and statistics. They join it as entry points.

torch takes seconds to import, so everything that needs it is imported where a command runs, not when help is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.domain.contract import ExportFormat
from app.domain.errors import PalimpsestError, RequestError
from app.domain.settings import DATA_DIR, SharedSettings

if TYPE_CHECKING:
    from workers.offline import BatchResult
    from workers.onboard import Telling
    from workers.onboarding.inspection import Finding
    from workers.onboarding.search import Tried

DEFAULT_SAMPLES = 10_000

UNHELD = 3
"""Exit status of `palimpsest apply` where a fact does not hold."""


class Policy(StrEnum):
    """``contract.Unheld`` as an option."""

    DROP = "drop"
    KEEP = "keep"
    REJECT = "reject"


ModelArgument = Annotated[
    str, typer.Argument(help="Folder, hub id, GGUF file, or the name of a model that comes along.")
]
Corpus = Annotated[
    str | None,
    typer.Option(help="A text file, one text a line, or a data set as NAME[:SUBSET]; else the model writes texts."),
]
Device = Annotated[str, typer.Option(help="As torch names it.")]
Dtype = Annotated[str, typer.Option(help="float64, float32, bfloat16 or float16.")]


@contextmanager
def _telling_errors(console: Console) -> Iterator[None]:
    """Show a PalimpsestError as one line, and exit with status 1."""
    try:
        yield
    except PalimpsestError as error:
        where = f" ({error.field}: {error.value!r})" if error.field else ""
        console.print(f"{error.code}: {error.detail}{where}", style="red", markup=False)
        raise typer.Exit(1) from None


def apply(
    model: ModelArgument,
    facts: Annotated[
        Path,
        typer.Option(
            help='JSON: {"batches": [[{"subject", "prompt", "object"}, ...], ...]}; for the report also "paraphrases" '
            'and "neighbours", as in a request.'
        ),
    ],
    out: Annotated[Path, typer.Option(help="Safetensors: batch{b}.layer{l}.update, total against the base.")],
    preset: Annotated[Path | None, typer.Option(help="Hyperparameter file, published or ours.")] = None,
    statistics: Annotated[Path | None, typer.Option(help="Safetensors with layer.{i} (d_in, d_in).")] = None,
    contexts: Annotated[Path | None, typer.Option(help="JSON list of templates, the bare {} first.")] = None,
    method: Annotated[str | None, typer.Option(help="Instead of the preset's.")] = None,
    plan: Annotated[str | None, typer.Option(help="Instead of the preset's.")] = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    strict: Annotated[bool, typer.Option("--strict", help="Exactly the published behaviour.")] = False,
    unheld: Annotated[
        Policy,
        typer.Option(help="Facts that do not hold after several tries: leave them out, keep them, or the batch."),
    ] = Policy.DROP,
    report: Annotated[Path | None, typer.Option(help="Write a JSON report of every batch and fact here.")] = None,
    data_dir: Annotated[
        Path, typer.Option(help="Where statistics made on the way, and converted GGUF files, are kept.")
    ] = DATA_DIR,
) -> None:
    """Edit a model from a file of facts, without a service, and write the updates.

    Exit status 3 where a fact does not hold; under --strict only if a report is asked for, since nothing is looked at
    otherwise.
    """
    console = Console(stderr=True)
    with _telling_errors(console):
        from safetensors.torch import save_file

        from workers.offline import FactsFile, OfflineModel

        opened = OfflineModel.open(
            model,
            device=device,
            dtype=dtype,
            preset=preset,
            contexts=contexts,
            method=method,
            plan=plan,
            data_dir=data_dir,
        )
        batches = FactsFile.model_validate_json(facts.read_text(encoding="utf-8")).batches
        tensors, rows, missing = {}, [], 0
        measured = report is not None or not strict
        for result in opened.edit(batches, statistics, data_dir, strict=strict, unheld=unheld.value, measured=measured):
            tensors.update({f"batch{result.number}.layer{layer}.update": t for layer, t in result.totals.items()})
            rows.append(result.as_row())
            missing += result.unheld
            console.print(f"batch {result.number}: {result.facts} facts in {result.seconds} s{_told(result)}")
        out.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, out)
        if report is not None:
            head = {"model": model, "strict": strict, "dtype": dtype, "preset": opened.preset.as_dict()}
            head["unheld"] = "keep" if strict else unheld.value
            text = json.dumps({**head, "contexts": opened.contexts, "batches": rows}, indent=2)
            report.write_text(text + "\n", encoding="utf-8")
    if missing:
        raise typer.Exit(UNHELD)


def _told(result: BatchResult) -> str:
    """What is to be said of facts that do not hold, by their index: no text of theirs."""
    if result.rejected is not None:
        return f"; rejected: {result.rejected}"
    named = [f"{report.index} ({report.why})" for report in result.reports if not report.holds]
    return f"; not held: {'; '.join(named)}" if named else ""


def export(
    model: Annotated[str, typer.Argument(help="The model whose log it is.")],
    out: Annotated[Path, typer.Option(help="The folder to make; it may be there if it is empty.")],
    export_format: Annotated[
        ExportFormat, typer.Option("--format", help="A whole model, a LoRA adapter, or bare factors.")
    ],
    version: Annotated[int | None, typer.Option(help="Instead of the newest.", min=0)] = None,
    log: Annotated[str | None, typer.Option("--log", help="Directory of the logs, or a URL that fsspec knows.")] = None,
    source: Annotated[str | None, typer.Option(help="Where the base model is, if not where the log says.")] = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
) -> None:
    """Write a version of a model down for others to load, from its log: a running worker is not disturbed.

    What was written is loaded again and compared with the version before the folder gets its name.
    """
    console = Console(stderr=True)
    with _telling_errors(console):
        from workers.exports.from_log import LoggedModel

        opened = LoggedModel.open(log or _log_root(), model, source, _data_dir(), device=device, dtype=dtype)
        made = opened.export(export_format, version, out)
        rank = "" if made.rank is None else f", rank {made.rank}, relative error {made.error:.2g}"
        lora = "" if made.max_lora_rank is None else f" (vLLM: --max-lora-rank {made.max_lora_rank})"
        bound = "the rank was cut" if made.tolerance is None else f"{made.tolerance:.2g} allowed"
        console.print(
            f"version {made.version} of {model} as {made.format}: {out}, {made.bytes:,} bytes{rank}{lora}; "
            f"loaded back, its logits differ by {made.max_logit_difference:.2g} at most ({bound})",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def statistics(
    model: ModelArgument,
    corpus: Corpus = None,
    out: Annotated[Path, typer.Option(help="Safetensors with layer.{i} (d_in, d_in).")] = Path(
        "statistics.safetensors"
    ),
    samples: Annotated[int, typer.Option(help="At most so many texts of the corpus.", min=1)] = DEFAULT_SAMPLES,
    max_tokens: Annotated[int | None, typer.Option(help="Stop after so many tokens.", min=1)] = None,
    layers: Annotated[str | None, typer.Option(help="Like 4,5,6; the preset's if left out.")] = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    max_batch_tokens: Annotated[int, typer.Option(help="Tokens in memory at once.", min=1)] = 4096,
) -> None:
    """Take the second moment of a model's keys in bounded memory: over a text, or over its own texts until settled."""
    console = Console(stderr=True)
    with _telling_errors(console):
        from workers.editing.statistics import save_statistics
        from workers.statistics_run import StatisticsRun

        run = StatisticsRun.open(model, _layers(layers), device=device, dtype=dtype, data_dir=_data_dir())
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("tokens", total=max_tokens)

            def progress(tokens: int) -> None:
                bar.advance(task, tokens)

            if corpus is None:
                found, kept = run.take_own(max_tokens=max_tokens, max_batch_tokens=max_batch_tokens, progress=progress)
                kept.save_beside(out)
            else:
                found = run.take(
                    corpus,
                    samples=samples,
                    max_tokens=max_tokens,
                    max_batch_tokens=max_batch_tokens,
                    progress=progress,
                )
        save_statistics(found, out)
        how = "" if corpus else f" of its own texts, {'settled' if kept.settled else 'not settled'}"
        console.print(f"{found.tokens} tokens{how}, layers {', '.join(map(str, run.layers))}: {out}")


def _log_root() -> str:
    """Where a worker with the same environment would keep its logs."""
    return str(SharedSettings().log_dir)


def _data_dir() -> Path:
    """Where a worker with the same environment would keep converted models."""
    return SharedSettings().data_dir


def _layers(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise RequestError("layers are numbers with commas between them", field="layers", value=text) from None


class _Bars:
    """What `palimpsest onboard` shows while it works: what was found, tokens of statistics, trials of the search."""

    def __init__(self, console: Console, minutes: float) -> None:
        columns = (TextColumn("{task.description:<44}"), BarColumn(), TimeElapsedColumn())
        self._console, self._bar = console, Progress(*columns, console=console)
        self._statistics = self._bar.add_task("statistics", total=None)
        self._search = self._bar.add_task("search", total=60 * minutes or 1.0, start=False)
        self._taken = self._tried = 0

    def __enter__(self) -> _Bars:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def telling(self) -> Telling:
        """What an onboarding tells."""
        from workers.onboard import Telling

        return Telling(self._found, self._tokens, self._trial)

    def _found(self, finding: Finding) -> None:
        self._console.print(f"{finding.name}: {finding.value}", highlight=False, markup=False)

    def _tokens(self, count: int) -> None:
        self._taken += count
        self._bar.update(self._statistics, description=f"statistics: {self._taken:,} tokens")

    def _trial(self, trial: Tried) -> None:
        self._tried += 1
        self._bar.start_task(self._search)
        score = "could not be edited" if trial.outcome is None else f"score {trial.outcome.score:.3f}"
        self._bar.update(self._search, description=f"search: {self._tried} tried, the last one {score}")
        self._bar.update(self._search, completed=self._bar.tasks[self._search].elapsed or 0.0)


def onboard(
    model: ModelArgument,
    corpus: Corpus = None,
    minutes: Annotated[float, typer.Option(help="For the search, beside the statistics.", min=0.0)] = 6.0,
    facts: Annotated[
        Path | None, typer.Option(help="Your own facts to calibrate on: JSON as CounterFact or EasyEdit have it.")
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Search also for a model whose preset ships with us.")] = False,
    if_needed: Annotated[
        bool, typer.Option("--if-needed", help="Do nothing for a model that has a preset already.")
    ] = False,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    data_dir: Annotated[Path, typer.Option(help="Where preset, statistics and card are kept.")] = DATA_DIR,
) -> None:
    """Look at a model, take its statistics from a corpus or its own texts, and find hyperparameters that hold.

    What was found is kept by the model's fingerprint, and `palimpsest serve` finds it again. A search that was stopped
    goes on where it was.
    """
    console = Console(stderr=True)
    with _telling_errors(console):
        from workers.onboard import Onboarding

        opened = Onboarding.open(model, device=device, dtype=dtype, data_dir=data_dir, corpus=corpus)
        if if_needed and opened.has_preset:
            return
        with _Bars(console, minutes) as bars:
            try:
                made = opened.run(minutes=minutes, facts=facts, anew=anew, telling=bars.telling())
            except RequestError as error:
                if not if_needed:
                    raise
                console.print(f"{error.detail}: it is served with the generic preset", markup=False, soft_wrap=True)
                return
        if made.promise is None:
            console.print(f"Its preset ships with us: {made.preset.method}, layers {_listed(made.preset.layers)}.")
            return
        promise = made.promise
        console.print(
            f"{promise.hold:.0%} of facts not seen by the search hold, {promise.paraphrases:.0%} of their paraphrases "
            f"follow, {promise.neighbours:.0%} of known neighbours stay; {promise.seconds:.1f} s a fact. "
            f"Layers {_listed(made.preset.layers)}. Card: {made.card} ({made.seconds:.0f} s in all)",
            highlight=False,
            soft_wrap=True,
        )


def _listed(layers: tuple[int, ...]) -> str:
    return ", ".join(map(str, layers))
