"""Functions for programs that look, and change nothing but the search index."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from migrator.api import PathLike, at, listener_of, path_of, text_of
from migrator.hints import complete, options_for
from migrator.progress import Listener

if TYPE_CHECKING:
    from migrator.data_dir import DataDir
    from migrator.diagnostics.doctor import DoctorReport
    from migrator.inventory.status import StatusReport
    from migrator.receipt.facts import Receipt
    from migrator.search.build import IndexReport
    from migrator.search.results import SearchReport
    from migrator.storage.protocol import SessionFilters


def status(data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None) -> StatusReport:
    """Report which store is authoritative, the state of each workspace, and what there is to do.

    :raises MigratorError: the database or the folder cannot be read
    """
    from migrator.storage.hybrid.status import status_with_journal

    return at(data_dir, database, status_with_journal)


def migration_report(
    data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None, html: PathLike | None = None
) -> Receipt:
    """Report on everything that was migrated so far: what was found, and what became of it.

    :param html: also write the report to this new file, as a page with plots
    :raises ConnectionFailed: there is no database
    :raises MigrationFailed: nothing was ever migrated into it
    :raises NotInstalled: the extra ``report`` is not installed, which the page needs
    """
    from migrator.receipt.facts import receipt_of
    from migrator.receipt.page import write_page

    page = None if html is None else path_of("html", html)

    def report(places: DataDir) -> Receipt:
        receipt = receipt_of(places)
        if page is not None:
            write_page(receipt, page, partial(complete, location=options_for(places)))
        return receipt

    return at(data_dir, database, report)


def search_texts(
    words: str,
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    workspace: str | None = None,
    filters: SessionFilters | None = None,
) -> SearchReport:
    """Find the sessions with a text (task, message or output) that contains all the words, in the authoritative store.

    :param words: words, ``"phrases in quotes"`` and ``begin*``; no input is an error
    :param workspace: search only this one
    :param filters: which sessions to search, and how many to return; without ``sort_by``, the best match comes first
    :raises ConnectionFailed: the database cannot be opened, or the SQLite of this Python has no FTS5
    """
    from migrator.search.find import search_texts as search

    text = text_of("words", words)
    return at(data_dir, database, lambda places: search(places, text, filters, workspace=workspace))


def search_index_status(data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None) -> IndexReport:
    """Report the state of the search index."""
    from migrator.search.build import index_status

    return at(data_dir, database, index_status)


def build_search_index(
    data_dir: PathLike | DataDir | None = None,
    *,
    database: PathLike | None = None,
    progress: Listener | None = None,
) -> IndexReport:
    """Build the search index, or continue an interrupted build. The app may be running."""
    from migrator.search.build import build_index

    return at(data_dir, database, lambda places: build_index(places, listener_of(progress)))


def drop_search_index(data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None) -> IndexReport:
    """Drop the search index. ``migrate`` does not build it again."""
    from migrator.search.build import drop_index

    return at(data_dir, database, drop_index)


def examine(data_dir: PathLike | DataDir | None = None, *, database: PathLike | None = None) -> DoctorReport:
    """Look for everything that could be wrong with the machine and the data, as ``migrator doctor`` does."""
    from migrator.diagnostics import doctor

    return at(data_dir, database, doctor.examine)
