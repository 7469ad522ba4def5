"""`palimpsest follow`: inference servers that serve every version of a model, each proven before it counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from app.domain.contract import Engine
from app.domain.local_service import LocalService
from app.domain.settings import SharedSettings, faults
from workers.commands.options import telling_errors

if TYPE_CHECKING:
    from workers.engines.opened import Wishes

EXAMPLES = (
    "palimpsest follow vllm --model atlas-llama --url http://10.0.0.5:8000 --url http://10.0.0.6:8000",
    "palimpsest follow vllm --url http://vllm:8000 --adapters /adapters --once",
)

TOLERANCE = 0.25
KEEP = 5

Urls = Annotated[list[str], typer.Option("--url", help="A server; may be given again.")]
Tolerance = Annotated[
    float,
    typer.Option(help="Nats by which a text's mean log-probability a token may differ from the worker's.", min=0.0),
]


def follow(
    engine: Annotated[Engine, typer.Argument(help="What the servers are.")],
    url: Urls,
    model: Annotated[str | None, typer.Option(help="The model; by default the only one that has a log.")] = None,
    keep: Annotated[
        int, typer.Option(help="Serve so many of the newest versions, and those with an alias.", min=1)
    ] = KEEP,
    adapters: Annotated[
        Path | None, typer.Option(help="Folder to write adapters to; by default adapters/ in the data directory.")
    ] = None,
    adapters_at: Annotated[str | None, typer.Option(help="The same folder as the servers see it.")] = None,
    tolerance: Tolerance = TOLERANCE,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Serve the best approximation where a rank is too high.")
    ] = False,
    max_rank: Annotated[
        int | None, typer.Option(help="The servers' --max-lora-rank; by default what they say.", min=1)
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Stop when there is nothing left to do; 3 if not all serve.")
    ] = False,
    api_key: Annotated[
        str | None, typer.Option(help="What the servers were given as --api-key.", envvar="PALIMPSEST_ENGINE_KEY")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Where the base model is, if not where the log says; for compacted logs alone.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="What workers load it as.")] = "float32",
    metrics_port: Annotated[
        int | None, typer.Option(help="Answer /metrics there, without a key.", min=0, max=65535)
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Interface of /metrics.")] = "127.0.0.1",
) -> None:
    """Have inference servers serve every version of a model under MODEL@VERSION, proven against a worker.

    Where Redis, the log and the workers are is read from the same variables as a worker reads them; beside
    `palimpsest serve`, from its data directory.
    """
    console = Console(stderr=True)
    with telling_errors(console):
        settings = _settings()
        from workers.engines.followed_server import Terms
        from workers.engines.opened import Wishes, the_only_model

        name = model or the_only_model(settings)
        wishes = Wishes(
            engine=engine,
            urls=tuple(url),
            terms=Terms(name, tolerance, approximate, max_rank),
            keep=keep,
            adapters=adapters or settings.data_dir / "adapters",
            seen_at=adapters_at,
            api_key=api_key,
            source=source,
            dtype=dtype,
            metrics=None if metrics_port is None else (metrics_host, metrics_port),
        )
        try:
            status = _run(settings, wishes, once=once)
        except OSError as error:  # a port that is taken, a folder that cannot be written
            console.print(f"not followed: {error}", style="red", markup=False)
            raise typer.Exit(1) from None
        raise typer.Exit(status)


def _run(settings: SharedSettings, wishes: Wishes, *, once: bool) -> int:
    """The exit status: 3 if it was to be done once, and not all servers serve the newest version."""
    from workers.engines.opened import follow as run
    from workers.logs import set_up_worker_logging
    from workers.stopping import Stopping

    set_up_worker_logging("INFO", settings.log_form)
    served = run(settings, wishes, Stopping.installed().wait, once=once)
    return 3 if once and not served else 0


def _settings() -> SharedSettings:
    try:
        given = SharedSettings()
        here = LocalService.found(given.data_dir)
        if here is None:
            return given
        return SharedSettings(
            redis_url=given.redis_url or here.redis_url, worker_secret=given.worker_secret or here.worker_secret
        )
    except ValidationError as error:
        told = "; ".join(f"{SharedSettings.variable(name)}: {fault}" for name, fault in faults(error).items())
        raise typer.BadParameter(told) from None
