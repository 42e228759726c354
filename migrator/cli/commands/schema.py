"""``migrator schema``: shows, applies, reverts and checks the steps of the database schema."""

from __future__ import annotations

import click

from migrator.admin.query_check import QueryCheck, check_queries
from migrator.admin.schema_steps import SchemaChange, SchemaStatus, apply_steps, revert_step, schema_status
from migrator.cli.options import Resolve, prints_report
from migrator.cli.output import echo, printable
from migrator.text import counted, local_time, plain


@click.group("schema", short_help="Show, apply, revert or check the steps of the database schema.")
def schema_command() -> None:
    """The database schema changes in numbered steps. Each is applied, and recorded, in one transaction."""


def _print_status(report: SchemaStatus) -> None:
    for step in report.steps:
        echo(f"{plain(step.name):<28} {plain(local_time(step.applied_at or 'not applied'))}")


@schema_command.command("status")
@prints_report(_print_status)
def status(resolve: Resolve) -> SchemaStatus:
    """Show which steps are applied to the database.

    \b
    migrator schema status
    """
    return schema_status(resolve())


def _print_applied(change: SchemaChange) -> None:
    echo(f"Applied {plain(', '.join(change.steps))}." if change.steps else "Nothing to apply.")
    if change.backup:
        echo(f"Backup of the database: {plain(change.backup)}")


@schema_command.command("apply")
@prints_report(_print_applied, works=True)
def apply(resolve: Resolve) -> SchemaChange:
    """Apply the missing steps, creating the database if necessary. A database with data is backed up first.

    \b
    migrator schema apply
    """
    return apply_steps(resolve())


def _print_reverted(change: SchemaChange) -> None:
    echo(f"Reverted {plain(change.steps[0])}; the schema version is now {change.schema_version}.")
    echo(f"Backup of the database: {plain(change.backup or '')}")


@schema_command.command("revert")
@prints_report(_print_reverted, works=True)
def revert(resolve: Resolve) -> SchemaChange:
    """Revert the last step, after a backup of the database. Refused if that would lose data.

    \b
    migrator schema revert
    """
    return revert_step(resolve())


def _print_check(report: QueryCheck) -> None:
    for problem in report.errors:
        echo(printable(problem))
    echo(f"Prepared {counted(report.statements, 'statement')}: {counted(len(report.errors), 'problem')}.")


@schema_command.command("check")
@prints_report(_print_check, works=True)
def check(resolve: Resolve) -> QueryCheck:
    """Check all SQL statements and the schema of the database.

    Prepares every SQL statement of the program against a new schema, and compares the database's schema with it. Also
    works without a database.

    \b
    migrator schema check
    """
    return check_queries(resolve())
