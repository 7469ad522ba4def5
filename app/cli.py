"""The `palimpsest` command.

Exit status: 0 fine, 1 an error, 2 used wrongly, 3 something does not hold.
"""

from __future__ import annotations

from importlib.metadata import entry_points

import typer

from app.commands import ask, demo, diff, edit, evaluate, export, jobs, revert, rollback, serve, versions
from app.commands.keys import keys_cli
from app.commands.log import log_cli

COMMANDS = "palimpsest.commands"

cli = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_show_locals=False)

cli.command(epilog=serve.EXAMPLES)(serve.serve)
cli.command()(demo.demo)
cli.command(epilog=edit.EXAMPLES)(edit.edit)
cli.command(epilog=ask.EXAMPLES)(ask.ask)
cli.command(epilog=jobs.EXAMPLES)(jobs.jobs)
cli.command(epilog=versions.EXAMPLES)(versions.versions)
cli.command(epilog=diff.EXAMPLES)(diff.diff)
cli.command(epilog=rollback.EXAMPLES)(rollback.rollback)
cli.command(epilog=revert.EXAMPLES)(revert.revert)
cli.command(epilog=export.EXAMPLES)(export.export)
cli.command(epilog=evaluate.EXAMPLES)(evaluate.evaluate)
cli.add_typer(log_cli, name="log")
cli.add_typer(keys_cli, name="keys")


def main() -> None:
    """Run the command line; where ``workers`` is installed, its commands are part of it, unless we have one."""
    own = {command.callback.__name__ for command in cli.registered_commands if command.callback}
    for point in entry_points(group=COMMANDS):
        if point.name in own:  # `export`, which calls the workers' one
            continue
        try:
            cli.command(point.name)(point.load())
        except ModuleNotFoundError:  # an installation of the front end alone
            continue
    cli()
