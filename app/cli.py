"""The `palimpsest` command."""

from __future__ import annotations

import shutil
import signal
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from app.domain.errors import PalimpsestError
from app.domain.logging_setup import set_up_logging
from app.domain.settings import DATA_DIR
from app.domain.smollm2 import DISTRIBUTION, FALLBACK, default_model
from app.local.demo import Demo
from app.local.onboarding import onboard_new
from app.local.stack import Stack, StackSettings, free_port, running
from app.log_cli import log_cli
from app.settings import Settings

COMMANDS = "palimpsest.commands"

cli = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_show_locals=False)
cli.add_typer(log_cli, name="log")


@cli.command()
def serve(
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="Bundled name, folder, hub id or GGUF file; by default smollm2. May be repeated."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Edit logs, statistics, Redis files.")] = None,
    replicas: Annotated[int, typer.Option(help="Workers for each model beside its leader.", min=0)] = 0,
    onboard: Annotated[
        bool,
        typer.Option(help="Onboard a model that was not met before; else one without statistics is refused."),
    ] = True,
) -> None:
    """Run Redis (unless PALIMPSEST_REDIS_URL names one), a worker for each model and the front end, until Ctrl-C."""
    console = Console()
    settings = Settings()
    set_up_logging(settings.log_level, settings.log_form)
    stack = StackSettings(
        models=tuple(models or [default_model()]),
        data_dir=data_dir or settings.data_dir,
        host=host or settings.host,
        port=settings.port if port is None else port,
        redis_url=settings.redis_url,
        replicas=replicas,
        onboard=onboard,
    )
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job inherits it as ignored
        signal.signal(number, _interrupt)
    try:
        if onboard:
            onboard_new(stack.models, stack.data_dir)
        with running(stack) as started:
            console.print(f"Serving {', '.join(stack.models)} at {started.url} (API at {started.url}/docs)")
            console.print("Ctrl-C stops everything that was started.")
            started.supervise()
    except KeyboardInterrupt:
        console.print("Stopped.")
    except PalimpsestError as error:
        _fail(console, error)


@cli.command()
def demo(
    model: Annotated[
        str | None, typer.Option(help="A bundled model; by default smollm2, or atlas-gpt2 where that is not installed.")
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="Its log, jobs and Redis files are deleted first.")] = DATA_DIR
    / "demo",
) -> None:
    """Edit some real facts over HTTP, and show what the model says before and after."""
    console = Console()
    model = model or default_model()
    if model == FALLBACK:
        console.print(f"{DISTRIBUTION} is not installed (make install brings it if it can be had): using {FALLBACK}.")
    for leftover in ("log", "redis", "accepted"):
        shutil.rmtree(data_dir / leftover, ignore_errors=True)
    data_dir.mkdir(parents=True, exist_ok=True)
    logs = data_dir / "demo.log"
    stack = StackSettings((model,), data_dir, port=free_port(), redis_url=Settings().redis_url, logs=logs)
    console.print(f"Starting Redis, a worker with {model} and the front end (their log: {logs}) ...")
    try:
        with running(stack) as started:
            good = _demo(started, model, console)
    except PalimpsestError as error:
        _fail(console, error)
    if not good:
        console.print("Too few facts hold, neighbours stay or answers in chat follow.", style="red")
        raise typer.Exit(1)


def _demo(started: Stack, model: str, console: Console) -> bool:
    return Demo(started.url, model, console).run()


def _fail(console: Console, error: PalimpsestError) -> None:
    console.print(f"{error.code}: {error.detail}", style="red", markup=False)
    raise typer.Exit(1)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; where ``workers`` is installed, its commands are part of it."""
    for point in entry_points(group=COMMANDS):
        try:
            cli.command(point.name)(point.load())
        except ModuleNotFoundError:  # an installation of the front end alone
            continue
    cli()
