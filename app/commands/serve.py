"""`palimpsest serve`: the whole service on this machine, until Ctrl-C."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from app.access.openness import refuse_open
from app.commands.options import examples, telling_errors
from app.domain.logging_setup import set_up_logging
from app.domain.smollm2 import default_model
from app.local.onboarding import onboard_new
from app.local.stack import StackSettings, running
from app.settings import Settings

EXAMPLES = examples("palimpsest serve", "palimpsest serve --model atlas-gpt2 --port 8080")


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
    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    set_up_logging(settings.log_level, settings.log_form)
    stack = StackSettings(
        models=tuple(models or [default_model()]),
        data_dir=settings.data_dir,
        host=host or settings.host,
        port=settings.port if port is None else port,
        redis_url=settings.redis_url,
        replicas=replicas,
        onboard=onboard,
    )
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job inherits it as ignored
        signal.signal(number, _interrupt)
    try:
        with telling_errors():
            refuse_open(stack.host, settings)
            if onboard:
                onboard_new(stack.models, stack.data_dir)
            with running(stack) as started:
                console.print(f"Serving {', '.join(stack.models)} at {started.url} (API at {started.url}/docs)")
                console.print("Ctrl-C stops everything that was started.")
                started.supervise()
    except KeyboardInterrupt:
        console.print("Stopped.")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
