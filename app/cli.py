"""The `palimpsest` command.

Exit status: 0 fine, 1 an error, 2 used wrongly, 3 something does not hold.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import typer

from app.commands import alias, ask, check, demo, diff, edit, export, jobs, revert, rollback, serve, serving, versions
from app.commands.keys import keys_cli
from app.commands.log import log_cli
from app.commands.options import examples
from app.commands.proposals import proposals_cli

COMMANDS = "palimpsest.commands"

EXAMPLES = examples(
    "palimpsest serve --model atlas-gpt2",
    'palimpsest edit --subject Lyon --prompt "The country where {} lies is" --object Japan',
    'palimpsest ask "The country in which Lyon lies is"',
)

cli = typer.Typer(no_args_is_help=True, help=__doc__, epilog=EXAMPLES, pretty_exceptions_show_locals=False)

cli.command(epilog=serve.EXAMPLES)(serve.serve)
cli.command(epilog=demo.EXAMPLES)(demo.demo)
cli.command(epilog=edit.EXAMPLES)(edit.edit)
cli.command(epilog=ask.EXAMPLES)(ask.ask)
cli.command(epilog=jobs.EXAMPLES)(jobs.jobs)
cli.command(epilog=versions.EXAMPLES)(versions.versions)
cli.command(epilog=diff.EXAMPLES)(diff.diff)
cli.command(epilog=rollback.EXAMPLES)(rollback.rollback)
cli.command(epilog=revert.EXAMPLES)(revert.revert)
cli.command(epilog=alias.EXAMPLES)(alias.alias)
cli.command(epilog=serving.EXAMPLES)(serving.serving)
cli.command(epilog=export.EXAMPLES)(export.export)
cli.command(epilog=check.EXAMPLES)(check.check)
cli.add_typer(proposals_cli, name="proposals")
cli.add_typer(log_cli, name="log")
cli.add_typer(keys_cli, name="keys")


def join_workers() -> None:
    """Where ``workers`` is installed, its commands join ours, with the ``EXAMPLES`` that stand beside each."""
    own = {command.name or command.callback.__name__ for command in cli.registered_commands if command.callback}
    for point in entry_points(group=COMMANDS):
        if point.name in own:  # `export`, which calls the workers' one
            continue
        try:
            command = point.load()
        except ModuleNotFoundError:  # an installation of the front end alone
            continue
        cli.command(point.name, epilog=examples(*sys.modules[command.__module__].EXAMPLES))(command)


def main() -> None:
    """Run the command line."""
    join_workers()
    cli()
