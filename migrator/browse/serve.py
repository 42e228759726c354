"""Runs Datasette for one database on the loopback interface, until it is interrupted."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from migrator.authority import require_history
from migrator.data_dir import DataDir
from migrator.database.connection import connect_read_only
from migrator.database.schema import provide_value_views
from migrator.errors import UsageError
from migrator.files.resources import require_extra

_HERE = Path(__file__).parent


def serve_database(data_dir: DataDir, port: int, ready: Callable[[str], None]) -> None:
    """Serve the pages, which cannot write, until the process is interrupted or terminated.

    :param port: 0 takes a free one
    :param ready: called with the address, including the key, when the pages can be opened
    :raises NotInstalled: the extra ``browse`` is not installed
    :raises ConnectionFailed: there is no database
    :raises UsageError: the port cannot be used
    """
    require_extra("browse", "Showing the database in a browser")
    path = data_dir.database
    require_history(data_dir)  # also refuses a file that is not a database, or a newer schema
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"Cannot use port {port}: {error}.",
            code="option.port_unusable",
            hint="Choose another port with --port, or leave it out.",
        ) from error
    with listener:
        import uvicorn  # installed only with the extra

        from migrator.browse.auth import Gate
        from migrator.browse.site import LANDING

        gate = Gate(_application(path), listener.getsockname()[1], LANDING)
        server = uvicorn.Server(uvicorn.Config(gate, log_level="error", access_log=False, lifespan="on"))
        ready(gate.address)
        with suppress(KeyboardInterrupt):  # the usual way to stop it
            server.run(sockets=[listener])


def _application(path: Path) -> Any:
    from datasette.app import Datasette
    from datasette.database import Database
    from datasette.plugins import pm

    from migrator.browse import plugin
    from migrator.browse.site import ASSETS, DATABASE, METADATA, SETTINGS

    class Untouched(Database):  # type: ignore[misc] # Datasette has no types
        """The database, opened by our code: with any path, and never for writing."""

        def connect(self, write: bool = False) -> sqlite3.Connection:  # noqa: FBT001, FBT002 - Datasette's signature
            if write:
                raise sqlite3.OperationalError("attempt to write a readonly database")
            connection = connect_read_only(path)
            provide_value_views(connection)  # the database may have been migrated by an older version
            self._all_file_connections.append(connection)
            return connection

        async def execute(self, sql: str, params: Any = None, **options: Any) -> Any:
            options["log_sql_errors"] = False  # the page shows the error
            answer = await super().execute(sql, params, **options)
            if not all(one.is_current() for one in self._all_file_connections if one.unlocked):
                raise sqlite3.OperationalError("Another program changed the database. Start 'migrator browse' again.")
            return answer

    if not pm.is_registered(plugin):
        pm.register(plugin)
        pm.unregister(name="datasette.handle_exception")  # the plugin's own handler prints nothing
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
