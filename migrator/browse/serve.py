"""Datasette over one database, on the loopback interface, until somebody stops it."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from migrator.authority import state_of
from migrator.data_dir import DataDir
from migrator.database.connection import connect_untouching, no_database
from migrator.errors import UsageError
from migrator.resources import require_extra

_HERE = Path(__file__).parent


def serve_database(data_dir: DataDir, port: int, ready: Callable[[str], None]) -> None:
    """Serve the pages until the process is interrupted or told to end. Nothing can be written through them.

    :param port: 0 takes one that is free
    :param ready: called with the address, its key in it, when the pages can be asked for
    :raises NotInstalled: the extra ``browse`` is not there
    :raises ConnectionFailed: there is no database
    :raises UsageError: the port is taken
    """
    require_extra("browse", "Looking at the database in a browser")
    path = data_dir.database
    if not path.exists():
        raise no_database(path)
    state_of(path)  # refuses what is no database, or from the future
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"Nothing can be served at port {port}: {error}.", hint="Name another one with --port, or none."
        ) from error
    with listener:
        import uvicorn  # installed only with the extra

        from migrator.browse.auth import Gate
        from migrator.browse.site import LANDING

        gate = Gate(_application(path), listener.getsockname()[1], LANDING)
        server = uvicorn.Server(uvicorn.Config(gate, log_level="error", access_log=False, lifespan="on"))
        ready(gate.address)
        with suppress(KeyboardInterrupt):  # the usual way to end it
            server.run(sockets=[listener])


def _application(path: Path) -> Any:
    from datasette.app import Datasette
    from datasette.database import Database
    from datasette.plugins import pm

    from migrator.browse import plugin
    from migrator.browse.site import ASSETS, DATABASE, METADATA, SETTINGS

    class Untouched(Database):  # type: ignore[misc] # Datasette has no types
        """The database, opened by us: whatever its path is, and never for writing."""

        def connect(self, write: bool = False) -> sqlite3.Connection:  # noqa: FBT001, FBT002 - Datasette's signature
            if write:
                raise sqlite3.OperationalError("attempt to write a readonly database")
            connection = connect_untouching(path)
            self._all_file_connections.append(connection)
            return connection

        async def execute(self, sql: str, params: Any = None, **options: Any) -> Any:
            return await super().execute(sql, params, **options | {"log_sql_errors": False})  # the page tells

    if not pm.is_registered(plugin):
        pm.register(plugin)
        pm.unregister(name="datasette.handle_exception")  # the plugin's own prints nothing
    datasette = Datasette(
        [],
        metadata=METADATA,
        settings=SETTINGS,
        template_dir=str(_HERE / "templates"),
        static_mounts=[(ASSETS, str(_HERE / ASSETS))],
        memory=False,
    )
    datasette.remove_database("_memory")
    datasette.add_database(Untouched(datasette, path=str(path), is_mutable=True), name=DATABASE)
    return datasette.app()
