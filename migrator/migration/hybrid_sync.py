"""A trial of both stores while a migration goes on: which files are as we wrote them, and what they still lack."""

from __future__ import annotations

from contextlib import suppress

from migrator.authority import state_of
from migrator.data_dir import DataDir, ScratchDataDir
from migrator.errors import StorageIOError
from migrator.files import copying
from migrator.inventory.plan import Plan
from migrator.inventory.source_files import Source
from migrator.storage.hybrid.journal import Journal, read_known_files, read_stats
from migrator.storage.hybrid.json_secondary import MirrorFiles
from migrator.storage.hybrid.store import HybridStorage
from migrator.storage.sqlite import SqliteStorage


def files_we_wrote(data_dir: DataDir) -> dict[str, str]:
    """The SHA-256 of each workspace file as a trial knows it, by the workspace's hash: there is no news in it.

    :raises ConnectionFailed: the trial's journal can't be read
    """
    return read_known_files(data_dir.hybrid_journal)


def mend_trial(data_dir: DataDir, found: Plan) -> bool:
    """Let the trial know the files that SQLite has taken up, and write into them what they still lack.

    What still can't be written, or is not known, stays recorded as pending.

    :returns: whether files were written
    :raises ConnectionFailed: the database or the trial's journal can't be opened
    """
    if isinstance(data_dir, ScratchDataDir) or state_of(data_dir.database).authority != "sqlite":
        return False  # a dry run changes no file
    _know_taken_up(data_dir, found)
    trial = read_stats(data_dir.hybrid_journal)
    if trial is None or not trial.pending_repairs:
        return False
    sqlite = SqliteStorage(data_dir.database, backups=data_dir.backups)
    files = MirrorFiles(data_dir, data_dir.hybrid_journal)
    with HybridStorage(sqlite, files, data_dir.hybrid_journal) as both:
        both.repair(besides=_changed_by_others(data_dir, found))
        return both.stats().pending_repairs < trial.pending_repairs


def _changed_by_others(data_dir: DataDir, found: Plan) -> set[str]:
    """The hashes of the workspaces whose files hold what SQLite has not taken up."""
    known = read_known_files(data_dir.hybrid_journal)
    return {
        source.workspace_hash
        for source in found.work.pending
        if source.kind == "workspace" and source.workspace_hash and not _is(source, known.get(source.workspace_hash))
    }


def _is(source: Source, sha256: str | None) -> bool:
    with suppress(StorageIOError):  # whoever takes it up says why it can't be read
        return copying.sha256_of(source.place) == sha256
    return False


def _know_taken_up(data_dir: DataDir, found: Plan) -> None:
    known = read_known_files(data_dir.hybrid_journal)
    taken_up = {}
    for source in found.work.known:
        entry = found.ledger[source.name]
        file_hash, sha256 = source.workspace_hash, entry.sha256
        if source.kind == "workspace" and file_hash and sha256 and not entry.error and known.get(file_hash) != sha256:
            taken_up[file_hash] = sha256
    if taken_up:
        journal = Journal(data_dir.hybrid_journal)
        try:
            journal.know(taken_up)
        finally:
            journal.close()
