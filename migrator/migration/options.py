"""What a run is asked to do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from migrator.progress import Listener, ignore_progress

if TYPE_CHECKING:
    from migrator.worker.limits import Limits
    from migrator.worker.process import WorkerProcess


class Options(NamedTuple):
    """How a run is done.

    :ivar strict: publish nothing if anything is bad
    :ivar salvage: take what is whole of torn files
    :ivar named: paths of workspaces that the user named
    :ivar search_index: whether an index for full-text search is wanted
    :ivar listener: told about progress
    :ivar hybrid: keep the files in step with SQLite, also where storage.json does not say so yet
    :ivar limits: None for the usual ones, which a run with nothing to do does not load
    :ivar worker: another kind of worker process than the real one, for tests
    """

    strict: bool = False
    salvage: bool = False
    named: Sequence[str] = ()
    search_index: bool = False
    listener: Listener = ignore_progress
    hybrid: bool = False
    limits: "Limits | None" = None
    worker: "type[WorkerProcess] | None" = None
