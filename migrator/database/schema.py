"""Schema steps: the numbered changes of the tables in ``schemas/sql/``, applied with sqlite-utils.

A step and its record commit together; in a new database all steps commit together. A released step is never edited: a
later one changes what it made.
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
from migrator.database.connection import AnyConnection, closed_on_failure, transaction
from migrator.database.errors import missing_values, sqlite_errors
from migrator.errors import SchemaError
from migrator.files.resources import schemas
from migrator.text import counted

if TYPE_CHECKING:
    from sqlite_utils import Database

STEP_SET = "migrator"
# The steps that added the ledger, the quarantine and the columns for lossless storage; runs; what a rollback wrote; the
# state of the full-text search index; deleted sessions; the number of the rules of the quarantine; the data directory
# that the database belongs to; the views of exact values. ``authority.State`` says whether it has them.
LEDGER_VERSION, RUNS_VERSION, ROLLBACK_VERSION, INDEX_VERSION = 2, 3, 4, 5
DELETIONS_VERSION, RULES_VERSION, SURROUNDINGS_VERSION, VALUES_VERSION = 9, 9, 10, 11
_VIEW = r"CREATE VIEW (session_values|instance_values|message_values) AS"
# In place of a table of step 1, which lacks these columns.
_WITH_LATER_COLUMNS = r"FROM (SELECT *, rowid, NULL AS rescued_data, NULL AS position, NULL AS source_id FROM \1) "
_COMMENT = r"--[^\n]*"
_STEP_RECORDS = frozenset({"_sqlite_migrations", "_sqlx_migrations"})
_METADATA = frozenset({"id", "schema_version", "migrated_at", "json_backup_path", "migration_status"})
_OF_BRANCH = frozenset({"workspace_hash", "session_type"})
_MOST_NAMED = 5
_MOVE_AWAY = "Nothing was changed. If it is in the place of the app's database, move it away."
_REPLACE = "Nothing was changed. Move it away, or restore it from a backup, and run 'migrator migrate' again."


class SchemaStep(NamedTuple):
    """One numbered change of the tables.

    :ivar name: the file name without its suffixes, e.g. ``0002_lossless``
    """

    number: int
    name: str
    up: Path
    down: Path

    def statements(self) -> list[str]:
        """Return the statements that apply the step."""
        return split_statements(self.up.read_text(encoding="utf-8"))


class StepState(NamedTuple):
    """A step and the time when it was applied (RFC 3339), or None."""

    name: str
    applied_at: str | None


@cache
def steps() -> tuple[SchemaStep, ...]:
    """Return every step that this version knows, in order."""
    found = []
    for up in sorted((schemas() / "sql").glob("*.up.sql")):
        name = up.name.removesuffix(".up.sql")
        found.append(SchemaStep(int(name[:4]), name, up, up.with_name(name + ".down.sql")))
    return tuple(found)


def latest_version() -> int:
    """Return the number of the last step that this version knows."""
    return steps()[-1].number


def split_statements(script: str) -> list[str]:
    """Split a script into statements, without its PRAGMAs: they set up a connection and cannot run in a transaction."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if ";" in line and sqlite3.complete_statement(pending):
            statements.append(pending.strip())
            pending = ""
    bare = [(statement, re.sub(_COMMENT, "", statement).strip()) for statement in statements]
    return [statement for statement, text in bare if text and not text.upper().startswith("PRAGMA")]


def has_table(connection: AnyConnection, name: str) -> bool:
    """Return whether the database has a table with this name."""
    return connection.execute(queries.TABLE_EXISTS, (name,)).fetchone() is not None


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def version(connection: sqlite3.Connection) -> int:
    """Return the number of the last applied step; 0 for a database without our tables.

    A database that the desktop app created has the tables of step 1 but no record of it.
    """
    if not has_table(connection, "migration_metadata"):
        return 0
    row = connection.execute(queries.SCHEMA_VERSION).fetchone()
    return int(row[0]) if row else 1


def require_known(connection: sqlite3.Connection, path: Path | str) -> int:
    """Return the version of the tables.

    :raises SchemaError: it is newer than this program, or the database is not one of the app
    """
    with sqlite_errors("read the schema version", path), missing_values("migration_metadata", path):
        require_apps(connection, path)
        found = version(connection)
        writer = int(connection.execute("PRAGMA user_version").fetchone()[0]) if found > latest_version() else 0
    if found > latest_version():
        needed = "the version of migrator that came with the newer app"
        if writer > _number_of(__version__):
            needed = f"migrator {writer // 1_000_000}.{writer // 1_000 % 1_000}.{writer % 1_000} or newer"
        raise SchemaError(
            f"The database {path} has schema version {found}; migrator {__version__} supports versions up to "
            f"{latest_version()}.",
            code="schema.newer",
            hint=f"Nothing was changed. Use {needed}.",
        )
    return found


def is_of_branch(connection: sqlite3.Connection) -> bool:
    """Return whether an earlier branch of the app made the database: its tables have our names and other columns."""
    return _columns(connection, "sessions") >= _OF_BRANCH


def require_apps(connection: sqlite3.Connection, path: Path | str) -> None:
    """Check that the app, or migrator, made the database, or that it has no tables yet.

    :raises SchemaError: another program or an earlier branch of the app made it, or its texts are not UTF-8
    """
    encoding = connection.execute("PRAGMA encoding").fetchone()[0]
    if encoding != "UTF-8":
        raise SchemaError(
            f"The texts in the database {path} are stored as {encoding}; those of the app are UTF-8.",
            code="schema.encoding",
            hint=f"{_MOVE_AWAY} 'sqlite3 OLD .dump | sqlite3 NEW' copies it with UTF-8, texts up to their first NUL.",
        )
    if has_table(connection, "migration_ledger"):
        return
    if is_of_branch(connection):
        raise _of_branch(connection, path)
    tables = sorted({name for (name,) in connection.execute(queries.TABLES)} - _STEP_RECORDS)
    if tables and not _columns(connection, "migration_metadata") >= _METADATA and not applied(connection):
        named = ", ".join(tables[:_MOST_NAMED]) + (", …" if len(tables) > _MOST_NAMED else "")
        raise SchemaError(
            f"The database {path} belongs to another program; it has the tables {named}.",
            code="schema.foreign_tables",
            hint=f"{_MOVE_AWAY} Name another database with --database.",
        )


def _of_branch(connection: sqlite3.Connection, path: Path | str) -> SchemaError:
    nouns = ("workspace", "session", "instance", "message")
    counts = ", ".join(map(counted, connection.execute(queries.ALL_COUNTS).fetchone(), nouns))
    return SchemaError(
        f"The database {path} was made by an earlier branch of the app; it holds {counts}.",
        code="schema.earlier_branch",
        hint="Nothing was changed. Close that app; 'migrator migrate --from-database FILE', with this file, adds its "
        "sessions, and moves it away if it is in the place of the app's database.",
    )


def provide_value_views(connection: sqlite3.Connection) -> None:
    """Create the views of documents' own values as temporary ones if the database has older tables; for reading it."""
    found = version(connection)
    if found >= VALUES_VERSION:
        return
    connection.execute("PRAGMA query_only = OFF")  # it would also forbid temporary views
    statements = (statement for step in steps() for statement in step.statements())
    views = {view[1]: statement[view.start() :] for statement in statements if (view := re.search(_VIEW, statement))}
    for statement in views.values():  # of each view, the last one
        sql = statement.replace("CREATE VIEW", "CREATE TEMP VIEW", 1)
        if found < LEDGER_VERSION:
            sql = re.sub(r"FROM (sessions|instances|chat_messages) ", _WITH_LATER_COLUMNS, sql)
        connection.execute(sql)


def status(connection: sqlite3.Connection, path: Path | str) -> list[StepState]:
    """Return every step that this version knows, with the time when it was applied."""
    with sqlite_errors("read the schema steps", path):
        times = applied(connection)
    return [StepState(step.name, times.get(step.name)) for step in steps()]


def applied(connection: sqlite3.Connection) -> dict[str, str]:
    """Return when each recorded step was applied, by its name. Changes nothing."""
    if not has_table(connection, "_sqlite_migrations"):
        return {}
    return dict(connection.execute(queries.APPLIED_STEPS, (STEP_SET,)).fetchall())


def apply(connection: sqlite3.Connection, path: Path | str) -> list[str]:
    """Apply every step that is not applied yet, each in one transaction with its record.

    The desktop app creates the tables of step 1 itself: a step whose tables exist without a record is only recorded.

    :returns: the names of the applied steps
    :raises SchemaError: the tables are different or newer
    """
    before = require_known(connection, path)
    with sqlite_errors("apply a schema step", path):
        recorded = applied(connection)
        missing = [step for step in steps() if step.name not in recorded]
        if not missing:
            if before != latest_version():  # the row of migration_metadata is missing or was changed
                raise SchemaError(
                    f"The database {path} records every schema step as applied, but its schema version is {before}.",
                    code="schema.inconsistent",
                    hint=_REPLACE,
                )
            return []
        unrecorded = [step for step in missing if step.number <= before]
        _require_names_free(connection, before, path)
        if unrecorded:
            _require_ours(connection, before, path)
        _apply_pending(connection, unrecorded)
        names = [step.name for step in missing if step not in unrecorded]
        if names:
            set_program_version(connection)
    return names


def _apply_pending(connection: sqlite3.Connection, unrecorded: list[SchemaStep]) -> None:
    """Record the steps whose tables exist already, then apply the rest; within the open transaction, if any."""
    from sqlite_utils import Database, Migrations  # takes 0.1 s to import, so only when tables are changed

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
    """Create all tables in an empty database: the result of :func:`apply` in a twentieth of the time."""
    connection.execute("BEGIN")
    _execute_steps(connection)
    _record(connection, steps())
    connection.execute("COMMIT")
    set_program_version(connection)


def _record(connection: sqlite3.Connection, made: Sequence[SchemaStep]) -> None:
    """Record steps as applied, in sqlite-utils' own table."""
    if not has_table(connection, "_sqlite_migrations"):
        connection.execute(queries.CREATE_STEP_RECORD)
        connection.execute(queries.CREATE_STEP_RECORD_INDEX)
    now = str(datetime.now(UTC))
    connection.executemany(queries.RECORD_STEP, [(STEP_SET, step.name, now) for step in made])


def _execute_steps(connection: sqlite3.Connection, number: int | None = None) -> None:
    """Execute the steps up to ``number``; all of them for None."""
    for step in steps():
        if number is None or step.number <= number:
            for statement in step.statements():
                connection.execute(statement)


def set_program_version(connection: sqlite3.Connection) -> None:
    """Write this program's version to the database's header."""
    connection.execute(f"PRAGMA user_version = {_number_of(__version__)}")


def _number_of(program_version: str) -> int:
    """Return a version of migrator as the number that goes into the database's header."""
    major, minor, patch = ([int(digits) for digits in re.findall(r"\d+", program_version)] + [0, 0, 0])[:3]
    return major * 1_000_000 + minor * 1_000 + patch


def _require_ours(connection: sqlite3.Connection, found: int, path: Path | str) -> None:
    """Check that the tables are exactly those that the steps make.

    :raises SchemaError: they differ
    """
    differing = sorted(differences(connection, found))
    if differing:
        raise SchemaError(
            f"The database {path} has schema version {found}, but these differ from it: {', '.join(differing)}.",
            code="schema.differs",
            hint=_REPLACE,
        )


def require_upgradable(connection: sqlite3.Connection, path: Path | str) -> None:
    """Check that the missing steps can be applied, as far as that shows before anything is done.

    :raises SchemaError: the tables are different or newer, or other objects have the names of tables to come
    """
    if (found := require_known(connection, path)) < latest_version():
        with sqlite_errors("examine the schema of", path):
            _require_names_free(connection, found, path)
            if not applied(connection):
                _require_ours(connection, found, path)


def _require_names_free(connection: sqlite3.Connection, found: int, path: Path | str) -> None:
    """Check that no object has the name of one that a missing step makes.

    :raises SchemaError: some have
    """
    with closing(fresh()) as last, closing(fresh(found)) as now:
        taken = sorted((_objects(last).keys() - _objects(now).keys()) & _objects(connection).keys())
    if taken:
        raise SchemaError(
            f"In the database {path}, objects of another program have names that migrator needs: {', '.join(taken)}.",
            code="schema.foreign_tables",
            hint="Nothing was changed. Rename them, or move them to another database, and run the command again.",
        )


def differences(connection: sqlite3.Connection, number: int) -> set[str]:
    """Return the names of our tables, indexes and views that differ from what the steps up to ``number`` make.

    Objects with other names belong to other programs and are ignored.
    """
    with closing(fresh(number)) as model:
        expected, found = _objects(model), _objects(connection)
    return {name for name, sql in expected.items() if found.get(name) != sql}


def fresh(number: int | None = None) -> sqlite3.Connection:
    """Create a database in memory with the steps up to ``number``; all of them for None."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    with closed_on_failure(connection):
        _execute_steps(connection, number)
    return connection


def _objects(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute(queries.SCHEMA_OBJECTS).fetchall()
    return {name: " ".join(re.sub(_COMMENT, "", sql).split()) for name, sql in rows}


def drop_plain_indexes(connection: AnyConnection) -> list[str]:
    """Drop every index that is not a UNIQUE one, and return the statements that create them again.

    Building an index once for all rows costs a fraction of updating it with each row.
    """
    indexes = connection.execute(queries.PLAIN_INDEXES).fetchall()
    for name, _ in indexes:
        connection.execute(f'DROP INDEX "{name}"')
    return [sql for _, sql in indexes]


def revert(connection: sqlite3.Connection, path: Path | str, require: Callable[[int], None] = lambda _: None) -> str:
    """Undo the last step and its record in one transaction.

    :param require: called with the step's number within the transaction, when no one else can write; raises an error if
        the step must not be undone
    :returns: the name of the step
    :raises SchemaError: there is nothing to undo, or the tables are newer than this program
    """
    found = require_known(connection, path)
    if found == 0:
        raise SchemaError(
            f"The database {path} has no schema step to undo.",
            code="schema.no_steps",
            hint="'migrator schema apply' applies them.",
        )
    step = next(step for step in steps() if step.number == found)
    with sqlite_errors("undo a schema step", path):
        # With foreign keys on, dropping a table would delete its rows one by one. The steps drop in the right order.
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
