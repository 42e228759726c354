"""``migrator browse``: shows the database in a browser."""

from __future__ import annotations

import click

from migrator.browse import serve
from migrator.cli.options import Resolve, naming_the_cause, whole_number
from migrator.cli.output import echo, output_lost, print_json
from migrator.text import plain


@click.command("browse", short_help="Show the database in a browser.")
@click.option("--port", type=whole_number(0, 65535), default=0, help="Port to use.  [default: a free one]")
@click.option("--open", "open_it", is_flag=True, help="Also open the address in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print the address as one JSON object.")
@click.pass_obj
def browse_command(resolve: Resolve, port: int, open_it: bool, as_json: bool) -> int:
    """Show the database in a browser on this machine, read-only, until you press Ctrl-C. The app can keep running.

    There are pages for sessions, their agents and their chats, and some example queries. The address contains a
    secret key: without it, no page is shown.

    Needs an extra: python -m pip install "ait42-migrator[browse]"

    \b
    migrator browse                          start, and print the address
    migrator browse --open                   also open it in the browser
    """
    data_dir = resolve()

    def ready(address: str) -> None:
        if as_json:
            print_json({"address": address, "database": str(data_dir.database)})
        else:
            echo(f"{plain(str(data_dir.database))} is shown at {address}")
            echo("Press Ctrl-C to stop.", error=True)
        if output_lost() is not None:  # nothing else has the key
            raise click.exceptions.Exit(1)
        if open_it:
            click.launch(address)

    with naming_the_cause():
        serve.serve_database(data_dir, port, ready)
    return 0
