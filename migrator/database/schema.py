"""Schema steps: the numbered changes of the tables, from ``schemas/sql/``, applied through sqlite-utils.

A step and the record of it commit together; in a new database, all of them do. A shipped step is never edited; a later
one adds to it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from migrator._version import __version__
from migrator.database import queries
from migrator.database.connection import AnyConnection, transaction
from migrator.database.errors import sqlite_errors
from migrator.errors import SchemaError
from migrator.resources import schemas

if TYPE_CHECKING:
    from sqlite_utils import Database

STEP_SET = "migrator"
# The steps that brought the ledger, the quarantine and what else losslessness needs; the records of runs; how far the
# index for full-text search is. ``authority.State`` says whether a database has them.
LEDGER_VERSION, RUNS_VERSION, INDEX_VERSION = 2, 3, 5
_COMMENT = re.compile(r"--[^\n]*")


class SchemaStep(NamedTuple):
    """One numbered change of the tables.

    :ivar name: the file's name without its endings, e.g. ``0002_lossless``
    """

    number: int
    name: str
    up: Path
    down: Path

    def statements(self) -> list[str]:
        """The statements that apply it, one by one."""
        return split_statements(self.up.read_text(encoding="utf-8"))


class StepState(NamedTuple):
    """A step, and when it was applied (RFC 3339), or None."""

    name: str
    applied_at: str | None


@cache
def steps() -> tuple[SchemaStep, ...]:
    """Every step that this version knows, in order."""
    found = []
    for up in sorted((schemas() / "sql").glob("*.up.sql")):
        name = up.name.removesuffix(".up.sql")
        found.append(SchemaStep(int(name[:4]), name, up, up.with_name(name + ".down.sql")))
    return tuple(found)


def latest_version() -> int:
    """The number of the last step that this version knows."""
    return steps()[-1].number


def split_statements(script: str) -> list[str]:
    """The statements of a script, without the PRAGMAs: those set up a connection, and can't run in a transaction."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if ";" in line and sqlite3.complete_statement(pending):
            statements.append(pending.strip())
            pending = ""
    bare = [(statement, _COMMENT.sub("", statement).strip()) for statement in statements]
    return [statement for statement, text in bare if text and not text.upper().startswith("PRAGMA")]


def has_table(connection: AnyConnection, name: str) -> bool:
    """Whether there is a table of this name."""
    return connection.execute(queries.TABLE_EXISTS, (name,)).fetchone() is not None


def version(connection: sqlite3.Connection) -> int:
    """The number of the last step applied; 0 for a database with no tables of ours.

    A database that the desktop app made has the tables of step 1 and no record of ours.
    """
    if not has_table(connection, "migration_metadata"):
        return 0
    row = connection.execute(queries.SCHEMA_VERSION).fetchone()
    return int(row[0]) if row else 1


def require_known(connection: sqlite3.Connection, path: Path | str) -> int:
    """The version of the tables.

    :raises SchemaError: it is newer than this program
    """
    with sqlite_errors("read the schema version", path):
        found = version(connection)
        writer = int(connection.execute("PRAGMA user_version").fetchone()[0]) if found > latest_version() else 0
    if found > latest_version():
        needed = "the version of migrator that came with the newer app"
        if writer > _number_of(__version__):
            needed = f"migrator {writer // 1_000_000}.{writer // 1_000 % 1_000}.{writer % 1_000} or newer"
        raise SchemaError(
            f"The database {path} has schema version {found}; this migrator, {__version__}, knows versions up to "
            f"{latest_version()}.",
            hint=f"Nothing was touched. Use {needed}.",
        )
    return found


def status(connection: sqlite3.Connection, path: Path | str) -> list[StepState]:
    """Every step that this version knows, with the time at which it was applied."""
    with sqlite_errors("read the schema steps", path):
        times = applied(connection)
    return [StepState(step.name, times.get(step.name)) for step in steps()]


def applied(connection: sqlite3.Connection) -> dict[str, str]:
    """The steps on record, by name, with the times at which they were applied. Read-only."""
    if not has_table(connection, "_sqlite_migrations"):
        return {}
    return dict(connection.execute(queries.APPLIED_STEPS, (STEP_SET,)).fetchall())


def apply(connection: sqlite3.Connection, path: Path | str) -> list[str]:
    """Apply every step that is not applied yet, each in one transaction with its record.

    The desktop app makes the tables of step 1 by itself: steps that the tables have and nobody recorded are recorded.

    :returns: the names of the steps applied
    :raises SchemaError: the database has other tables, or newer ones
    """
    before = require_known(connection, path)
    with sqlite_errors("apply a schema step", path):
        recorded = applied(connection)
        missing = [step for step in steps() if step.name not in recorded]
        if not missing:
            if before != latest_version():  # the row of migration_metadata is gone, or another one
                raise SchemaError(
                    f"The database {path} has a record of every schema step, but says it has schema version {before}.",
                    hint="Nothing was touched. Move it away, or restore it from a backup, and run 'migrator migrate' "
                    "again.",
                )
            return []
        unrecorded = [step for step in missing if step.number <= before]
        if unrecorded or before == 0:
            _require_ours(connection, before, path)
        _apply_pending(connection, unrecorded)
        names = [step.name for step in missing if step not in unrecorded]
        if names:
            _sign(connection)
    return names


def _apply_pending(connection: sqlite3.Connection, unrecorded: list[SchemaStep]) -> None:
    """Put on record what is there already, then apply the rest; within a transaction where one is open."""
    from sqlite_utils import Database, Migrations  # a tenth of a second to load: only who changes tables pays for it

    database = Database(connection, recursive_triggers=False, execute_plugins=False)
    if unrecorded:
        with database.atomic():
            _record(connection, unrecorded)
    migrations = Migrations(STEP_SET)
    for step in steps():

        def run(database: Database, step: SchemaStep = step) -> None:
            for statement in step.statements():
                database.execute(statement)

        migrations(name=step.name)(run)
    migrations.apply(database)


def create(connection: sqlite3.Connection) -> None:
    """Make everything in a database that holds nothing, as :func:`apply` would, in a twentieth of the time."""
    connection.execute("BEGIN")
    _make(connection)
    _record(connection, steps())
    connection.execute("COMMIT")
    _sign(connection)


def _record(connection: sqlite3.Connection, made: Sequence[SchemaStep]) -> None:
    """Put steps on record, as sqlite-utils does."""
    if not has_table(connection, "_sqlite_migrations"):
        connection.execute(queries.CREATE_STEP_RECORD)
        connection.execute(queries.CREATE_STEP_RECORD_INDEX)
    now = str(datetime.now(UTC))
    connection.executemany(queries.RECORD_STEP, [(STEP_SET, step.name, now) for step in made])


def _make(connection: sqlite3.Connection, number: int | None = None) -> None:
    """Execute the steps up to ``number``, all of them for None."""
    for step in steps():
        if number is None or step.number <= number:
            for statement in step.statements():
                connection.execute(statement)


def _sign(connection: sqlite3.Connection) -> None:
    """Note in the database's header which program made its tables."""
    connection.execute(f"PRAGMA user_version = {_number_of(__version__)}")


def _number_of(program_version: str) -> int:
    """A version of migrator as a number that SQLite keeps in a database's header."""
    major, minor, patch = ([int(digits) for digits in re.findall(r"\d+", program_version)] + [0, 0, 0])[:3]
    return major * 1_000_000 + minor * 1_000 + patch


def _require_ours(connection: sqlite3.Connection, found: int, path: Path | str) -> None:
    """Refuse tables that differ from what the steps make."""
    if found == 0:
        with closing(fresh()) as model:
            foreign = sorted(_objects(model).keys() & _objects(connection).keys())
        if foreign:
            raise SchemaError(
                f"The database {path} has tables of the same names that are not ours: {', '.join(foreign)}.",
                hint="Nothing was touched. Move it away and run 'migrator migrate' again.",
            )
    differing = sorted(differences(connection, found))
    if differing:
        raise SchemaError(
            f"The database {path} says it has schema version {found}, but differs from it in: {', '.join(differing)}.",
            hint="Nothing was touched. Move it away, or restore it from a backup, and run 'migrator migrate' again.",
        )


def differences(connection: sqlite3.Connection, number: int) -> set[str]:
    """The names of our tables, indexes and views that differ from what the steps up to ``number`` make.

    Things of other names are somebody else's and don't count.
    """
    with closing(fresh(number)) as model:
        expected, found = _objects(model), _objects(connection)
    return {name for name, sql in expected.items() if found.get(name) != sql}


def fresh(number: int | None = None) -> sqlite3.Connection:
    """A new database in memory with the steps up to ``number`` (all of them for None)."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _make(connection, number)
    return connection


def _objects(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute(queries.SCHEMA_OBJECTS).fetchall()
    return {name: " ".join(_COMMENT.sub("", sql).split()) for name, sql in rows}


def set_indexes_aside(connection: AnyConnection) -> list[str]:
    """Drop every index that enforces nothing, and return the statements that make them again.

    Building an index over rows that are there costs a fraction of keeping it up to date row by row.
    """
    indexes = connection.execute(queries.PLAIN_INDEXES).fetchall()
    for name, _ in indexes:
        connection.execute(f'DROP INDEX "{name}"')
    return [sql for _, sql in indexes]


def revert(connection: sqlite3.Connection, path: Path | str, require: Callable[[int], None] = lambda _: None) -> str:
    """Undo the last step and its record in one transaction.

    :param require: told the step's number within the transaction, when nobody else can write; raises what keeps the
        step from being undone
    :returns: the name of the step
    :raises SchemaError: there is nothing to undo, or the tables are newer than this program
    """
    found = require_known(connection, path)
    if found == 0:
        raise SchemaError(f"The database {path} has no schema step to undo.", hint="'migrator schema apply' makes one.")
    step = next(step for step in steps() if step.number == found)
    with sqlite_errors("undo a schema step", path):
        # A table with rows is dropped child by child; the steps keep their order right by themselves.
        connection.execute("PRAGMA foreign_keys = OFF")
        try:
            with transaction(connection, path, "undo a schema step"):
                require(found)
                for statement in split_statements(step.down.read_text(encoding="utf-8")):
                    connection.execute(statement)
                if has_table(connection, "_sqlite_migrations"):
                    connection.execute(queries.FORGET_STEP, (STEP_SET, step.name))
        finally:
            connection.execute("PRAGMA foreign_keys = ON")
    return step.name
