"""What a run is asked to do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from migrator.progress import Listener, ignore_progress

if TYPE_CHECKING:
    from migrator.migration.adoption.branch import BranchFiles
    from migrator.worker.limits import Limits
    from migrator.worker.process import WorkerProcess


class Options(NamedTuple):
    """What a run is asked to do.

    :ivar strict: publish nothing if any file or session is invalid
    :ivar salvage: migrate the complete sessions of truncated files
    :ivar named: workspace paths that the user gave
    :ivar adopt: files with other names than the app's, whose sessions are added
    :ivar branch: what a database of an earlier branch of the app holds, to be adopted likewise
    :ivar search_index: whether to build the full-text search index
    :ivar listener: called with the progress
    :ivar hybrid: keep the files equal to SQLite, even if storage.json does not name hybrid mode yet
    :ivar loader: which one loads the staging database, by name
    :ivar limits: None means the default ones, which are loaded only if there is work to do
    :ivar worker: replaces the class of the worker process in tests
    """

    strict: bool = False
    salvage: bool = False
    named: Sequence[str] = ()
    adopt: Sequence[str] = ()
    branch: "BranchFiles | None" = None
    search_index: bool = False
    listener: Listener = ignore_progress
    hybrid: bool = False
    loader: str = "auto"
    limits: "Limits | None" = None
    worker: "type[WorkerProcess] | None" = None

    @property
    def adopts(self) -> bool:
        """Whether there is anything to adopt."""
        return bool(self.adopt) or self.branch is not None
