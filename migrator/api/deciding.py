"""Functions for programs that let the user decide: about quarantined items, and about sessions that a file lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from migrator.api import PathLike, at, number_of, path_of, require_one_of, some_or_all, text_of

if TYPE_CHECKING:
    from migrator.data_dir import DataDir
    from migrator.database.quarantine import Reason
    from migrator.quarantine.deletions import DecidedDeletions, HeldDeletions
    from migrator.quarantine.dismiss import DismissReport
    from migrator.quarantine.items import ExportedItems, QuarantineList, ShownItem
    from migrator.quarantine.retry import RetryReport, Take


def list_quarantine(data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None) -> QuarantineList:
    """Everything in quarantine, oldest first. Changes nothing.

    :raises ConnectionFailed: there is no database
    """
    from migrator.quarantine import items

    return at(data_dir, database, items.list_quarantine)


def show_quarantined(
    number: int, data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None
) -> ShownItem:
    """One item in full, with its text; of a conflict, all versions. Changes nothing.

    :raises QuarantineError: there is no item of that number
    """
    from migrator.quarantine import items

    chosen = number_of("number", number)
    return at(data_dir, database, lambda places: items.show_quarantined(places, chosen))


def retry_quarantined(
    numbers: Iterable[int] | None,
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    reason: Reason | None = None,
    edited: PathLike | None = None,
    take: Take | None = None,
) -> RetryReport:
    """Validate quarantined items again, and put each valid one back in its place.

    :param numbers: the items; None for all, of which deleted sessions only if ``reason`` names them
    :param reason: of all, only the items with this reason
    :param edited: a file with the corrected session, or an array of several, for the one item named
    :param take: for conflicts: the quarantined version (``theirs``), SQLite's (``ours``), or both as two sessions
    :raises UsageError: the arguments are invalid, or cannot be combined
    :raises QuarantineError: there is no such item
    :raises StaleStoreError: SQLite is not authoritative, and this would change a session there
    """
    from migrator.database.quarantine import Reason
    from migrator.quarantine.retry import Take, retry

    chosen, every = some_or_all("numbers", numbers, number_of)
    require_one_of("reason", reason, Reason)
    require_one_of("take", take, Take)
    file = None if edited is None else path_of("edited", edited)
    return at(
        data_dir,
        database,
        lambda places: retry(places, chosen, every=every, reason=reason, edited=file, take=take),
    )


def dismiss_quarantined(
    numbers: Iterable[int] | None,
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    reason: Reason | None = None,
    to: PathLike | None = None,
    discard: bool = False,
) -> DismissReport:
    """Take items out of quarantine. Their texts are kept in the folder ``dismissed`` of the data directory.

    :param numbers: the items; None for all, of which deleted sessions only if ``reason`` names them
    :param reason: of all, only the items with this reason
    :param to: a new file for the text of the one item named
    :param discard: keep no text
    :raises UsageError: the arguments are invalid, or cannot be combined
    :raises QuarantineError: there is no such item
    :raises StaleStoreError: the JSON files are authoritative, and the item is in one of them
    """
    from migrator.database.quarantine import Reason
    from migrator.quarantine.dismiss import dismiss

    chosen, every = some_or_all("numbers", numbers, number_of)
    require_one_of("reason", reason, Reason)
    file = None if to is None else path_of("to", to)
    return at(
        data_dir,
        database,
        lambda places: dismiss(places, chosen, every=every, reason=reason, to=file, discard=discard),
    )


def export_quarantine(
    target: PathLike, data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None
) -> ExportedItems:
    """Write every item of the quarantine unchanged into the folder ``target``. Overwrites nothing there."""
    from migrator.quarantine import items

    folder = path_of("target", target)
    return at(data_dir, database, lambda places: items.export_quarantine(places, folder))


def list_deletions(data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None) -> HeldDeletions:
    """The sessions that a file lost and that stay in SQLite until the user decides. Changes nothing.

    :raises MigratorError: the database cannot be opened
    """
    from migrator.quarantine import deletions

    return at(data_dir, database, deletions.list_deletions)


def confirm_deletions(
    ids: Iterable[str] | None, data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None
) -> DecidedDeletions:
    """Delete sessions in SQLite that a file lost; each is kept in quarantine.

    :param ids: as :func:`list_deletions` names them; None for all that are held
    :raises QuarantineError: one of them is not held; nothing was changed
    :raises StaleStoreError: SQLite is not authoritative
    """
    from migrator.quarantine import deletions

    chosen, every = some_or_all("ids", ids, text_of)
    return at(data_dir, database, lambda places: deletions.confirm_deletions(places, chosen, every=every))


def decline_deletions(
    ids: Iterable[str] | None, data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None
) -> DecidedDeletions:
    """Keep sessions in SQLite that a file lost; the next rollback or hybrid mode writes them to the file again.

    The parameters and errors are those of :func:`confirm_deletions`.
    """
    from migrator.quarantine import deletions

    chosen, every = some_or_all("ids", ids, text_of)
    return at(data_dir, database, lambda places: deletions.decline_deletions(places, chosen, every=every))
