"""``migrator browse``."""

from __future__ import annotations

import click

from migrator.browse import serve
from migrator.cli.options import Resolve
from migrator.cli.output import echo, print_json
from migrator.text import plain


@click.command("browse", short_help="Look at the database in a browser.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Where to serve it.  [default: one that is free]"
)
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the address as one JSON object.")
@click.pass_obj
def browse_command(resolve: Resolve, port: int, open_it: bool, as_json: bool) -> int:
    """Serve the database to a browser of this machine, read-only, until you press Ctrl-C. The app may go on working.

    Sessions, their agents and their chats are shown as pages, with queries to begin with. The address has a key in it:
    whoever does not have it sees nothing.

    Needs an extra; in a checkout of migrator: python -m pip install ".[browse]"

    \b
    migrator browse --open                   serve it, and open it in the browser
    """
    data_dir = resolve()

    def ready(address: str) -> None:
        if as_json:
            print_json({"address": address, "database": str(data_dir.database)})
        else:
            echo(f"{plain(str(data_dir.database))} is at {address}")
            echo("Press Ctrl-C to end.", error=True)
        if open_it:
            click.launch(address)

    serve.serve_database(data_dir, port, ready)
    return 0
