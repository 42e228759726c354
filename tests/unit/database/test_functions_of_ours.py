"""What SQLite turns into errors of its own comes out as what it was."""

import sqlite3
from contextlib import closing, suppress

import pytest

from migrator.cli.signals import Terminated
from migrator.database.connection import connect
from migrator.database.errors import add_function, sqlite_errors


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, Terminated])
@pytest.mark.parametrize("is_caught", [True, False])
def test_an_interrupt_within_a_function_that_sqlite_calls_ends_the_command_as_any_other(
    interrupt: type[KeyboardInterrupt], is_caught: bool
) -> None:
    def interrupted(_: str) -> str:
        raise interrupt

    with closing(connect(":memory:")) as connection:
        add_function(connection, "interrupted", interrupted)
        caught = (sqlite3.Error,) if is_caught else ()
        with pytest.raises(interrupt), sqlite_errors("look", "here"), suppress(*caught):
            connection.execute("SELECT interrupted('x')").fetchall()
        with sqlite_errors("look", "here"):
            assert connection.execute("SELECT 1").fetchone() == (1,)
